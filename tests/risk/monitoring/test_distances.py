"""The distances of a window from the reference, against scipy, by hand, and on every session at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from domain.risk.monitoring.distances import PERCENTILES, by_session, distances, psi, rolled

WINDOW = 5


def panel(seed: int, sessions: int = 60, assets: int = 4, decimals: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Values that are equal now and then, and each row's session."""
    random = np.random.default_rng(seed)
    values = np.round(random.standard_t(4, sessions * assets).cumsum() / 10, decimals)
    return values, np.tile(np.arange(sessions), assets)


@given(st.integers(0, 10_000), st.sampled_from([0, 1, 8]))
def test_ks_is_scipys_but_for_what_lies_between_two_percentiles(seed: int, decimals: int) -> None:
    """Windows inside of the reference, across its end and after it; ties make no difference."""
    values, session = panel(seed, decimals=decimals)
    reference = session < 50
    found = distances(values, session, reference, WINDOW).ks
    for last in (WINDOW - 1, 20, 49, 52, 59):
        inside = (session <= last) & (session > last - WINDOW)
        rest = reference & ~inside
        exact = stats.ks_2samp(values[inside], values[rest]).statistic
        # The percentiles are those of the whole reference, so a window may hold some rows between two.
        between = (1 + math.ceil(np.count_nonzero(reference) / PERCENTILES)) / np.count_nonzero(rest)
        assert exact - between - 1e-12 <= found[last] <= exact + 1e-12


@given(st.integers(0, 10_000))
def test_shift_and_psi_are_what_the_rows_say(seed: int) -> None:
    """Recomputed from the rows of one window and of the reference without it."""
    values, session = panel(seed)
    reference = session < 50
    found = distances(values, session, reference, WINDOW)
    deciles = np.quantile(values[reference], np.arange(1, 10) / 10)
    for last in (10, 51, 59):
        inside = (session <= last) & (session > last - WINDOW)
        rest = reference & ~inside
        moved = abs(values[inside].mean() - values[rest].mean()) / values[reference].std()
        assert found.shift[last] == pytest.approx(moved)
        p, q = (np.bincount(np.searchsorted(deciles, values[rows]), minlength=10) for rows in (inside, rest))
        assert found.psi[last] == pytest.approx(psi(p / p.sum(), q / q.sum()))


def test_psi_of_two_bins_by_hand() -> None:
    """(0.7 - 0.5) ln(0.7 / 0.5) + (0.3 - 0.5) ln(0.3 / 0.5); finite where a bin is empty."""
    expected = 0.2 * math.log(0.7 / 0.5) - 0.2 * math.log(0.3 / 0.5)
    assert psi(np.array([0.7, 0.3]), np.array([0.5, 0.5])) == pytest.approx(expected)
    assert psi(np.array([0.5, 0.5]), np.array([0.5, 0.5])) == 0.0
    assert psi(np.array([1.0, 0.0]), np.array([0.5, 0.5])) == pytest.approx(
        0.5 * math.log(2) + 0.4999 * math.log(0.5 / 1e-4)
    )


def test_windows_that_are_not_complete_have_no_distance() -> None:
    values, session = panel(0)
    found = distances(values, session, session < 50, WINDOW)
    for statistic in (found.ks, found.shift, found.psi):
        assert np.array_equal(np.flatnonzero(np.isnan(statistic)), np.arange(WINDOW - 1))


def test_what_never_varied_is_no_drift_until_it_does() -> None:
    """A constant has no standard deviation, and its distribution function jumps."""
    session = np.arange(40)
    values = np.where(session < 30, 2.0, 1.0)
    found = distances(values, session, session < 25, WINDOW)
    assert found.ks[29] == found.shift[29] == 0.0
    assert found.ks[39] == 1.0


def test_rolled_sums_are_those_of_the_last_sessions() -> None:
    sums = np.array([1.0, 2.0, 4.0, 8.0])
    assert rolled(sums, 2)[1:].tolist() == [3.0, 6.0, 12.0]
    assert np.isnan(rolled(sums, 5)).all()
    assert by_session(np.array([0, 0, 2]), np.array([1.0, 2.0, 3.0]), 4).tolist() == [3.0, 0.0, 3.0, 0.0]
