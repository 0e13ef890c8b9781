"""Several trainers want to be a model's: the best that passes its gates is, and all figures are kept."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from domain.registry.card import Subject, build_card, to_markdown
from domain.registry.errors import InvalidInput
from domain.registry.evidence import Evidence
from domain.registry.gates import BetterThanBaseline, Coverage, DataValidated, Threshold, judge_all
from domain.registry.manifest import Manifest
from domain.risk.ports import TrackedRun
from domain.risk.problems import parameters_of
from domain.risk.rivals import Contender, Rival, best, recorded_choice, with_rivals
from domain.risk.spec import ModelSpec
from domain.risk.workspace import artifact_in
from tests.reproduction.bench import SPEC, Bench, Trained
from veritasvault.adapters.trainers import trainer

TABLES = tomllib.loads(SPEC.read_text())


def spec_with(**training: Any) -> ModelSpec:
    return ModelSpec.parse({**TABLES, "training": {"trainer": "ridge", **training}})


def contender(name: str, qlike: float, *failed: str) -> Contender:
    evidence = Evidence(metrics={"qlike": qlike})
    return Contender(Rival(name, trainer(name), {}), None, evidence, failed)  # type: ignore[arg-type]


def test_the_best_of_those_that_pass_is_chosen() -> None:
    """A better figure does not help who fails a gate; of equals the one named first is taken."""
    bad = contender("lightgbm", 0.4, "qlike within bounds")
    first, second = contender("ridge", 0.5), contender("hist_gradient_boosting", 0.5)
    assert best([bad, first, second], "qlike") is first
    assert best([second, bad, first], "qlike") is second


def test_where_none_passes_the_best_goes_before_the_registry_which_says_why() -> None:
    assert (
        best([contender("ridge", 0.5, "x"), (least := contender("lightgbm", 0.4, "x", "y"))], "qlike")
        is least
    )


def test_gates_judge_each_rival_as_the_registration_will_but_for_the_data() -> None:
    """The validation of the data, which is the same for all of them, runs at the same time."""
    gates = (DataValidated(), Threshold("qlike", maximum=0.5), BetterThanBaseline("qlike", "ewma"))
    evidence = Evidence(metrics={"qlike": 0.6}, baselines={"ewma": {"qlike": 0.7}})
    judged = Contender.judged(Rival("ridge", trainer("ridge"), {}), None, evidence, gates)  # type: ignore[arg-type]
    assert judged.failed == ("qlike within bounds",)
    assert judged.evidence.data_validation is None


def test_without_rivals_lineage_and_evidence_are_as_they_always_were() -> None:
    alone = contender("ridge", 0.5)
    assert recorded_choice([alone], "qlike") == {}
    assert with_rivals(alone, [alone]) is alone.evidence


@pytest.mark.parametrize(
    ("training", "field"),
    [
        ({"rivals": ["lightgbm"]}, "training.rivals"),
        ({"rivals": {"lightgbm": 3}}, "training.rivals"),
        ({"rivals": {"ridge": {}}}, "training.rivals"),
        ({"best_by": "r2"}, "training.best_by"),
    ],
)
def test_a_wrong_setting_is_named(training: Mapping[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        spec_with(**training)
    assert refused.value.field == field


@dataclass
class Noted:
    """A tracker that keeps what it is given."""

    runs: list[TrackedRun] = field(default_factory=list)

    def track(self, run: TrackedRun) -> str:
        self.runs.append(run)
        return "noted"


@dataclass
class Contest:
    """Three trainers on three shares, one of which may not win."""

    bench: Bench
    trained: Trained
    tracker: Noted


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Contest:
    bench = Bench.at(tmp_path_factory.mktemp("contest") / "home")
    bench.write_panel()
    bench.application.tracker = tracker = Noted()  # type: ignore[assignment]
    rivals = {
        "lightgbm": {"num_iterations": 30},
        "hist_gradient_boosting": {"max_iter": 2, "learning_rate": 0.0001},
    }
    bench.spec = replace(
        bench.spec,
        training=spec_with(rivals=rivals).training,
        gates=(BetterThanBaseline("qlike", "ewma"), DataValidated(), Coverage()),
    )
    return Contest(bench, bench.train(), tracker)


def test_the_figures_of_all_are_in_the_evidence_and_in_the_tracker(contest: Contest) -> None:
    """The evidence's own metrics are those of the one that was chosen, which its lineage names."""
    rows = {row["trainer"]: row for row in contest.trained.evidence.details["rivals"]}
    assert list(rows) == ["ridge", "lightgbm", "hist_gradient_boosting"]
    assert rows["hist_gradient_boosting"]["gates_failed"] == ["qlike better than ewma"]
    passing = [row for row in rows.values() if not row["gates_failed"]]
    chosen = min(passing, key=lambda row: row["metrics"]["qlike"])
    assert [row["trainer"] for row in rows.values() if row["chosen"]] == [chosen["trainer"]]
    assert contest.trained.evidence.metrics == chosen["metrics"]
    recorded = contest.trained.lineage.parameters
    assert recorded["trainer"] == chosen["trainer"]
    assert recorded["chosen_from"] == "ridge, lightgbm, hist_gradient_boosting"
    assert recorded["chosen_by"] == "qlike"
    assert parameters_of(recorded) == chosen["parameters"]
    tracked = {run.parameters["trainer"]: run for run in contest.tracker.runs}
    assert len(contest.tracker.runs) == len({run.key for run in contest.tracker.runs}) == 3
    for name, run in tracked.items():
        assert {metric: run.metrics[metric] for metric in rows[name]["metrics"]} == rows[name]["metrics"]
        if name != chosen["trainer"]:
            assert run.tags["veritas.rival_of"] == contest.trained.lineage.recipe


def test_the_same_rivals_give_the_same_candidate_again(contest: Contest) -> None:
    assert contest.bench.train().candidate == contest.trained.candidate


def test_the_version_is_reproduced_by_the_chosen_trainer_alone(contest: Contest) -> None:
    """Its record says what was chosen, so nothing is chosen again."""
    reference = contest.bench.register(contest.trained)
    assert contest.bench.reproduce(reference).verdict.reproduced


def test_the_card_says_what_else_was_tried(contest: Contest) -> None:
    trained = contest.trained
    artifact = artifact_in(Path(trained.candidate.path) / "artifact")
    manifest = Manifest(contest.bench.spec.metadata("any"), trained.lineage, artifact)
    results = judge_all(contest.bench.spec.gates, trained.evidence)
    text = to_markdown(build_card(Subject(manifest, trained.evidence, results)))
    for said in ("Rivals", "LightGBM", "qlike better than ewma", "Could the differences be chance?"):
        assert said in text
