"""Monitoring a registered version on real prices: what is recorded, kept and refused."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
import pytest

from domain.registry.canonical import digest
from domain.registry.errors import InvalidInput, NotFound
from domain.registry.events.monitoring import DriftDetectedEvent, ModelMonitoredEvent
from domain.risk.monitoring.service import ModelMonitoring, Monitored, NothingNew
from domain.risk.pipeline import ModelPipeline, RunRequest
from domain.risk.spec import ModelSpec
from veritasvault.adapters.uri_source import UriSource
from veritasvault.bootstrap import Application
from veritasvault.settings import Settings

SPEC = ModelSpec.load(Path(__file__).parents[3] / "dags" / "volatility_forecast.toml")
NAME, ASSETS = SPEC.name, ("AAPL", "JNJ", "KO", "XOM")
TRAINED, LATER, LAST = "2016-03-31", "2016-06-30", "2016-07-29"
FALL = dt.date(2016, 7, 15)


@dataclass(frozen=True)
class Desk:
    """A registry with one version in it, and two files of prices: as they were, and after a fall of all."""

    application: Application
    prices: Path
    fallen: Path

    def monitor(
        self, as_of: str, *, fallen: bool = False, spec: ModelSpec = SPEC, reference: str = f"{NAME}@1"
    ) -> Monitored:
        source = self.fallen if fallen else self.prices
        request = RunRequest(run_after=dt.datetime.now(dt.UTC), as_of=as_of, source=str(source))
        return ModelMonitoring(spec, self.application).monitor(reference, request, {"actor": "test"})

    @property
    def entries(self) -> int:
        return self.application.ledger.port.size()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Trained on the prices of four shares, 2006 to March 2016."""
    directory = tmp_path_factory.mktemp("desk")
    frame = pl.read_parquet(UriSource().fetch("sample://sp500", directory))
    years = pl.col("date").is_between(dt.date(2006, 1, 1), dt.date(2016, 12, 31))
    kept = frame.filter(years & pl.col("asset").is_in(ASSETS)).sort("asset", "date")
    kept.write_parquet(directory / "prices.parquet")
    after = pl.when(pl.col("date") >= FALL).then(0.57).otherwise(1.0)
    kept.with_columns(close=pl.col("close") * after).write_parquet(directory / "fallen.parquet")
    application = Application(Settings.read({"VERITAS_HOME": str(directory / "home")}))
    found = Desk(application, directory / "prices.parquet", directory / "fallen.parquet")
    pipeline = ModelPipeline(SPEC, application)
    request = RunRequest(dt.datetime.now(dt.UTC), as_of=TRAINED, source=str(found.prices))
    features = pipeline.prepare(pipeline.ingest(request), "inline")
    candidate = pipeline.train(features, {})
    pipeline.register(candidate, pipeline.validate(features, "test run"), {"run": "test"})
    return found


def test_a_calm_session_is_recorded_with_its_figures_and_once(desk: Desk) -> None:
    """Every feature, the forecasts and what they were worth; a retry adds nothing."""
    found = desk.monitor(LATER)
    event = found.outcome
    assert isinstance(event, ModelMonitoredEvent)
    assert (event.version, event.as_of.isoformat(), event.window_sessions) == (1, LATER, 21)
    assert [one.subject for one in event.findings] == [*SPEC.columns, "forecasts", "qlike against ewma"]
    assert {name for one in event.findings for name in one.figures} >= {"psi", "ks", "loss", "p_value"}
    # Nine years of history cannot tell one in twenty.
    assert event.false_alarm_rate == pytest.approx(0.1, abs=0.02)
    entries = desk.entries
    again = desk.monitor(LATER)
    assert (again.event.index, again.event.appended, desk.entries) == (found.event.index, False, entries)
    assert again.report == found.report


def test_drift_is_recorded_with_a_report_that_verify_and_gc_know(desk: Desk) -> None:
    """The report is an attachment under its SHA-256, one page that loads nothing from elsewhere."""
    found = desk.monitor(LAST, fallen=True)
    event = found.outcome
    assert isinstance(event, DriftDetectedEvent)
    assert (event.retrain, found.drifted) == (True, True)
    assert {one.subject for one in event.findings if one.breached} >= {"rv_5", "rv_21"}
    assert "data drift of rv_21" in event.reason
    row = desk.application.catalog.resolve(f"{NAME}@1")
    assert event.report == digest(found.report)
    assert desk.application.registry.read_attachment(row.model_id, event.report) == found.report
    page = found.report.decode()
    assert page.count("data:image/png;base64,") == 3
    assert "://" not in page
    assert desk.application.audit.everything().problems == ()
    desk.application.garbage_collection().run({"actor": "test"}, dt.timedelta())
    assert desk.application.registry.read_attachment(row.model_id, event.report) == found.report


def test_a_session_that_the_version_has_seen_is_nothing_new(desk: Desk) -> None:
    entries = desk.entries
    for as_of in (TRAINED, "2015-12-31"):
        with pytest.raises(NothingNew, match=f"give a later session, {NAME}@1 has seen {TRAINED}"):
            desk.monitor(as_of)
    assert desk.entries == entries


def test_a_version_is_monitored_with_the_features_it_was_trained_on(desk: Desk) -> None:
    """Whatever the specification says today."""
    spec = replace(SPEC, columns=("rv_5", "ewma_vol"))
    found = desk.monitor(LATER, spec=spec)
    assert [one.subject for one in found.outcome.findings][: len(SPEC.columns)] == list(SPEC.columns)


def test_what_cannot_be_monitored_is_said_in_a_sentence(desk: Desk, tmp_path: Path) -> None:
    """Another model's specification, no such version, and one that was trained elsewhere."""
    other = replace(SPEC, model={**SPEC.model, "name": "another"})
    with pytest.raises(InvalidInput, match=f"--spec is 'another': give the specification of {NAME}"):
        desk.monitor(LATER, spec=other)
    with pytest.raises(NotFound, match="has no version 9"):
        desk.monitor(LATER, reference=f"{NAME}@9")
    text = tmp_path / "weights.txt"
    text.write_text("0.3\n")
    outside = desk.application.registration.register_model(
        SPEC.metadata("a vendor's"), text, provenance={"actor": "quant"}
    )
    with pytest.raises(InvalidInput, match="nobody knows what it was trained on"):
        desk.monitor(LATER, reference=f"{NAME}@{outside.version}")


def test_prices_that_were_changed_where_the_version_was_trained_are_no_part_of_its_reference(
    desk: Desk, tmp_path: Path
) -> None:
    """The reference comes from the version's own snapshot, whatever the source says of the past today."""
    before = pl.when(pl.col("date") < dt.date(2012, 1, 1)).then(1.5).otherwise(1.0)
    restated = tmp_path / "restated.parquet"
    pl.read_parquet(desk.prices).with_columns(close=pl.col("close") * before).write_parquet(restated)
    figures = [one.to_json() for one in desk.monitor("2016-06-29").outcome.findings]
    again = replace(desk, prices=restated).monitor("2016-06-29").outcome
    assert json.dumps([one.to_json() for one in again.findings]) == json.dumps(figures)
