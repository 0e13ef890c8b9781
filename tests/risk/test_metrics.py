"""Metrics of volatility forecasts, and the baselines they are compared with."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from domain.registry.errors import InvalidInput
from domain.risk import baselines
from domain.risk.metrics import METRICS, VARIANCE_FLOOR, qlike, qlike_losses, r2, rmse, score

volatilities = arrays(np.float64, 5, elements=st.floats(0.01, 3.0))


def test_qlike_is_what_the_formula_gives_by_hand() -> None:
    """With twice the volatility realised, x = 4 and QLIKE = 3 - ln 4; with half, x = 1/4."""
    losses = qlike_losses(np.array([0.4, 0.1]), np.array([0.2, 0.2]))
    assert losses == pytest.approx([3 - math.log(4), 0.25 + math.log(4) - 1], rel=1e-14)


@given(volatilities, volatilities)
def test_qlike_is_zero_for_a_perfect_forecast_and_positive_otherwise(y: np.ndarray, h: np.ndarray) -> None:
    assert qlike(y, y) == 0.0
    assert np.all(qlike_losses(y, h) >= 0.0)


@given(volatilities, volatilities, st.floats(0.1, 10.0))
def test_qlike_does_not_depend_on_the_unit(y: np.ndarray, h: np.ndarray, unit: float) -> None:
    assert qlike(y * unit, h * unit) == pytest.approx(qlike(y, h), rel=1e-9, abs=1e-12)


@given(st.floats(0.05, 2.0), st.floats(1.1, 5.0))
def test_qlike_punishes_a_forecast_that_is_too_low_more_than_one_too_high(y: float, times: float) -> None:
    realised = np.array([y])
    assert qlike(realised, realised / times) > qlike(realised, realised * times)


def test_a_price_that_stood_still_costs_a_finite_amount() -> None:
    """A realised variance of zero counts as the stated floor."""
    assert qlike(np.array([0.0]), np.array([0.2])) == qlike(np.array([VARIANCE_FLOOR**0.5]), np.array([0.2]))
    assert qlike(np.array([0.0]), np.array([0.0])) == 0.0


def test_rmse_and_r2_are_what_the_formulas_give_by_hand() -> None:
    realised, forecast = np.array([0.1, 0.2, 0.3]), np.array([0.1, 0.2, 0.6])
    assert rmse(realised, forecast) == pytest.approx(math.sqrt(0.09 / 3))
    assert r2(realised, forecast) == pytest.approx(1 - 0.09 / 0.02)
    assert r2(realised, np.full(3, 0.2)) == pytest.approx(0.0)
    assert r2(np.full(3, 0.2), realised) == 0.0


def test_scores_are_plain_floats_under_the_names_that_gates_use() -> None:
    scores = score(np.array([0.1, 0.2]), np.array([0.1, 0.3]))
    assert list(scores) == list(METRICS) == ["qlike", "rmse", "r2"]
    assert {type(value) for value in scores.values()} == {float}


@pytest.mark.parametrize(
    ("realised", "forecast", "field"),
    [
        ([0.1, np.nan], [0.1, 0.1], "realised"),
        ([0.1, 0.1], [0.1, np.inf], "forecast"),
        ([0.1, 0.1], [0.1, -0.1], "forecast"),
        ([0.1, 0.1], [0.1], "forecast"),
        ([], [], "forecast"),
    ],
)
def test_what_is_no_volatility_is_refused_by_name(
    realised: list[float], forecast: list[float], field: str
) -> None:
    for metric in METRICS.values():
        with pytest.raises(InvalidInput) as refused:
            metric(np.array(realised), np.array(forecast))
        assert refused.value.field == field


def test_baselines_are_feature_columns_and_are_left_out_without_them() -> None:
    columns = {"rv_5": np.array([0.1]), "ewma_vol": np.array([0.2]), "other": np.array([0.3])}
    found = baselines.forecasts(columns)
    assert found == {"persistence": columns["rv_5"], "ewma": columns["ewma_vol"]}
    del columns["ewma_vol"]
    assert list(baselines.forecasts(columns)) == ["persistence"]
