"""Covariances through the whole pipeline: registered, verified, compared, reproduced, and not watched."""

from __future__ import annotations

import datetime as dt
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain.registry.errors import GateFailed, InvalidInput
from domain.registry.evidence import Evidence
from domain.registry.gates import CHAMPION, BetterThanBaseline, Coverage, NoLookAhead, Threshold
from domain.risk.covariance.evaluation import BASELINES
from domain.risk.monitoring.service import ModelMonitoring, NotMonitored
from domain.risk.pipeline import Candidate, Features, ModelPipeline, RunRequest
from domain.risk.promotion import Promotions
from domain.risk.promotion_request import TRAINED_BEFORE
from domain.risk.reproduction.service import Reproductions, Request
from domain.risk.scoring.service import ModelScoring, NotByRow
from domain.risk.spec import ModelSpec
from domain.risk.workspace import read_record
from tests.reproduction.bench import Workbench
from veritasvault.adapters.table_files import TableFile
from veritasvault.adapters.uri_source import UriSource
from veritasvault.serving.file_forecasts import FileForecasts

SPEC = ModelSpec.load(Path(__file__).parents[3] / "dags" / "covariance_shrinkage.toml")
GATES = (
    BetterThanBaseline("risk", "sample"),
    BetterThanBaseline("risk", "equal_weights", 0.05),
    Threshold("least_eigenvalue_ratio", minimum=0.05),
    Threshold("condition_number", maximum=500.0),
    Coverage(),
    NoLookAhead(),
)
"""Those of the specification that six years can pass."""

FIRST, SECOND = "2016-03-24", "2016-03-31"


@dataclass
class Desk:
    """A home with six years of real prices of 20 shares, and the pipeline on them."""

    application: Workbench
    source: Path

    def pipeline(self, trainer: str) -> ModelPipeline:
        training = replace(SPEC.training, trainer=trainer)
        return ModelPipeline(replace(SPEC, training=training, gates=GATES), self.application)

    def features(self, as_of: str) -> Features:
        pipeline = self.pipeline("oas")
        request = RunRequest(dt.datetime.now(dt.UTC), as_of=as_of, source=str(self.source))
        return pipeline.prepare(pipeline.ingest(request), "inline")

    def train(self, as_of: str, trainer: str) -> Candidate:
        return self.pipeline(trainer).train(self.features(as_of), {})

    def register(self, candidate: Candidate) -> str:
        features = self.features(str(candidate.rows["session"]))
        checked = self.pipeline("oas").validate(features, "test")
        registered = self.pipeline("oas").register(candidate, checked, {"run": "test"})
        return f"{registered.name}@{registered.version}"

    def attachment(self, reference: str, name: str) -> bytes:
        shown = self.application.catalog.show(reference)
        kept = next(kept for kept in shown.event.attachments if kept.name == name)
        return self.application.catalog.attachment(shown.event, kept)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    home = tmp_path_factory.mktemp("home")
    frame = pl.read_parquet(UriSource().fetch("sample://sp500", home / "sample"))
    frame.filter(pl.col("date") >= dt.date(2010, 4, 1)).write_parquet(home / "panel.parquet")
    return Desk(Workbench(home / "veritas"), home / "panel.parquet")


@pytest.fixture(scope="module")
def candidate(desk: Desk) -> Candidate:
    return desk.train(FIRST, "learned_shrinkage")


@pytest.fixture(scope="module")
def registered(desk: Desk, candidate: Candidate) -> str:
    return desk.register(candidate)


def test_the_evidence_has_portfolios_beside_those_of_every_baseline(candidate: Candidate) -> None:
    record, _ = read_record(Path(candidate.path))
    evidence = Evidence.from_json(record["evidence"])
    assert set(evidence.baselines) == set(BASELINES)
    risks = {name: metrics["risk"] for name, metrics in evidence.baselines.items()}
    assert 0.08 < evidence.metrics["risk"] < risks["sample"] < risks["equal_weights"] < 0.2
    assert 1.0 < evidence.metrics["bias"] < 1.5
    assert evidence.metrics["condition_number"] < evidence.baselines["sample"]["condition_number"]
    assert evidence.p_value("risk", "equal_weights") < 0.001  # type: ignore[operator]
    assert evidence.look_ahead is not None
    assert evidence.look_ahead.violations == ()
    years = [row["metrics"]["candidate"]["shrinkage"] for row in evidence.details["by_year"]]
    assert all(0.0 < shrinkage < 0.5 for shrinkage in years)


def test_the_recipe_names_problem_and_trainer(candidate: Candidate) -> None:
    record, _ = read_record(Path(candidate.path))
    named = {"problem": "covariance", "trainer": "learned_shrinkage", "window": 126, "holding": 5}
    assert record["lineage"]["parameters"] == named


def test_the_card_says_what_a_reader_of_covariances_asks(desk: Desk, registered: str) -> None:
    card = desk.attachment(registered, "card.md").decode()
    for said in (
        "portfolio of least variance that it chooses",
        "least_eigenvalue_ratio",
        "condition_number",
        "| equal_weights |",
        "Diebold-Mariano on squared returns",
        "Not applicable: The model sees one feature",
        "mean of x - ln(x) - 1",
    ):
        assert said in card, said


def test_what_is_registered_is_verified_and_gives_a_matrix_by_name(desk: Desk, registered: str) -> None:
    audited = desk.application.audit.everything()
    assert audited.verified, audited.problems
    names = [str(name) for name in desk.features(FIRST).rows["assets"]]
    returns = 0.01 * np.random.default_rng(1).normal(size=(126, len(names)))
    matrix = desk.application.forecasts.forecast(registered, returns, names)
    turned = desk.application.forecasts.forecast(registered, returns[:, ::-1], names[::-1])
    assert matrix.shape == (20, 20)
    np.testing.assert_array_equal(matrix, turned)
    with pytest.raises(InvalidInput, match="give the model's columns too: XOM"):
        desk.application.forecasts.forecast(registered, returns[:, :-1], names[:-1])


def test_a_version_is_trained_again_from_its_record(desk: Desk, registered: str) -> None:
    """By the code that is here, for this test's code is in no commit."""
    request = Request(registered, "test", desk.application.provenance(), None, True)
    found = Reproductions(desk.application).reproduce(request)
    assert found.verdict.reproduced, found.findings


def test_a_challenger_is_compared_by_its_portfolios(desk: Desk, registered: str) -> None:
    """On the sessions of the window, both trained before them by their recipes, beside the baselines."""
    challenger = desk.register(desk.train(SECOND, "ledoit_wolf"))
    show = desk.application.catalog.show
    promotions = Promotions(replace(SPEC, gates=GATES), desk.application)
    evidence = promotions._compare(show(challenger), show(registered))
    assert evidence.details["forecasts"] == {"challenger": TRAINED_BEFORE, CHAMPION: TRAINED_BEFORE}
    assert set(evidence.baselines) == {CHAMPION, *BASELINES}
    assert evidence.metrics == pytest.approx(evidence.baselines["ledoit_wolf"])
    assert evidence.metrics["risk"] != evidence.baselines[CHAMPION]["risk"]
    assert evidence.details["difference"]["squared returns"]["sessions"] == SPEC.promotion.window_sessions


def test_a_sample_covariance_is_refused_by_its_gates(desk: Desk) -> None:
    """It is no better than itself, and conditioned too badly."""
    with pytest.raises(GateFailed) as caught:
        desk.register(desk.train(SECOND, "sample_covariance"))
    assert "risk is" in caught.value.reasons[0]
    assert any("least_eigenvalue_ratio is" in reason for reason in caught.value.reasons)


def test_monitoring_says_that_nothing_watches_it(desk: Desk, registered: str) -> None:
    monitoring = ModelMonitoring(SPEC, desk.application)
    with pytest.raises(NotMonitored, match="nothing watches covariances"):
        monitoring.monitor(registered, RunRequest(dt.datetime.now(dt.UTC)), {})


def test_scoring_says_that_there_is_no_figure_for_each_row(desk: Desk, registered: str) -> None:
    with pytest.raises(NotByRow, match="not row by row"):
        ModelScoring(SPEC, desk.application).score(registered, RunRequest(dt.datetime.now(dt.UTC)), "inline")


def test_a_matrix_is_never_taken_for_forecasts_of_rows(desk: Desk, registered: str, tmp_path: Path) -> None:
    """A file of 400 rows is the trap: so many cells has the covariance of 20 assets."""
    with desk.application.model_loader(None, 1 << 20).load(registered) as model:
        values = 0.01 * np.random.default_rng(2).normal(size=(400, len(model.columns)))
        pl.DataFrame(values, schema=list(model.columns)).write_parquet(tmp_path / "returns.parquet")
        written: list[object] = []
        with (
            TableFile("--input", tmp_path / "returns.parquet") as table,
            pytest.raises(InvalidInput, match="it does not give one forecast for each row"),
        ):
            FileForecasts(model).write(table, lambda _: nullcontext(written.append), lambda _: None)
        assert written == []


def test_another_feature_is_one_sentence(desk: Desk) -> None:
    spec = replace(SPEC, columns=("log_return",))
    pipeline = ModelPipeline(spec, desk.application)
    request = RunRequest(dt.datetime.now(dt.UTC), as_of=FIRST, source=str(desk.source))
    with pytest.raises(InvalidInput, match="daily_return alone"):
        pipeline.train(pipeline.prepare(pipeline.ingest(request), "inline"), {})
