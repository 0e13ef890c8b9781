"""Scoring by a registered version on real prices: what is kept, where it is found, and what is refused."""

from __future__ import annotations

import datetime as dt
import os
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain.registry.errors import IntegrityError, InvalidInput, NotFound, NotVerified
from domain.registry.gates import DataValidated
from domain.risk.blocks import BLOCK_DAYS
from domain.risk.dataset import Dataset
from domain.risk.feature_set import feature_table
from domain.risk.features import feature_definition
from domain.risk.pipeline import ModelPipeline, RunRequest
from domain.risk.reproduction.inputs import TrainingInputs
from domain.risk.scoring.forecast_sets import ForecastSet, newest
from domain.risk.scoring.service import ModelScoring
from domain.risk.spec import ModelSpec
from tests.adapters.artifacts import safetensors
from tests.exactly_once.candidates import EVIDENCE, lineage, metadata
from tests.serving.shop import Shop, onnx_files, predictor
from veritasvault.adapters.uri_source import UriSource
from veritasvault.bootstrap import Application

COLUMNS = ("rv_1", "rv_5", "log_return")
"""Those of the version that was trained here; the specification has others by now."""
ASSETS = ("AAPL", "JNJ", "KO", "XOM")
EARLY, SESSION, SINCE = "2016-06-30", "2016-07-29", dt.date(2015, 9, 1)
SPEC = replace(
    ModelSpec.load(Path(__file__).parents[3] / "dags" / "volatility_forecast.toml"), columns=("rv_5", "rv_21")
)
NAME = SPEC.name


@dataclass(frozen=True)
class Desk:
    """A registry with versions in it, and prices of two years."""

    application: Application
    prices: Path

    def score(self, as_of: str = SESSION, engine: str = "inline", **changes: object) -> ForecastSet:
        request = RunRequest(dt.datetime.now(dt.UTC), as_of=as_of, source=str(self.prices))
        given = {"reference": f"{NAME}@1", "spec": SPEC, "since": None, **changes}
        scoring = ModelScoring(given["spec"], self.application)  # type: ignore[arg-type]
        return scoring.score(str(given["reference"]), request, engine, given["since"])  # type: ignore[arg-type]

    def expected(self, first: str, last: str) -> pl.DataFrame:
        """What version 1 forecasts, from the feature set as it is in memory."""
        pipeline = ModelPipeline(replace(SPEC, columns=COLUMNS), self.application)
        request = RunRequest(dt.datetime.now(dt.UTC), as_of=SESSION, source=str(self.prices), assets=ASSETS)
        prepared = pipeline.prepare(pipeline.ingest(request), "inline")
        frame = pl.DataFrame(feature_table(Dataset.open(Path(prepared.path))))
        names = feature_definition(COLUMNS, SPEC.target).columns
        days = pl.col("date").is_between(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
        frame = frame.filter(days)
        return frame.select("asset", "date").with_columns(
            pl.col("asset").cast(pl.String),
            forecast=pl.Series(predictor(1).predict(frame.select(names).to_numpy())),
        )


def of_ours(number: int) -> dict[str, bytes]:
    """An artifact that takes the columns by their names in the feature set."""
    files = onnx_files(number)
    return {name: data.replace(b'"leverage"', b'"log_return"') for name, data in files.items()}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Version 1 was trained here on three features of three assets, 2 elsewhere, and 3 is no ONNX."""
    directory = tmp_path_factory.mktemp("desk")
    frame = pl.read_parquet(UriSource().fetch("sample://sp500", directory))
    years = pl.col("date").is_between(dt.date(2015, 1, 1), dt.date(2016, 12, 31))
    frame.filter(years & pl.col("asset").is_in([*ASSETS, "WMT"])).sort("asset", "date").write_parquet(
        directory / "prices.parquet"
    )
    application = Shop(directory).application()
    for number, files in ((1, of_ours(1)), (2, of_ours(2)), (3, {"model.safetensors": safetensors()})):
        folder = directory / f"model-{number}"
        folder.mkdir()
        for path, content in files.items():
            (folder / path).write_bytes(content)
        trained = number == 1
        application.registration.register_model(
            metadata(NAME),
            folder,
            lineage=lineage(number) if trained else None,
            evidence=EVIDENCE if trained else None,
            gates=(DataValidated(),) if trained else (),
            attachments=(TrainingInputs(COLUMNS, SPEC.target, ASSETS, None, None).attachment(),)
            if trained
            else (),
            provenance={"snapshot": "a" * 64},
        )
    return Desk(application, directory / "prices.parquet")


def test_each_asset_of_the_session_is_forecast_with_the_features_the_version_was_trained_on(
    desk: Desk,
) -> None:
    """Asset, session, forecast and model id; whatever the specification says today."""
    found = desk.score()
    rows = pl.DataFrame(found.table())
    expected = desk.expected(SESSION, SESSION)
    assert rows.select("asset", "date").equals(expected.select("asset", "date"))
    np.testing.assert_allclose(rows["forecast"].to_numpy(), expected["forecast"].to_numpy(), rtol=1e-12)
    assert rows["model_id"].unique().to_list() == [found.model_id]
    assert (found.reference, found.first, found.session, found.rows) == (f"{NAME}@1", SESSION, SESSION, 4)


def test_a_run_that_is_repeated_gives_the_same_forecasts_at_the_same_address(desk: Desk) -> None:
    found = desk.score()
    place = Path(found.path)
    files = {path.name: path.read_bytes() for path in place.iterdir()}
    assert desk.score() == found
    assert {path.name: path.read_bytes() for path in place.iterdir()} == files
    assert place.name == found.digest


def test_dask_gives_the_bytes_of_no_engine_for_sessions_of_several_partitions(desk: Desk) -> None:
    """Each worker opens the version for itself."""
    alone, shared = desk.score(since=SINCE), desk.score(engine="dask", since=SINCE)
    assert alone == shared
    assert len(list(Path(alone.path).glob("forecasts-*.parquet"))) >= 300 // BLOCK_DAYS
    rows = pl.DataFrame(alone.table()).sort("asset", "date")
    expected = desk.expected(SINCE.isoformat(), SESSION)
    assert rows.height == expected.height
    np.testing.assert_allclose(rows["forecast"].to_numpy(), expected["forecast"].to_numpy(), rtol=1e-12)


def test_forecasts_are_found_by_name_and_session(desk: Desk) -> None:
    """The last session if none is named; of several for a session those of the last run."""
    early, late = desk.score(EARLY), desk.score()
    other = desk.score(reference=f"{NAME}@2", spec=replace(SPEC, columns=COLUMNS))
    workspace = desk.application.workspace
    for made, found in enumerate((late, other)):
        os.utime(found.path, (2_000_000_000 + made, 2_000_000_000 + made))
    assert newest(workspace, NAME) == other
    assert newest(workspace, NAME, dt.date.fromisoformat(EARLY)) == early
    with pytest.raises(NotFound, match="for 2016-07-04 are kept: run the DAG score_models"):
        newest(workspace, NAME, dt.date(2016, 7, 4))
    with pytest.raises(NotFound, match="no forecasts of nobody are kept"):
        newest(workspace, "nobody")
    with pytest.raises(InvalidInput, match="NAME is"):
        newest(workspace, "../rows")


def test_a_changed_forecast_is_not_shown(desk: Desk) -> None:
    found = desk.score(EARLY)
    (part,) = Path(found.path).glob("forecasts-*.parquet")
    good = part.read_bytes()
    part.write_bytes(good.replace(b"AAPL", b"MSFT"))
    with pytest.raises(IntegrityError, match="changed: its SHA-256 is another"):
        found.table()
    part.write_bytes(good)


def test_a_version_trained_elsewhere_takes_what_the_specification_says(desk: Desk) -> None:
    """All assets there are; and if it takes other features, a sentence says which."""
    with pytest.raises(InvalidInput, match="give the model's columns too: rv_1, log_return"):
        desk.score(reference=f"{NAME}@2")
    found = desk.score(reference=f"{NAME}@2", spec=replace(SPEC, columns=COLUMNS))
    assert found.rows == 5


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"reference": f"{NAME}@3", "spec": replace(SPEC, columns=COLUMNS)}, "it is not one ONNX file"),
        ({"spec": replace(SPEC, model={**SPEC.model, "name": "another"})}, "--spec is 'another'"),
        ({"since": dt.date(2016, 8, 1)}, "since is '2016-08-01': give a day not after the session"),
    ],
)
def test_what_cannot_be_scored_is_said_in_a_sentence_and_keeps_nothing(
    desk: Desk, changes: dict[str, object], sentence: str
) -> None:
    before = desk.application.workspace.kept(f"forecasts/{NAME}")
    with pytest.raises(InvalidInput, match=sentence):
        desk.score(**changes)
    assert desk.application.workspace.kept(f"forecasts/{NAME}") == before


def test_a_worker_opens_nothing_that_was_changed_on_its_way(desk: Desk) -> None:
    """Every file is verified there, and what proves them too; a worker needs nothing of the home."""
    features = np.full((2, 3), 0.2)
    with desk.application.shipped_version(f"{NAME}@1") as shipped:
        pass
    travelled = pickle.loads(pickle.dumps(shipped))
    np.testing.assert_allclose(
        travelled.forecast(features, COLUMNS), predictor(1).predict(features), rtol=1e-12
    )
    assert {"proof.json", "artifact/model.onnx"} <= {name for name, _ in shipped.files}
    for name, content in shipped.files:
        for bad in (content.replace(b"veritasvault", b"Veritasvault"), content[:-1], None):
            others = tuple(file for file in shipped.files if file[0] != name)
            files = others if bad is None else (*others, (name, bad))
            if bad == content:
                continue
            with pytest.raises((IntegrityError, NotVerified)):
                replace(shipped, files=files).forecast(features, COLUMNS)
    with pytest.raises(NotVerified):
        replace(shipped, trusted=()).forecast(features, COLUMNS)
