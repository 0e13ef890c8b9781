"""How far a recent window lies from the reference: Kolmogorov-Smirnov, shift of the mean, and PSI.

For each session of a history at once, from sums that are cumulated over the sessions, so that the whole
history of a statistic costs little more than its newest value. Rows of the window that the reference holds
too are taken out of the reference, so a window inside of it is judged like one that follows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.risk.training_set import Flags, Floats, Integers

PERCENTILES = 100
"""Distribution functions are compared on both sides of these quantiles of the reference.

The largest distance is missed by less than the share of the reference between two of them, 0.01.
"""

DECILES = 10
LEAST_SHARE = 1e-4
"""What PSI reads an empty bin as, for its logarithm is not finite otherwise."""


@dataclass(frozen=True, slots=True)
class Distances:
    """Of each session's window from the reference, shape (s,); NaN where the window is not complete.

    Attributes:
        ks: largest distance of the two distribution functions, from 0 to 1.
        shift: difference of the means, in standard deviations of the reference, without its sign.
        psi: population stability index over the deciles of the reference.
    """

    ks: Floats
    shift: Floats
    psi: Floats


def distances(values: Floats, session: Integers, reference: Flags, window: int) -> Distances:
    """Compare each session's window with the reference.

    Args:
        values: one for each row, shape (n,), finite.
        session: the row's session, numbered from 0 in the order of time, shape (n,).
        reference: which rows the model was trained on, shape (n,); at least one.
        window: how many sessions a window has, its last one included.
    """
    known = values[reference]
    cuts = np.unique(np.quantile(known, np.arange(1, PERCENTILES) / PERCENTILES))
    # Odd bins hold the cuts themselves, even ones what lies between: values that are equal stay together.
    bins = np.searchsorted(cuts, values, "left") + np.searchsorted(cuts, values, "right")
    width = 2 * cuts.size + 1
    inside, rest = _split(_counts(session, bins, width), session, bins, reference, window)
    recent, before = _cumulated_shares(inside), _cumulated_shares(rest)
    deciles = np.unique(np.quantile(known, np.arange(1, DECILES) / DECILES))
    places = 2 * np.searchsorted(cuts, deciles) + 1
    return Distances(
        ks=np.max(np.abs(recent - before), axis=1),
        shift=_shift(values, session, reference, window),
        psi=psi(_shares_between(recent, places), _shares_between(before, places)),
    )


def psi(recent: Floats, reference: Floats) -> Floats:
    """Population stability index: the sum over bins of (p - q) * ln(p / q).

    The symmetric divergence of Jeffreys (1946), as credit scoring uses it: Siddiqi (2006), "Credit Risk
    Scorecards", whose rule of thumb calls 0.1 a small change and 0.25 a major one.

    Args:
        recent, reference: shares of the bins, shape (..., bins).
    """
    p, q = np.maximum(recent, LEAST_SHARE), np.maximum(reference, LEAST_SHARE)
    index: Floats = np.sum((p - q) * np.log(p / q), axis=-1)
    return index


def rolled(sums: Floats, window: int) -> Floats:
    """Sums over each session and the `window` - 1 before it, shape as given; NaN where there are not so many.

    Args:
        sums: of each session, shape (s, ...).
    """
    total = np.cumsum(sums, axis=0)
    found = np.full(total.shape, np.nan)
    if len(sums) >= window:
        found[window - 1] = total[window - 1]
        found[window:] = total[window:] - total[:-window]
    return found


def by_session(session: Integers, weights: Floats | None, sessions: int) -> Floats:
    """Sums of the rows of each session, shape (sessions,); without weights the number of its rows."""
    sums: Floats = np.bincount(session, weights, sessions).astype(np.float64)
    return sums


def _counts(session: Integers, bins: NDArray[np.intp], width: int) -> Floats:
    sessions = int(session.max()) + 1
    return by_session(session * width + bins, None, sessions * width).reshape(sessions, width)


def _split(
    counts: Floats, session: Integers, bins: NDArray[np.intp], reference: Flags, window: int
) -> tuple[Floats, Floats]:
    """The counts of each window, and of the reference without what the window holds of it."""
    width = counts.shape[1]
    known = np.zeros_like(counts)
    held = _counts(session[reference], bins[reference], width)
    known[: len(held)] = held
    return rolled(counts, window), known.sum(axis=0) - rolled(known, window)


def _cumulated_shares(counts: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        shares: Floats = np.cumsum(counts, axis=1) / np.sum(counts, axis=1, keepdims=True)
    return shares


def _shares_between(cumulated: Floats, places: NDArray[np.intp]) -> Floats:
    """Shares of the bins that end with the given places, and of what is above the last one."""
    edges = cumulated[:, places]
    return np.diff(edges, axis=1, prepend=0.0, append=1.0)


def _shift(values: Floats, session: Integers, reference: Flags, window: int) -> Floats:
    sessions = int(session.max()) + 1
    known = values[reference]
    spread, middle = float(np.std(known)), float(np.mean(known))
    if spread == 0.0:
        return np.where(np.isnan(rolled(np.zeros(sessions), window)), np.nan, 0.0)
    # Centred, so that nothing is lost where a mean is large beside its spread.
    centred = (values - middle) / spread
    flags = reference.astype(np.float64)
    sums = rolled(by_session(session, centred, sessions), window)
    rows = rolled(by_session(session, None, sessions), window)
    held = rolled(by_session(session, centred * flags, sessions), window)
    held_rows = rolled(by_session(session, flags, sessions), window)
    before = (float(np.sum(centred[reference])) - held) / (known.size - held_rows)
    shift: Floats = np.abs(sums / rows - before)
    return shift
