"""Permutation importance and regimes: they find what was put there, and see nothing of the future."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from domain.risk import importance as importance_module
from domain.risk.evaluation import TrainingSet, walk_forward
from domain.risk.folds import plan_folds
from domain.risk.importance import Importance, Shuffled, importance, shuffled
from domain.risk.regimes import REGIMES, MarketVolatility, regime_of
from domain.risk.rows import canonical_rows
from domain.risk.training_set import Floats, label_ends
from tests.risk.oracle_panel import HORIZON, annualised, prices, windowed

SESSIONS = 1300


class OneColumn:
    """A model whose forecast is one of the columns, whatever it is trained on."""

    framework = "numpy"
    tolerance = 0.0

    def __init__(self, column: int) -> None:
        self.column = column
        self.calls = 0

    def parameters(self) -> Mapping[str, Any]:
        return {}

    def train(
        self,
        features: Floats,
        target: Floats,
        parameters: Mapping[str, Any],
        seed: int,
        names: Sequence[str] = (),
    ) -> OneColumn:
        return self

    def predict(self, features: Floats) -> Floats:
        self.calls += 1
        return features[:, self.column]

    def save(self, directory: Path) -> None:
        raise NotImplementedError


@pytest.fixture(scope="module")
def training() -> TrainingSet:
    """Two assets on weekdays; column 1 is the target with a little noise, columns 0 and 2 are noise."""
    random = np.random.default_rng(5)
    days = np.busday_offset(np.datetime64("2012-01-02"), np.arange(SESSIONS))
    assets = np.repeat([0, 1], SESSIONS)
    dates = np.tile(days, 2)
    volatility = 0.1 + 0.3 * random.random(2 * SESSIONS)
    target = volatility.copy()
    target[label_ends(assets, dates, HORIZON).view("i8") == np.iinfo("i8").min] = np.nan
    noise = 0.1 + 0.3 * random.random((2 * SESSIONS, 2))
    features = np.column_stack(
        [noise[:, 0], volatility * np.exp(0.05 * random.normal(size=2 * SESSIONS)), noise[:, 1]]
    )
    return TrainingSet(
        asset_names=("AAA", "BBB"),
        expected=("AAA", "BBB"),
        names=("before", "signal", "after"),
        horizon=HORIZON,
        assets=assets,
        dates=dates,
        label_ends=label_ends(assets, dates, HORIZON),
        features=features,
        target=target,
    )


def test_the_feature_that_a_forecast_is_made_of_is_the_important_one(training: TrainingSet) -> None:
    """Shuffling it worsens every fold; shuffling the others changes nothing at all."""
    found = walk_forward(training, OneColumn(1), {}, 0).importance
    folds = len(plan_folds(training, training.last))
    assert found[0].feature == "signal"
    assert found[0].qlike_rise > 0.2
    assert found[0].folds_worse == folds
    assert found[1:] == (Importance("after", 0.0, 0), Importance("before", 0.0, 0))


def test_a_feature_that_misleads_has_a_rise_below_zero_or_near_it(training: TrainingSet) -> None:
    """Noise as a forecast is no worse when it is shuffled."""
    found = {item.feature: item for item in walk_forward(training, OneColumn(0), {}, 0).importance}
    assert abs(found["before"].qlike_rise) < 0.1


def test_the_seed_decides_the_bits(training: TrainingSet) -> None:
    """The same seed draws the same rows in the same order, another one others."""
    fold = plan_folds(training, training.last)[0]
    one, same, other = (shuffled(OneColumn(1), training, fold, seed) for seed in (7, 7, 8))
    np.testing.assert_array_equal(one.rises, same.rises)
    assert one.rises[1] != other.rises[1]


def test_shuffling_leaves_the_training_set_as_it_was(training: TrainingSet) -> None:
    before = training.features.copy()
    walk_forward(training, OneColumn(1), {}, 0)
    np.testing.assert_array_equal(training.features, before)


def test_a_large_fold_costs_no_more_than_its_most_rows(
    training: TrainingSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are drawn, and one call forecasts all of them, however many features there are."""
    monkeypatch.setattr(importance_module, "MOST_ROWS", 50)
    model = OneColumn(1)
    found = shuffled(model, training, plan_folds(training, training.last)[0], 0)
    assert (found.rows, model.calls) == (50, 1)
    assert found.rises[1] > 0.0


def test_a_forecast_below_zero_counts_as_zero(training: TrainingSet) -> None:
    """Shuffled inputs can lead a linear model there; that is bad, not an error."""
    lowered = replace(training, features=training.features - 0.15)
    fold = plan_folds(training, training.last)[0]
    assert shuffled(OneColumn(1), lowered, fold, 0).rises.shape == (3,)


def test_folds_are_weighted_by_their_rows() -> None:
    folds = [Shuffled(10, np.array([1.0, -1.0])), Shuffled(30, np.array([3.0, 0.0]))]
    assert importance(("a", "b"), folds) == (Importance("a", 0.1, 2), Importance("b", -0.025, 0))


# Regimes


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> MarketVolatility:
    """The market of the real panel, through the project's own canonical rows."""
    home = tmp_path_factory.mktemp("market")
    table = prices().unpivot(index="Date", variable_name="asset", value_name="close")
    source = home / "panel.parquet"
    table.rename({"Date": "date"}).write_parquet(source)
    return MarketVolatility.of(canonical_rows(source, dt.date(2022, 12, 28), None, home / "rows").dataset)


def test_market_volatility_is_what_plain_numpy_makes_of_the_prices(market: MarketVolatility) -> None:
    table = prices()
    close = table.select(pl.exclude("Date")).to_numpy().astype(np.float64)
    returns = np.vstack([np.zeros(close.shape[1]), np.log(close[1:] / close[:-1])])
    squares = returns.mean(axis=1, keepdims=True) ** 2
    expected = annualised(windowed(squares, np.ones(21) / 21))[21:, 0]
    days = table["Date"].to_numpy().astype("datetime64[D]")[21:]
    np.testing.assert_allclose(market.at(days), expected, rtol=1e-9)


def test_each_regime_is_a_third_of_the_sessions(market: MarketVolatility) -> None:
    """Sessions count once, however many rows they have; calm ones have the least volatility."""
    days = market.dates[30:930]
    rows = np.concatenate([days, days[:100], days[:100]])
    regimes = regime_of(rows, market)
    for place in range(len(REGIMES)):
        assert np.count_nonzero(regimes[:900] == place) == 300
    volatility = market.at(days)
    calm, normal, stressed = (volatility[regimes[:900] == place] for place in range(3))
    assert calm.max() < normal.min()
    assert normal.max() < stressed.min()


def test_a_session_without_market_volatility_has_no_regime(market: MarketVolatility) -> None:
    """The first sessions of the panel, and days that are none; if no session has one, nobody has."""
    sunday = np.array(["2020-01-05"], dtype="datetime64[D]")
    early = market.dates[:5]
    regimes = regime_of(np.concatenate([early, sunday, market.dates[30:60]]), market)
    assert np.all(np.isnan(regimes[:6]))
    assert not np.any(np.isnan(regimes[6:]))
    assert np.all(np.isnan(regime_of(early, market)))


def test_later_prices_do_not_change_a_sessions_market_volatility(tmp_path: Path) -> None:
    """What tells regimes apart was known when the forecast was made."""
    table = prices().unpivot(index="Date", variable_name="asset", value_name="close").rename({"Date": "date"})
    cut = dt.date(2000, 3, 31)
    known = table.filter(pl.col("date").is_between(dt.date(1999, 1, 1), dt.date(2000, 12, 29)))
    poisoned = known.with_columns(
        pl.when(pl.col("date") > cut).then(pl.col("close") * 3).otherwise(pl.col("close")).alias("close")
    )
    found = []
    for name, frame in (("known", known), ("poisoned", poisoned)):
        source = tmp_path / f"{name}.parquet"
        frame.write_parquet(source)
        rows = canonical_rows(source, dt.date(2000, 12, 29), None, tmp_path / name)
        found.append(MarketVolatility.of(rows.dataset))
    days = found[0].dates[found[0].dates <= np.datetime64(cut)]
    np.testing.assert_array_equal(found[0].at(days), found[1].at(days))
    assert not np.array_equal(found[0].at(found[0].dates), found[1].at(found[0].dates))


def test_regimes_are_scored_on_all_tested_rows(training: TrainingSet) -> None:
    """Together they have the rows of the whole, and their losses add up to it."""
    sessions = np.unique(training.dates)
    market = MarketVolatility(sessions, np.linspace(0.1, 0.5, sessions.size))
    found = walk_forward(training, OneColumn(1), {}, 0, market=market)
    assert [scores.group for scores in found.by_regime] == list(REGIMES)
    rows = found.forecasts.realised.size
    assert sum(scores.rows for scores in found.by_regime) == rows
    total = sum(scores.rows * scores.by_model["candidate"]["qlike"] for scores in found.by_regime)
    assert total / rows == pytest.approx(found.metrics["qlike"], rel=1e-12)
    assert walk_forward(training, OneColumn(1), {}, 0).by_regime == ()
