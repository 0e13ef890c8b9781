"""Challenger against champion: the same sessions, none seen before, and a test of the difference."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from domain.registry.errors import InvalidInput
from domain.registry.evidence import Evidence
from domain.registry.gates import NoWorseThanChampion
from domain.risk.comparison import Difference, compare, diebold_mariano
from domain.risk.folds import check_folds, plan_window
from domain.risk.metrics import LOSSES, METRICS
from domain.risk.problems import PROBLEMS
from domain.risk.training_set import TrainingSet
from tests.risk.oracle_panel import HORIZON, training_set

DAYS = np.busday_offset(np.datetime64("2012-01-02"), np.arange(900))


@pytest.fixture(scope="module")
def training() -> TrainingSet:
    """Random walks of three assets on the weekdays of three and a half years."""
    moves = np.random.default_rng(0).standard_t(4, (DAYS.size, 3)) * [0.008, 0.012, 0.02]
    return training_set(["AAA", "BBB", "CCC"], DAYS, 100 * np.exp(moves.cumsum(axis=0)))


def differences(*daily: float) -> tuple[np.ndarray, np.ndarray]:
    return np.array(daily), DAYS[: len(daily)]


def test_the_window_is_the_last_sessions_with_known_outcomes(training: TrainingSet) -> None:
    """All assets, purged from what is trained on, and not a session more."""
    window = plan_window(training, 250)
    days = np.unique(training.dates[training.known])
    assert np.array_equal(np.unique(training.dates[window.test]), days[-250:])
    assert np.unique(training.assets[window.test]).size == 3
    assert check_folds((window,), training) == ()
    with pytest.raises(InvalidInput, match="window_sessions"):
        plan_window(training, days.size)


def test_the_statistic_is_that_of_the_daily_means(training: TrainingSet) -> None:
    """Without overlap it is mean / (standard deviation / sqrt(n)), with overlap the lags are weighted."""
    plain = diebold_mariano(*differences(1.0, 3.0, 2.0, 2.0), horizon=1)
    assert (plain.sessions, plain.mean) == (4, 2.0)
    assert plain.statistic == pytest.approx(2.0 / math.sqrt(0.5 / 4))
    assert plain.p_value == pytest.approx(math.erfc(plain.statistic / math.sqrt(2)))
    overlapping = diebold_mariano(*differences(1.0, 2.0, 3.0, 2.0), horizon=2)
    # The deviations are -1, 0, 1, 0: their products one session apart are 0, with half the weight.
    assert overlapping.statistic == pytest.approx(2.0 / math.sqrt(0.5 / 4))
    trending = diebold_mariano(*differences(-2.0, -1.0, 1.0, 2.0, 5.0), horizon=2)
    centred = np.array([-3.0, -2.0, 0.0, 1.0, 4.0])
    variance = (centred @ centred + centred[1:] @ centred[:-1]) / 5
    assert trending.statistic == pytest.approx(1.0 / math.sqrt(variance / 5))


def test_assets_of_one_session_count_as_one_observation() -> None:
    """Errors of one day are not independent; many assets make no long history."""
    values, days = differences(1.0, 3.0, 2.0, 2.0)
    once = diebold_mariano(values, days, horizon=1)
    assert diebold_mariano(np.repeat(values, 50), np.repeat(days, 50), horizon=1) == once


def test_equal_forecasts_differ_by_nothing(training: TrainingSet) -> None:
    window = plan_window(training, 250)
    forecast = np.full(window.test.size, 0.2)
    evidence = compare(training, window, forecast, forecast, "qlike", {})
    assert evidence.metrics == evidence.baselines["champion"]
    none = Difference(250, 0.0, 0.0, 1.0).to_json()
    assert evidence.details["difference"] == {"qlike": none}
    assert Evidence.from_json(evidence.to_json()) == evidence


def test_two_equally_good_models_are_told_apart_as_often_as_the_p_value_says() -> None:
    """Losses that overlap over five sessions, 2000 times: about one in twenty is below 0.05."""
    found = []
    for seed in range(2000):
        noise = np.random.default_rng(seed).standard_normal(504)
        overlapping = np.convolve(noise, np.full(HORIZON, 1 / HORIZON), mode="valid")
        found.append(diebold_mariano(overlapping, np.arange(500), horizon=HORIZON).p_value)
    # The variance of Newey and West is somewhat too small for so few sessions.
    assert 0.03 < np.mean(np.array(found) < 0.05) < 0.12


@pytest.mark.parametrize("metric", PROBLEMS["forecast"].comparable)
def test_a_clearly_worse_challenger_fails_the_gate_and_a_slightly_worse_one_does_not(
    training: TrainingSet, metric: str
) -> None:
    """The tolerance is a fraction of the champion's metric."""
    window = plan_window(training, 250)
    realised = training.target[window.test]
    champion = realised * 1.2
    gate = NoWorseThanChampion(metric, 0.1)
    for factor, outcome in ((1.2, "passed"), (1.205, "passed"), (1.4, "failed"), (1.1, "passed")):
        evidence = compare(training, window, realised * factor, champion, metric, {})
        assert gate.judge(evidence).outcome == outcome, factor
    assert evidence.details["difference"][metric]["mean"] < 0
    without = dataclasses.replace(evidence, baselines={})
    assert gate.judge(without).outcome == "failed"


def test_comparable_metrics_are_those_whose_losses_average_to_them() -> None:
    """The specification names them without importing the module that defines them."""
    assert tuple(LOSSES) == PROBLEMS["forecast"].comparable
    realised, forecast = np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.2, 0.25])
    for name, losses in LOSSES.items():
        mean = float(np.mean(losses(realised, forecast)))
        assert METRICS[name](realised, forecast) == pytest.approx(math.sqrt(mean) if name == "rmse" else mean)
