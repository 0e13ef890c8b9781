"""Window-local arithmetic: a value depends on the rows of its own window and on nothing else, bit for bit.

Everything here is elementwise +, -, *, / and sqrt on whole vectors. IEEE 754 rounds these correctly, so the
bits depend neither on where the history starts, nor on how the rows are cut, nor on the processor. Running
sums, rolling functions and reductions lack the first property, library logarithms the last.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TRADING_DAYS = 252
"""Rows a year; volatilities are annualised with it."""

_LN2 = 0.6931471805599453
_SQRT_HALF = 0.7071067811865476
_LOG_TERMS = range(21, 1, -2)


def lagged(values: Floats, by: int) -> Floats:
    """The vector moved down by `by` >= 1 rows; the first `by` rows are NaN.

    A partition's assets follow each other in one vector, so an asset's first `by` rows hold values of the
    asset before it. A feature's `rows` must cover them: incomplete rows are dropped.
    """
    moved = np.full_like(values, np.nan)
    moved[by:] = values[:-by]
    return moved


def trailing(
    values: Floats,
    length: int,
    *,
    decay: float = 1.0,
    combine: Callable[..., Floats] = np.add,
) -> Floats:
    """Combine each row with the `length` - 1 rows before it: the sum over k of decay**k * values[t - k].

    Windows of 1, 2, 4, … rows are joined pairwise, so a window costs log2(length) vector operations, and each
    value is one fixed expression of its window's values. `combine` may be `np.maximum` or `np.minimum`.
    Rows with fewer than `length` rows in their asset hold garbage and are to be dropped.
    """
    block, width, scale = values, 1, decay
    total, covered, weight = values, 0, 1.0
    while True:
        if length & width:
            total = block if covered == 0 else _joined(combine, total, block, covered, weight)
            covered, weight = covered + width, weight * scale
        if covered == length:
            return total
        block = _joined(combine, block, block, width, scale)
        width, scale = 2 * width, scale * scale


def _joined(combine: Callable[..., Floats], newer: Floats, older: Floats, by: int, weight: float) -> Floats:
    joined = newer.copy()
    before = older[:-by] if weight == 1.0 else older[:-by] * weight
    combine(newer[by:], before, out=joined[by:])
    return joined


def annualised(mean_square: Floats) -> Floats:
    """Volatility from a mean squared daily log return: sqrt(252 * mean(r**2)), a decimal."""
    scaled = mean_square * TRADING_DAYS
    return np.sqrt(scaled, out=scaled)


def log(values: Floats) -> Floats:
    """Natural logarithm within 3 units in the last place, the same bits on every processor.

    NaN unless positive.

    numpy and libm pick their implementation by the processor's vector instructions, and these differ in the
    last bit. This is the series ln m = 2 (s + s**3/3 + s**5/5 + …) with s = (m - 1) / (m + 1), for m between
    sqrt(1/2) and sqrt(2): |s| < 0.172, so 11 terms reach double precision.
    """
    mantissa, exponent = np.frexp(values)
    low = mantissa < _SQRT_HALF
    np.add(mantissa, mantissa, out=mantissa, where=low)
    exponent = (exponent - low).astype(np.float64)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square = s * s
    series = np.zeros_like(s)
    for term in _LOG_TERMS:
        series += 1.0 / term
        series *= square
    series *= s
    series += s
    series *= 2.0
    exponent *= _LN2
    series += exponent
    series[~(values > 0)] = np.nan
    return series
