"""Minimum-variance portfolios: the right weights, on sessions that nothing was estimated from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skfolio.moments import LedoitWolf
from skfolio.optimization import MeanRisk

from domain.registry.errors import InvalidInput
from domain.risk.covariance.portfolios import Backtest, Rebalance, Spectrum, risk, schedule
from domain.risk.covariance.returns import Returns
from domain.risk.covariance.shrinkage import Shrinkage
from domain.risk.training_set import Floats

RANDOM = np.random.default_rng(3)
VALUES = 0.01 * (RANDOM.normal(size=(100, 6)) + RANDOM.normal(size=(100, 1)))
RETURNS = Returns(tuple("ABCDEF"), np.arange(100).astype("datetime64[D]"), VALUES)


def test_weights_add_up_and_no_others_have_less_variance() -> None:
    covariance = Shrinkage("ledoit_wolf").predict(VALUES)
    weights = Spectrum.of(covariance).minimum_variance()
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)
    least = weights @ covariance @ weights
    for _ in range(50):
        step = RANDOM.normal(size=6)
        other = weights + 0.01 * (step - step.mean())
        assert other @ covariance @ other > least


def test_weights_are_those_of_a_general_solver() -> None:
    """skfolio's, by the same estimator, with short sales and a budget of 1."""
    from skfolio.prior import EmpiricalPrior

    prior = EmpiricalPrior(covariance_estimator=LedoitWolf())
    solved = MeanRisk(prior_estimator=prior, min_weights=-1.0, budget=1.0).fit(VALUES).weights_
    weights = Spectrum.of(Shrinkage("ledoit_wolf").predict(VALUES)).minimum_variance()
    np.testing.assert_allclose(weights, solved, atol=2e-4)


def test_of_a_singular_covariance_the_pseudo_inverse_decides() -> None:
    covariance = Shrinkage("sample").predict(VALUES[:4])
    spectrum = Spectrum.of(covariance)
    raw = np.linalg.pinv(covariance, rcond=1e-10, hermitian=True) @ np.ones(6)
    np.testing.assert_allclose(spectrum.minimum_variance(), raw / raw.sum(), rtol=1e-6)
    assert abs(spectrum.least_ratio) < 1e-12
    assert 1e12 < spectrum.condition_number < 1e16


def test_every_session_has_one_portfolio() -> None:
    planned = list(schedule(40, 100, 7))
    test = Backtest.of(RETURNS, planned, 30)
    np.testing.assert_array_equal(test.sessions, np.arange(40, 100))
    assert planned[-1] == Rebalance(96, 100)
    np.testing.assert_array_equal(np.bincount(test.rebalance_of), [7] * 8 + [4])


def test_no_portfolio_has_seen_a_session_on_which_it_is_held() -> None:
    """Whatever comes on these, or later, its weights are the same."""
    test = Backtest.of(RETURNS, list(schedule(40, 100, 10)), 30)
    estimate = Shrinkage("oas").predict
    before = test.run(lambda _: estimate)
    for place, rebalance in enumerate(test.rebalances):
        other = VALUES.copy()
        other[rebalance.start :] = RANDOM.normal(size=other[rebalance.start :].shape)
        after = replace(test, returns=replace(RETURNS, values=other)).run(lambda _: estimate)
        np.testing.assert_array_equal(after.weights[: place + 1], before.weights[: place + 1])
        held = other[rebalance.start : rebalance.stop] @ before.weights[place]
        np.testing.assert_allclose(after.returns[test.rebalance_of == place], held, rtol=1e-12)


def test_equal_weights_need_no_covariance() -> None:
    track = Backtest.of(RETURNS, [Rebalance(40, 100)], 30).run(lambda _: None)
    np.testing.assert_allclose(track.returns, VALUES[40:].mean(axis=1), rtol=1e-12)
    assert risk(track.returns) == pytest.approx(np.sqrt(252 * np.mean(VALUES[40:].mean(axis=1) ** 2)))
    assert np.all(np.isnan(track.stated))
    assert np.all(np.isnan(track.least_ratios))


def with_gap(asset: int, start: int, stop: int) -> Floats:
    values = VALUES.copy()
    values[start:stop, asset] = np.nan
    return values


def test_an_asset_without_a_full_window_is_left_out() -> None:
    test = Backtest.of(replace(RETURNS, values=with_gap(2, 0, 45)), list(schedule(40, 100, 10)), 30)
    np.testing.assert_array_equal(test.universes[:, 2], [False] * 4 + [True] * 2)
    track = test.run(lambda _: Shrinkage("oas").predict)
    assert np.all(track.weights[:4, 2] == 0.0)
    assert np.all(track.weights[4:, 2] != 0.0)


def test_what_is_not_traded_any_more_is_held_without_moving() -> None:
    test = Backtest.of(replace(RETURNS, values=with_gap(0, 45, 100)), [Rebalance(40, 50)], 30)
    track = test.run(lambda _: None)
    np.testing.assert_allclose(track.returns[5:], VALUES[45:50, 1:].sum(axis=1) / 6, rtol=1e-12)


@pytest.mark.parametrize(
    ("values", "start", "field", "said"),
    [
        (VALUES, 20, "training.parameters.window", "there are 20 sessions before the first portfolio"),
        (with_gap(0, 0, 100)[:, :2], 40, "data.assets", "at least 2 with a price on each of the 30 sessions"),
    ],
)
def test_what_cannot_be_tested_is_one_sentence(values: Floats, start: int, field: str, said: str) -> None:
    names = RETURNS.assets[: values.shape[1]]
    with pytest.raises(InvalidInput, match=said) as caught:
        Backtest.of(replace(RETURNS, assets=names, values=values), list(schedule(start, 100, 5)), 30)
    assert caught.value.field == field
