"""A search for parameters: the same on every engine and after a kill, and blind for the judged years."""

from __future__ import annotations

import datetime as dt
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.registry.card import Subject, build_card, to_markdown
from domain.registry.errors import InvalidInput, Unavailable
from domain.registry.manifest import Manifest
from domain.risk.folds import plan_folds
from domain.risk.parameters import TrainerParameter
from domain.risk.pipeline import ModelPipeline, RunRequest
from domain.risk.ports import PrepEnginePort
from domain.risk.rivals import Rival
from domain.risk.spec import ModelSpec
from domain.risk.trial import Trial
from domain.risk.tuned_rival import TunedRival
from domain.risk.tuning import Exam, Notebook, best_of, require_space, search
from domain.risk.tuning_spec import ParameterRange, TuningSpec
from domain.risk.workspace import artifact_in
from tests.reproduction.bench import SESSION, Bench, Trained
from tests.risk.test_rivals import Noted, spec_with
from tests.servers.prep_clusters import ray_cluster, running
from veritasvault.adapters.dask_prep import DaskPrepEngine
from veritasvault.adapters.inline_prep import InlinePrepEngine
from veritasvault.adapters.optuna_search import OptunaSearch
from veritasvault.adapters.ray_tune import RayTuneEngine
from veritasvault.adapters.spark_prep import SparkPrepEngine
from veritasvault.adapters.trainers import trainer

SPACE = {"alpha": {"least": 0.01, "most": 10_000.0, "log": True}}
TUNING = {"space": SPACE, "trials": 6, "batch": 3}


@dataclass
class Laboratory:
    """Three shares over years of which some are before the judged ones."""

    bench: Bench
    exam: Exam
    trained: Trained
    tracker: Noted


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    bench = Bench.at(tmp_path_factory.mktemp("laboratory") / "home")
    bench.write_panel(first_year=2003)
    bench.application.tracker = tracker = Noted()  # type: ignore[assignment]
    bench.spec = replace(bench.spec, training=spec_with(tuning=TUNING).training)
    pipeline = ModelPipeline(bench.spec, bench.application)
    request = RunRequest(dt.datetime.now(dt.UTC), as_of=SESSION, source=str(bench.source))
    features = pipeline.prepare(pipeline.ingest(request), "inline")
    folds = plan_folds(pipeline.training_set(features), dt.date.fromisoformat(SESSION))
    exam = Exam(
        bench.application.workspace.dataset(Path(features.path)),
        bench.spec.columns,
        bench.spec.target,
        tuple(features.rows["assets"]),
        folds[0].test_start,
        bench.spec.problem,
        trainer("ridge"),
        0,
        "qlike",
    )
    return Laboratory(bench, exam, bench.train(), tracker)


def searched(exam: Exam, place: Path, engine: PrepEnginePort) -> list[Trial]:
    return search(exam, TuningSpec.parse(TUNING), {}, OptunaSearch(), engine, Notebook(place))


@pytest.fixture(scope="module")
def expected(laboratory: Laboratory, tmp_path_factory: pytest.TempPathFactory) -> list[Trial]:
    return searched(laboratory.exam, tmp_path_factory.mktemp("expected"), InlinePrepEngine())


def test_the_worse_half_of_a_batch_stops_after_each_year(expected: list[Trial]) -> None:
    """Of three two go on to the second year; whoever stopped was worse than all that did not."""
    assert len(expected) == 6
    for batch in (expected[:3], expected[3:]):
        firsts = sorted(batch, key=lambda one: one.values[0])
        assert [one.stopped for one in firsts] == [False, False, True]
        assert [len(one.values) for one in firsts] == [2, 2, 1]


@pytest.mark.parametrize(
    "engine",
    [
        DaskPrepEngine(workers=2),
        pytest.param(SparkPrepEngine("local[2]"), marks=pytest.mark.spark),
    ],
    ids=lambda engine: engine.name,
)
def test_workers_of_an_engine_find_the_same_bits(
    engine: PrepEnginePort, laboratory: Laboratory, expected: list[Trial], tmp_path: Path
) -> None:
    """Whoever is done first has no say, and nothing is lost on the way."""
    with engine as started:
        assert searched(laboratory.exam, tmp_path, started) == expected


class Fatal(RayTuneEngine):
    """Ends a process while the first parameters are tried, once."""

    ending: Callable[[], None]
    died: Path

    def map(self, task: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return super().map(partial(_after_a_death, self.ending, self.died, task), items)


def _after_a_death(ending: Callable[[], None], died: Path, task: Callable[[Any], Any], item: Any) -> Any:
    """In a worker: its task; before it one process ends, unless one has already."""
    if not died.exists():
        died.touch()
        ending()
    return task(item)


def _this_one() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _what_gives_out_trials(test: int) -> None:
    """On the cluster of this test alone: another's may search at the same time."""
    (found,) = running("ray::_tune", [test])
    found.kill()


@pytest.mark.ray
def test_trials_of_ray_tune_find_the_same_bits_also_where_workers_die(
    laboratory: Laboratory, expected: list[Trial], tmp_path: Path
) -> None:
    """On two workers, one of which ends with its first trial; an error comes as it was raised. Where the
    process that gives out trials ends, the search is unavailable, and goes on when it is tried again."""
    with ray_cluster(tmp_path) as cluster:
        with Fatal(cluster.address) as engine:
            engine.ending, engine.died = _this_one, tmp_path / "died"
            assert searched(laboratory.exam, tmp_path / "first", engine) == expected
            assert engine.died.exists()
            with pytest.raises(InvalidInput, match="alpha"):
                engine.map(_refused, [1, 2])
            engine.ending = partial(_what_gives_out_trials, os.getpid())
            engine.died = tmp_path / "ended"
            with pytest.raises(Unavailable, match="ray could not finish the search"):
                searched(laboratory.exam, tmp_path / "second", engine)
        with Fatal(cluster.address) as engine:
            engine.ending, engine.died = _this_one, tmp_path / "ended"
            assert searched(laboratory.exam, tmp_path / "second", engine) == expected


def _refused(item: int) -> int:
    raise InvalidInput("alpha", item, "give another")


def test_a_run_on_ray_searches_by_ray_tune(laboratory: Laboratory) -> None:
    """And on the run's own engine elsewhere."""
    application = laboratory.bench.application
    assert application.search_engine("ray").name == "ray tune"
    assert application.search_engine("inline").name == "inline"


@dataclass
class Dying(InlinePrepEngine):
    """Fails in the middle of its n-th year."""

    left: int
    asked: list[int] = field(default_factory=list)

    def map(self, task: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        self.asked.append(len(items))
        if len(self.asked) > self.left:
            raise Unavailable("the cluster is gone")
        return super().map(task, items)


def test_a_search_that_was_broken_off_goes_on_behind_its_last_batch(
    laboratory: Laboratory, expected: list[Trial], tmp_path: Path
) -> None:
    """In the second batch it is killed; the next one tries only that batch again, and finds the same."""
    with pytest.raises(Unavailable):
        searched(laboratory.exam, tmp_path, Dying(left=3))
    second = Dying(left=100)
    assert searched(laboratory.exam, tmp_path, second) == expected
    assert second.asked == [3, 2]
    again = Dying(left=0)
    assert searched(laboratory.exam, tmp_path, again) == expected


def test_notes_of_a_search_are_what_was_tried_to_the_type(laboratory: Laboratory, tmp_path: Path) -> None:
    """Canonical JSON writes 7.0 as 7, which a tracker would take for another value of the same trial."""
    spec, engine, notebook = TuningSpec.parse(TUNING), InlinePrepEngine(), Notebook(tmp_path)
    first, again = (
        search(laboratory.exam, spec, {"alpha": 7.0}, OptunaSearch(), engine, notebook) for _ in range(2)
    )
    assert repr(first) == repr(again)
    assert "7.0" in repr(again)


def test_whoever_waits_for_a_search_sees_how_far_it_is(
    laboratory: Laboratory, expected: list[Trial], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After each batch the log has the number of trials and the best so far, with its parameters."""
    with caplog.at_level("INFO", "domain.risk.tuning"):
        searched(laboratory.exam, tmp_path, InlinePrepEngine())
    firsts, best = best_of(expected[:3]), best_of(expected)
    assert [record.message for record in caplog.records] == [
        f"{done} of 6 trials done on inline; the best is trial {one.number}, "
        f"qlike {one.value:.4f}: alpha {one.parameters['alpha']:.6g}"
        for done, one in ((3, firsts), (6, best))
    ]


def test_notes_that_cannot_be_read_are_begun_anew(
    laboratory: Laboratory, expected: list[Trial], tmp_path: Path
) -> None:
    (tmp_path / "trials.json").write_text("[{")
    assert searched(laboratory.exam, tmp_path, InlinePrepEngine()) == expected


def test_nothing_from_the_judged_years_is_looked_at(laboratory: Laboratory) -> None:
    """Neither their rows nor labels that end in them."""
    training, folds = laboratory.exam.opened()
    assert training.last < laboratory.exam.before
    ends = training.label_ends[training.known]
    assert ends.max() < np.datetime64(laboratory.exam.before)
    assert max(fold.test_end for fold in folds) < laboratory.exam.before
    rival = Rival("ridge", laboratory.exam.trainer, {})
    found = TunedRival(rival, (), laboratory.exam.before, laboratory.exam.features.digest, "nobody")
    with pytest.raises(InvalidInput, match="leave it out, this problem judges models on the years"):
        found.require_apart(folds)


def test_the_best_is_the_model_and_all_trials_are_told(laboratory: Laboratory, expected: list[Trial]) -> None:
    """In the lineage as if somebody had written it down; in evidence, card and tracker with all others."""
    best = best_of(expected)
    trained = laboratory.trained
    assert trained.lineage.parameters["alpha"] == best.parameters["alpha"]
    told = trained.evidence.details["tuning"]
    assert [Trial.from_json(one) for one in told["trials"]] == expected
    assert told["chosen"] == best.number
    runs = [run for run in laboratory.tracker.runs if "veritas.search" in run.tags]
    assert len({run.key for run in runs}) == 6
    assert {run.metrics["qlike"] for run in runs} == {one.value for one in expected}
    artifact = artifact_in(Path(trained.candidate.path) / "artifact")
    manifest = Manifest(laboratory.bench.spec.metadata("scikit-learn"), trained.lineage, artifact)
    page = to_markdown(build_card(Subject(manifest, trained.evidence, (), (), {})))
    by = f"optuna {version('optuna')}"
    assert told["by"] == by
    assert f"6 combinations, proposed by {by}, were tried on the years before" in page


class NewerSearch(OptunaSearch):
    version = "optuna of tomorrow"


def test_another_release_of_what_proposes_begins_anew(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It might propose otherwise, and half of each would be a search that nobody can do again."""
    application = laboratory.bench.application
    before = set(application.workspace.kept("searches"))
    monkeypatch.setattr(application, "search", NewerSearch())
    trained = laboratory.bench.train()
    assert len(set(application.workspace.kept("searches")) - before) == 1
    assert trained.evidence.details["tuning"]["by"] == "optuna of tomorrow"


def test_a_reproduction_trains_with_the_chosen_parameters_and_searches_nothing(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = laboratory.bench.register(laboratory.trained)
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert laboratory.bench.reproduce(reference, here=True).verdict.stage is None


def test_a_parameter_that_a_run_sets_is_not_searched_for(laboratory: Laboratory, tmp_path: Path) -> None:
    """Without anything left to search for, every trial is the same."""
    spec = TuningSpec({"alpha": ParameterRange(0.1, 1.0), "floor": ParameterRange(0.05, 0.2)}, 2, 2)
    engine, notebook = InlinePrepEngine(), Notebook(tmp_path)
    trials = search(laboratory.exam, spec, {"alpha": 7.0}, OptunaSearch(), engine, notebook)
    assert {one.parameters["alpha"] for one in trials} == {7.0}
    assert len({one.parameters["floor"] for one in trials}) == 2


@pytest.mark.parametrize(
    ("tuning", "field_name"),
    [
        (3, "training.tuning"),
        ({}, "training.tuning.space"),
        ({"space": SPACE, "trials": 0}, "training.tuning.trials"),
        ({"space": SPACE, "batch": 1.5}, "training.tuning.batch"),
        ({"space": SPACE, "workers": 2}, "training.tuning.workers"),
        ({"space": {"alpha": 3}}, "training.tuning.space.alpha"),
        ({"space": {"alpha": {"least": 2, "most": 1}}}, "training.tuning.space.alpha"),
        ({"space": {"alpha": {"least": 0, "most": 1, "log": True}}}, "training.tuning.space.alpha.log"),
        ({"space": {"alpha": {"choices": [1]}}}, "training.tuning.space.alpha.choices"),
    ],
)
def test_a_wrong_setting_is_named(tuning: Any, field_name: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        spec_with(tuning=tuning)
    assert refused.value.field == field_name


def test_a_parameter_cannot_be_set_and_searched_for() -> None:
    with pytest.raises(InvalidInput, match=r"remove it, training\.parameters says what it is already"):
        spec_with(tuning=TUNING, parameters={"alpha": 1.0})


@pytest.mark.parametrize("space", [{"beta": ParameterRange(0.0, 1.0)}, {"alpha": ParameterRange(-1.0, 1.0)}])
def test_a_space_that_the_trainer_does_not_take_is_refused_before_anything_is_tried(
    laboratory: Laboratory, tmp_path: Path, space: dict[str, ParameterRange]
) -> None:
    engine = Dying(left=0)
    with pytest.raises(InvalidInput, match=r"training\.parameters"):
        search(laboratory.exam, TuningSpec(space), {}, OptunaSearch(), engine, Notebook(tmp_path))
    assert engine.asked == []


def test_whole_numbers_are_searched_among_whole_numbers() -> None:
    """Between 4.0 and 64.0 are numbers that no trainer takes as a number of leaves."""
    known = {"leaves": TrainerParameter(15, "", 2, 1024), "fast": TrainerParameter(False, "")}
    with pytest.raises(InvalidInput, match="give whole numbers"):
        require_space({"leaves": ParameterRange(4.0, 64.0)}, known)
    require_space({"leaves": ParameterRange(4, 64), "fast": ParameterRange(choices=(False, True))}, known)
    require_space({"leaves": ParameterRange(choices=(4, 8))}, known)


def test_too_short_a_history_is_one_sentence(laboratory: Laboratory) -> None:
    """A search needs years of its own before those that the model is judged on."""
    with pytest.raises(InvalidInput, match="leave it out or give more history"):
        replace(laboratory.exam, before=dt.date(2005, 1, 3)).years()


def test_proposals_are_a_function_of_what_was_tried() -> None:
    """Of whole numbers, choices and logarithms, each within its range; other trials give others."""
    space = {
        "leaves": ParameterRange(2, 64),
        "rate": ParameterRange(0.001, 1.0, log=True),
        "kind": ParameterRange(choices=("a", "b")),
    }
    tried = [
        Trial(n, {"leaves": 2 + n, "rate": 0.1, "kind": "a"}, (1.0 + n, 2.0), stopped=n % 2 == 1)
        for n in range(12)
    ]
    proposed = [OptunaSearch().propose(space, tried, 3, 5) for _ in range(2)]
    assert proposed[0] == proposed[1] != OptunaSearch().propose(space, tried[:-1], 3, 5)
    for one in proposed[0]:
        assert (type(one["leaves"]), type(one["rate"]), one["kind"] in ("a", "b")) == (int, float, True)
        assert 2 <= one["leaves"] <= 64
        assert 0.001 <= one["rate"] <= 1.0
    assert math.isinf(Trial(0, {}).value)


def test_without_optuna_a_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InvalidInput, match="install optuna, which the extra tuning has"):
        OptunaSearch().propose({}, [], 1, 0)

    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("veritasvault.adapters.optuna_search.version", missing)
    with pytest.raises(InvalidInput, match="install optuna, which the extra tuning has"):
        _ = OptunaSearch().version


def test_a_form_leaves_a_searched_parameter_empty() -> None:
    """Whoever fills it in fixes it."""
    from veritasvault.tasks.dags import form

    spec = ModelSpec.load(Path(__file__).parents[2] / "dags" / "volatility_forecast.toml")
    fields = form(replace(spec, training=spec_with(tuning=TUNING).training))
    assert fields["alpha"].value is None
    assert fields["alpha"].schema["type"] == ["null", "number"]
