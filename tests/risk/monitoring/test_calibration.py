"""What a statistic is worth: the largest of the coming year among the largest of the years before."""

from __future__ import annotations

import numpy as np
import pytest

from domain.registry.errors import InvalidInput
from domain.risk.monitoring.calibration import YEAR, Calibration


def years(count: int, seed: int = 0, statistics: int = 3) -> np.ndarray:
    """Statistics that depend on each other and on the days before, as rolling windows do."""
    random = np.random.default_rng(seed)
    noise = random.standard_t(4, (count * YEAR + 30, statistics)) + random.normal(size=(count * YEAR + 30, 1))
    total = np.abs(noise).cumsum(axis=0)
    return (total[30:] - total[:-30]) / 30


def test_p_values_are_places_among_the_largest_of_the_years() -> None:
    """Above all of 19 years is 1 in 20, below all of them is 1; each statistic in its own units."""
    history = np.zeros((19 * YEAR, 2))
    history[::YEAR, 0] = np.arange(1, 20)
    history[7::YEAR, 1] = 1000.0 * np.arange(1, 20)
    found = Calibration.of(history)
    assert found.years == 19
    above, below = np.array([[19.5, 0.0]]), np.array([[0.0, 0.0]])
    assert found.p_values(above)[0, 0] == pytest.approx(1 / 20)
    assert found.p_values(below)[0].tolist() == [1.0, 1.0]
    assert found.p_values(np.array([[0.0, 19_500.0]]))[0, 1] == pytest.approx(1 / 20)
    assert found.p_values(np.array([[18.5, 0.0]]))[0, 0] == pytest.approx(2 / 20)


def test_a_year_without_drift_alarms_no_more_often_than_stated() -> None:
    """600 histories of 19 dependent years and one more: about one in twenty alarms on any of its days."""
    alarms = 0
    for seed in range(600):
        found = years(20, seed)
        calibration = Calibration.of(found[:-YEAR])
        alarms += bool(np.any(calibration.p_values(found[-YEAR:]) <= calibration.rate(0.05)))
    # Three standard deviations of a binomial with 0.05: 30 expected. None at all would be no test.
    assert 14 <= alarms <= 46


def test_few_years_promise_no_rate_that_they_cannot_tell() -> None:
    """Nine years cannot tell one in a hundred: the rate is then one in ten, and says so."""
    calibration = Calibration.of(years(9))
    assert calibration.rate(0.01) == pytest.approx(0.1)
    assert calibration.rate(0.2) == 0.2


def test_sessions_before_the_first_complete_window_belong_to_no_year() -> None:
    history = years(3)
    history[:20] = np.nan
    assert Calibration.of(history).years == 2


def test_less_than_a_year_is_refused_with_what_there_is() -> None:
    with pytest.raises(InvalidInput, match=r"at least 250 sessions .* this one has 249"):
        Calibration.of(years(1)[1:])
