"""Shrinkage: the intensities are the field's, and the learnt one is what past portfolios wanted."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import OAS, LedoitWolf, empirical_covariance

from domain.registry.errors import InvalidInput
from domain.risk.covariance.learning import INTENSITIES, learnt_intensity, portfolio_losses
from domain.risk.covariance.returns import Returns
from domain.risk.covariance.shrinkage import RULES, Moments, Shrinkage, implied_intensity
from domain.risk.features import TRADING_DAYS
from domain.risk.training_set import Floats


def drawn(sessions: int, assets: int, common: float = 0.0) -> Floats:
    """Returns with a common factor, of volatilities from 1 % to 2 % a day."""
    random = np.random.default_rng((sessions, assets))
    own = random.normal(size=(sessions, assets)) + common * random.normal(size=(sessions, 1))
    scaled: Floats = own * np.linspace(0.01, 0.02, assets)
    return scaled


def as_returns(values: Floats) -> Returns:
    names = tuple(f"A{place:02}" for place in range(values.shape[1]))
    return Returns(names, np.arange(values.shape[0]).astype("datetime64[D]"), values)


@pytest.mark.parametrize("shape", [(10, 20), (60, 20), (252, 5), (2, 2)])
@pytest.mark.parametrize("common", [0.0, 1.0])
def test_rules_are_those_of_scikit_learn(shape: tuple[int, int], common: float) -> None:
    """Another implementation of the same papers, on more and on fewer assets than sessions."""
    returns = drawn(*shape, common)
    known = {"ledoit_wolf": LedoitWolf().fit(returns), "oas": OAS().fit(returns)}
    for rule, other in known.items():
        assert Shrinkage(rule).intensity(Moments.of(returns)) == pytest.approx(other.shrinkage_, rel=1e-10)
        np.testing.assert_allclose(
            Shrinkage(rule).predict(returns), TRADING_DAYS * other.covariance_, rtol=1e-9, atol=1e-12
        )
    np.testing.assert_allclose(
        Shrinkage("sample").predict(returns), TRADING_DAYS * empirical_covariance(returns), rtol=1e-9
    )


@pytest.mark.parametrize("rule", [*RULES, ""])
def test_an_estimate_is_a_covariance(rule: str) -> None:
    """Symmetric and, shrunk, positive definite even of fewer sessions than assets."""
    estimate = Shrinkage(rule, 0.3).predict(drawn(10, 20, 1.0))
    np.testing.assert_array_equal(estimate, estimate.T)
    least = np.linalg.eigvalsh(estimate)[0]
    assert abs(least) < 1e-12 if rule == "sample" else least > 1e-4


@pytest.mark.parametrize("intensity", [0.0, 0.17, 1.0])
def test_the_intensity_of_linear_shrinkage_is_found_in_its_result(intensity: float) -> None:
    returns = drawn(60, 8, 1.0)
    found = implied_intensity(
        Shrinkage("", intensity).predict(returns), TRADING_DAYS * Moments.of(returns).sample
    )
    assert found == pytest.approx(intensity, abs=1e-12)


def test_assets_that_do_not_move_together_have_nothing_to_shrink() -> None:
    constant = np.zeros((30, 3))
    assert [Shrinkage(rule).intensity(Moments.of(constant)) for rule in RULES] == [0.0, 0.0, 1.0]
    assert implied_intensity(np.eye(2), np.eye(2)) == 0.0


def test_more_noise_asks_for_more_shrinkage() -> None:
    """Of the same market, a shorter window learns to trust its covariances less."""
    returns = as_returns(drawn(800, 10, 0.5))
    short, long = (learnt_intensity(returns, window, 5) for window in (20, 200))
    assert 0.0 < long < short <= 1.0


def test_the_learnt_intensity_has_the_least_loss_of_portfolios_computed_one_by_one() -> None:
    """The spectrum's short cut gives the weights that the matrices themselves do."""
    values = drawn(90, 4, 1.0)
    losses = portfolio_losses(as_returns(values), 30, 7)
    for place in (0, 40, 100):
        squares = []
        for start in range(30, 90, 7):
            covariance = Shrinkage("", INTENSITIES[place]).predict(values[start - 30 : start])
            weights = np.linalg.solve(covariance, np.ones(4))
            squares.append(np.square(values[start : start + 7] @ weights / weights.sum()))
        assert losses[place] == pytest.approx(np.mean(np.concatenate(squares)), rel=1e-9)
    assert learnt_intensity(as_returns(values), 30, 7) == INTENSITIES[np.argmin(losses)]


def test_an_asset_that_came_later_takes_part_once_its_window_is_full() -> None:
    values = drawn(120, 5, 1.0)
    late = values.copy()
    late[:60, 0] = np.nan
    without = portfolio_losses(as_returns(np.delete(values, 0, axis=1)[:90]), 30, 10)
    np.testing.assert_array_equal(portfolio_losses(as_returns(late[:90]), 30, 10), without)
    assert np.any(portfolio_losses(as_returns(late), 30, 10) != without)


def test_too_few_sessions_to_learn_from_are_one_sentence() -> None:
    with pytest.raises(InvalidInput, match="make it shorter") as caught:
        learnt_intensity(as_returns(drawn(30, 4)), 30, 5)
    assert caught.value.field == "training.parameters.window"
