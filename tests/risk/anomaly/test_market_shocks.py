"""Shocks of share prices on the real panel: those on record are found; surprises are as numpy has them."""

from __future__ import annotations

import datetime as dt
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain.risk.anomaly.detection import Detection
from domain.risk.features import feature_definition
from domain.risk.features.surprise import surprise
from domain.risk.preparation import prepare
from domain.risk.problems import problem
from domain.risk.problems.contract import Setting
from domain.risk.rows import canonical_rows
from domain.risk.shocks import KNOWN_SHOCKS, known_shock
from domain.risk.spec import ModelSpec
from domain.risk.training_set import TrainingSet
from tests.risk.feature_panels import panel
from veritasvault.adapters.inline_prep import InlinePrepEngine
from veritasvault.adapters.trainers import trainer
from veritasvault.adapters.uri_source import UriSource

SPEC = ModelSpec.load(Path(__file__).parents[3] / "dags" / "market_anomaly.toml")
ASSETS = ["GE", "JNJ", "JPM", "KO", "MSFT", "XOM"]
AS_OF = dt.date(2020, 12, 31)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Detection:
    """Six shares from 2012 on, tested from 2015 to 2020."""
    home = tmp_path_factory.mktemp("shares")
    prices = pl.read_parquet(UriSource().fetch("sample://sp500", home))
    prices.filter(pl.col("date") > dt.date(2012, 6, 30)).write_parquet(home / "recent.parquet")
    definition = feature_definition(SPEC.columns, SPEC.target)
    rows = canonical_rows(home / "recent.parquet", AS_OF, ASSETS, home / "rows")
    made = prepare(rows.dataset, definition, InlinePrepEngine(), home / "features")
    training = TrainingSet.of(made.dataset, definition, rows.assets)
    setting = Setting(as_of=AS_OF, classes=definition.label.classes)
    detection = problem("anomaly").evaluate(training, trainer("student_t"), {}, 0, setting)
    assert isinstance(detection, Detection)
    return detection


def test_the_pandemic_and_the_other_large_shocks_are_found(found: Detection) -> None:
    """On each of the shares; smaller ones need not be."""
    episodes = {kind["kind"]: kind["episodes_found"] for kind in found.by_kind}
    for shock in ("24 August 2015", "volatility products collapse", "pandemic"):
        assert episodes[shock] == len(ASSETS), shock
    assert found.by_asset[0].by_model["candidate"]["recall"] > 0.3


def test_alarms_are_right_more_often_than_those_of_one_return_alone(found: Detection) -> None:
    assert found.metrics["precision"] > 0.6
    assert found.baselines["return_z"]["precision"] < 0.7 * found.metrics["precision"]
    assert found.baselines["random"]["precision"] < 0.1
    assert found.evidence().p_value("false_discovery_rate", "return_z") < 0.05  # type: ignore[operator]


def test_a_session_is_labelled_by_the_shock_on_record_a_row_later() -> None:
    first = (dt.date(2020, 2, 19) - dt.date(1970, 1, 1)).days
    labels = known_shock(panel(np.linspace(50.0, 60.0, 70), first))
    names = ["", *(shock.name for shock in KNOWN_SHOCKS)]
    found = [names[int(label)] for label in labels[1:]]
    assert found[:5] == [""] * 5
    assert found[5:51] == ["pandemic"] * 46
    assert set(found[51:]) == {""}


def test_shocks_on_record_are_in_the_order_of_time_and_apart() -> None:
    for before, after in pairwise(KNOWN_SHOCKS):
        assert before.first <= before.last < after.first


@pytest.mark.parametrize("mean_of", [1, 3])
def test_a_surprise_is_what_plain_numpy_makes_of_its_window_and_of_nothing_else(mean_of: int) -> None:
    """The same bits wherever the history starts."""
    values = np.random.default_rng(2).standard_t(4, 200)
    made = surprise(values, 56, 0.05, mean_of=mean_of)
    for row in range(56 + mean_of, 200):
        now, before = values[row - mean_of + 1 : row + 1], values[row - mean_of - 55 : row - mean_of + 1]
        expected = (now.mean() - before.mean()) / (before.std() / np.sqrt(mean_of))
        assert made[row] == pytest.approx(expected, rel=1e-9)
    later = surprise(values[50:], 56, 0.05, mean_of=mean_of)
    np.testing.assert_array_equal(later[56 + mean_of :], made[50 + 56 + mean_of :])


def test_a_series_that_hardly_moved_makes_no_small_move_look_enormous() -> None:
    still = np.append(np.full(60, 3.0), 3.01)
    assert surprise(still, 56, 0.05)[-1] == pytest.approx(0.2)
