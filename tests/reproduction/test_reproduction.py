"""A version is reproduced from its record, or the first stage that differs is named with its amount."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from domain.registry.canonical import decode, digest, encode
from domain.registry.card import to_html, to_markdown
from domain.registry.errors import IntegrityError, InvalidInput, Unavailable
from domain.registry.events.reproduction import ModelReproducedEvent, ReproductionFailedEvent
from domain.risk.dataset import canonical_parquet
from domain.risk.ports import TrainedModel, TrainerPort
from domain.risk.reproduction.report import report_of
from domain.risk.reproduction.service import Reproduction, Request
from tests.reproduction.bench import NAME, Bench, Trained, with_json
from veritasvault.adapters.onnx_model import OnnxModel
from veritasvault.adapters.spark_prep import SparkPrepEngine


def failed(found: Reproduction) -> ReproductionFailedEvent:
    """The event of a reproduction that failed; its report renders."""
    event = found.event.event
    assert isinstance(event, ReproductionFailedEvent)
    assert not found.verdict.reproduced
    assert event.stage == found.verdict.stage
    card = report_of(found)
    assert event.stage in to_markdown(card)
    assert "<table" in to_html(card)
    return event


def test_the_record_of_a_version_gives_its_artifact_again(bench: Bench, trained: Trained) -> None:
    """One event says so: who, when, on which engine, in which environment. Nothing else changes."""
    reference = bench.register(trained)
    application = bench.application
    before = list(application.registry.list())
    found = bench.reproduce(reference)
    event = found.event.event
    assert isinstance(event, ModelReproducedEvent)
    assert event.artifact_digest == found.record.artifact_digest
    assert event.environment == trained.lineage.environment
    assert (event.engine, event.sequence, event.difference) == ("inline", 0, 0.0)
    assert event.provenance["actor"] == application.person
    assert {one.stage: one.same for one in found.findings} == dict.fromkeys(
        ("code", "environment", "data", "features", "training"), True
    )
    assert list(application.registry.list()) == before
    assert [row.version for row in application.catalog.versions(NAME)] == [1]
    assert application.lifecycle.state(NAME).champion is None
    assert application.audit.everything().problems == ()
    assert list((bench.home / "workspace").glob(".scratch-*")) == []


@pytest.mark.parametrize("engine", ["dask", pytest.param("spark", marks=pytest.mark.spark)])
def test_versions_made_on_an_engine_are_reproduced_without_one(tmp_path: Path, engine: str) -> None:
    """A history of decades, which is worth an engine; this process alone computes the same again."""
    bench = Bench.at(tmp_path / "home")
    bench.write_panel(first_year=1990)
    reference = bench.register(bench.train(engine))
    assert max(bench.application.tasks) > 1
    found = bench.reproduce(reference, "inline")
    assert (found.record.engine, found.engine) == (engine, "inline")
    assert found.verdict.reproduced


def test_a_parameter_that_was_another_is_a_training_that_differs(bench: Bench, trained: Trained) -> None:
    """The record says alpha 100, the model was trained with 1: the forecasts say by how much."""
    parameters = {**trained.lineage.parameters, "alpha": 100.0}
    reference = bench.register(replace(trained, lineage=replace(trained.lineage, parameters=parameters)))
    found = bench.reproduce(reference)
    event = failed(found)
    assert (event.stage, event.recorded) == ("training", found.record.artifact_digest)
    assert event.found == event.other_artifact == found.artifact != event.recorded
    finding = found.finding("training")
    assert finding is not None
    assert finding.forecasts is not None
    assert finding.forecasts.changed > 0.9 * finding.forecasts.rows
    assert 1e-6 < finding.forecasts.relative < 0.5
    assert f"by at most {finding.forecasts.largest:.6g}" in event.reason


KO_DAY = (pl.col("asset") == "KO") & (pl.col("date") == dt.date(2013, 6, 3))


def kept_snapshot(bench: Bench, trained: Trained) -> Path:
    """Where DVC keeps the bytes, made writable."""
    md5 = trained.provenance["snapshot_id"].removeprefix("md5:")
    kept = bench.home / "snapshots" / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
    kept.chmod(0o644)
    return kept


def change_a_price(bench: Bench, trained: Trained) -> float:
    """Make one price of the snapshot that is kept another; what it was."""
    frame, kept = pl.read_parquet(bench.source), kept_snapshot(bench, trained)
    frame.with_columns(
        pl.when(KO_DAY).then(pl.col("close") + 1).otherwise("close").alias("close")
    ).write_parquet(kept)
    return float(frame.filter(KO_DAY)["close"][0])


def test_a_price_that_was_changed_in_the_snapshot_store_is_named(bench: Bench, trained: Trained) -> None:
    """Asset, day and both prices; and what it does to features and forecasts."""
    reference = bench.register(trained)
    was = change_a_price(bench, trained)
    found = bench.reproduce(reference)
    event = failed(found)
    assert (event.stage, event.recorded) == ("data", trained.lineage.data)
    assert f"snapshot {trained.provenance['snapshot']} changed" in event.reason
    assert f"most in close of KO on 2013-06-03: {was + 1:.10g} instead of {was:.10g}" in event.reason
    data, features = found.finding("data"), found.finding("features")
    assert data is not None
    assert data.table is not None
    assert (data.table.rows, data.table.columns[0].largest) == (1, 1.0)
    assert features is not None
    assert features.table is not None
    assert {"rv_1", "log_return"} <= {column.name for column in features.table.columns}
    # The features of KO whose windows have the day, and the market's on every asset.
    assert features.table.rows > 100


def test_without_the_rows_of_the_first_training_the_days_are_named(
    prepared: tuple[Bench, Trained], bench: Bench, trained: Trained
) -> None:
    """The record lists the blocks of days by their digests, so an emptied workspace costs only the rows."""
    reference = bench.register(trained)
    change_a_price(bench, trained)
    shutil.rmtree(bench.home / "workspace")
    event = failed(bench.reproduce(reference))
    assert event.stage == "data"
    blocks = len(json.loads(trained.attachments["inputs.json"].content)["rows"])
    assert f"1 of {blocks} parts of the rows differ, the first is 2013-0" in event.reason


def test_a_snapshot_that_nobody_can_read_any_more_is_named(bench: Bench, trained: Trained) -> None:
    reference = bench.register(trained)
    kept_snapshot(bench, trained).write_bytes(b"no table")
    event = failed(bench.reproduce(reference))
    assert (event.stage, event.found, event.other_artifact) == ("data", None, None)
    assert f"snapshot {trained.provenance['snapshot']} changed" in event.reason


def test_an_engine_that_is_not_installed_says_nothing_of_the_version(
    bench: Bench, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and nothing is recorded."""
    reference = bench.register(trained)
    before = bench.application.ledger.view().size
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "git").symlink_to(shutil.which("git") or "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setattr(bench.application, "engine", lambda _name: SparkPrepEngine("local[1]"))
    with pytest.raises(Unavailable, match="install Java 17"):
        bench.reproduce(reference, "spark")
    assert bench.application.ledger.view().size == before


def test_a_changed_artifact_is_the_registrys_trouble_and_no_finding(bench: Bench, trained: Trained) -> None:
    reference = bench.register(trained)
    (model,) = (bench.home / "registry" / "models").glob("*/artifact/model.onnx")
    model.chmod(0o644)
    model.write_bytes(model.read_bytes()[:-1])
    before = bench.application.ledger.view().size
    with pytest.raises(IntegrityError, match=r"model\.onnx"):
        bench.reproduce(reference)
    assert bench.application.ledger.view().size == before


def test_a_snapshot_that_is_gone_is_said_and_nothing_is_trained(bench: Bench, trained: Trained) -> None:
    reference = bench.register(trained)
    shutil.rmtree(bench.home / "snapshots")
    event = failed(bench.reproduce(reference))
    assert (event.stage, event.found, event.other_artifact) == ("data", None, None)
    assert trained.provenance["snapshot"] in event.reason


def test_a_feature_set_that_is_another_is_found_before_the_training(bench: Bench, trained: Trained) -> None:
    """The rows are the same, one block of features has other bytes in the record."""
    inputs: Any = json.loads(trained.attachments["inputs.json"].content)
    inputs["features"][3]["sha256"] = digest(b"other bytes")
    found = bench.reproduce(bench.register(with_json(trained, "inputs.json", inputs)))
    finding = found.finding("features")
    assert finding is not None
    assert not finding.same
    assert f"1 of {len(inputs['features'])} parts of the rows of features differ" in finding.amount
    assert found.verdict.reproduced
    assert found.verdict.reason == "the same artifact, although there is a difference in features"


def test_another_environment_is_an_obstacle_unless_it_may_be_used(bench: Bench, trained: Trained) -> None:
    """By default nothing is trained; with `here` it is, and the artifact decides."""
    environment: Any = decode(trained.attachments["environment.json"].content, "environment")
    numpy = environment["packages"]["numpy"]
    environment["packages"]["numpy"] = "1.0"
    lineage = replace(trained.lineage, environment=digest(encode(environment)))
    reference = bench.register(replace(with_json(trained, "environment.json", environment), lineage=lineage))
    found = bench.reproduce(reference)
    event = failed(found)
    assert (event.stage, event.recorded, event.other_artifact) == ("environment", lineage.environment, None)
    assert f"numpy is {numpy} instead of 1.0" in event.reason
    assert found.finding("data") is None
    again = bench.reproduce(reference, here=True)
    assert again.verdict.reproduced
    assert again.verdict.reason == "the same artifact, although there is a difference in environment"
    assert isinstance(again.event.event, ModelReproducedEvent)
    assert again.event.event.environment == trained.lineage.environment


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("unknown", "nobody recorded the commit"),
        (f"{'0' * 40}-dirty", "never committed"),
        ("0" * 40, "does not have"),
        ("--upload-pack=x", "does not have"),
    ],
)
def test_code_that_cannot_be_had_is_said(bench: Bench, trained: Trained, code: str, said: str) -> None:
    """With `here` the code that runs is used all the same; only the artifact decides."""
    lineage = replace(trained.lineage, sources=digest(b"other sources"))
    provenance = {**trained.provenance, "code": code}
    reference = bench.register(replace(trained, lineage=lineage, provenance=provenance))
    event = failed(bench.reproduce(reference))
    assert (event.stage, event.recorded, event.other_artifact) == ("code", lineage.sources, None)
    assert said in event.reason
    again = bench.reproduce(reference, here=True)
    assert again.verdict.reproduced
    assert said in next(one for one in again.findings if one.stage == "code").amount


def test_a_version_from_before_its_inputs_were_kept_is_trained_by_the_names_in_its_evidence(
    bench: Bench, trained: Trained
) -> None:
    attachments = {name: item for name, item in trained.attachments.items() if name != "inputs.json"}
    found = bench.reproduce(bench.register(replace(trained, attachments=attachments)))
    assert found.verdict.reproduced
    features = found.finding("features")
    assert features is not None
    assert features.recorded is None


def test_a_model_that_was_trained_elsewhere_is_refused_with_one_sentence(
    bench: Bench, trained: Trained
) -> None:
    registered = bench.application.registration.register_model(
        bench.spec.metadata("vendor"), Path(trained.candidate.path) / "artifact"
    )
    with pytest.raises(InvalidInput, match="it was trained elsewhere, the registry has no lineage"):
        bench.reproduce(f"{registered.name}@1")


def test_the_same_run_is_recorded_once(bench: Bench, trained: Trained) -> None:
    """A task that is tried again after its commit adds nothing, another run does."""
    reference = bench.register(trained)
    first, again, other = (bench.reproduce(reference, run=run).event for run in ("a", "a", "b"))
    assert first.index == again.index
    assert other.index > first.index
    assert other.event.sequence == 1  # type: ignore[attr-defined]


def test_progress_is_told_before_each_stage(bench: Bench, trained: Trained) -> None:
    told: list[str] = []
    request = Request(bench.register(trained), "test", {})
    bench.application.reproductions.reproduce(request, told.append)
    assert told[:5] == ["code", "environment", "data", "features", "training"]


@dataclass(frozen=True)
class Noisy:
    """A trainer whose intercept is another each time, as if its sums had no fixed order."""

    exact: TrainerPort
    noise: float
    tolerance: float
    times: Any

    @property
    def framework(self) -> str:
        return self.exact.framework

    def parameters(self) -> Any:
        return self.exact.parameters()

    def train(self, *given: Any) -> TrainedModel:
        model = self.exact.train(*given)
        assert isinstance(model, OnnxModel)
        predictor: Any = model.predictor
        shifted = replace(predictor, intercept=predictor.intercept + self.noise * next(self.times))
        return replace(model, predictor=shifted)


@pytest.mark.parametrize(("tolerance", "reproduced"), [(1e-3, True), (1e-9, False), (0.0, False)])
def test_a_declared_tolerance_is_honoured_and_no_more(
    bench: Bench, tolerance: float, reproduced: bool
) -> None:
    """Two trainings differ by some millionths; what the version's own training declared decides."""
    times = count()
    bench.application.replaced = lambda exact: Noisy(exact, 1e-6, tolerance, times)
    reference = bench.register(bench.train())
    # What the trainer declares by now has no say.
    bench.application.replaced = lambda exact: Noisy(exact, 1e-6, 1e-3, times)
    found = bench.reproduce(reference)
    finding = found.finding("training")
    assert finding is not None
    assert finding.forecasts is not None
    assert 0 < finding.forecasts.relative < 1e-4
    assert found.artifact != found.record.artifact_digest
    assert found.verdict.reproduced == reproduced
    if reproduced:
        assert isinstance(found.event.event, ModelReproducedEvent)
        assert found.event.event.difference == finding.forecasts.relative
        assert found.event.event.artifact_digest == found.artifact
    else:
        assert failed(found).stage == "training"


@dataclass(frozen=True)
class Chatty:
    """A trained model whose files say how often it was saved, and whose forecasts do not depend on it."""

    model: TrainedModel
    times: Any

    def predict(self, features: Any) -> Any:
        return self.model.predict(features)

    def save(self, directory: Path) -> None:
        self.model.save(directory)
        (directory / "notes.json").write_text(json.dumps({"saved": next(self.times)}))


@dataclass(frozen=True)
class ChattyTrainer(Noisy):
    """A trainer of those."""

    def train(self, *given: Any) -> TrainedModel:
        return Chatty(self.exact.train(*given), self.times)


def test_the_same_forecasts_in_other_files_are_an_export_that_differs(bench: Bench) -> None:
    times = count()
    bench.application.replaced = lambda exact: ChattyTrainer(exact, 0.0, 0.0, times)
    reference = bench.register(bench.train())
    found = bench.reproduce(reference)
    event = failed(found)
    assert event.stage == "export"
    assert event.reason.startswith("notes.json differ, all ")


def test_blocks_that_an_earlier_run_left_are_not_believed(bench: Bench, trained: Trained) -> None:
    """A poisoned store gives a pipeline other features; the reproduction computes them itself."""
    poison_a_block_of_features(bench.home / "workspace" / "blocks")
    poisoned = bench.train()
    assert poisoned.lineage == trained.lineage
    event = failed(bench.reproduce(bench.register(poisoned)))
    assert event.stage == "features"
    assert "most in " in event.reason


def poison_a_block_of_features(store: Path) -> None:
    """Add 1 to all features of one block, and let every record that names the block name the new one."""
    found: Any = None
    for record in (store / "records").iterdir():
        parts = [part for part in parts_in(body_of(record)) if "features-2014-" in part["name"]]
        found = found or (parts[0] if parts else None)
    table = pq.read_table(store / "files" / found["sha256"])
    for name in table.column_names[2:]:
        table = table.set_column(table.column_names.index(name), name, pc.add(table.column(name), 1.0))
    data = canonical_parquet(table, table.schema)
    (store / "files" / digest(data)).write_bytes(data)
    for record in (store / "records").iterdir():
        document = body_of(record)
        for part in parts_in(document):
            if part["sha256"] == found["sha256"]:
                part |= {"sha256": digest(data), "size": len(data)}
        body = json.dumps(document).encode()
        record.write_bytes(digest(body).encode() + b"\n" + body)


def body_of(record: Path) -> Any:
    """What a record says, below the line with its digest."""
    return json.loads(record.read_bytes().partition(b"\n")[2])


def parts_in(document: Any) -> list[dict[str, Any]]:
    """All parts in a JSON document."""
    if isinstance(document, list):
        return [part for item in document for part in parts_in(item)]
    if not isinstance(document, dict):
        return []
    return (
        [document]
        if "sha256" in document
        else [part for item in document.values() for part in parts_in(item)]
    )
