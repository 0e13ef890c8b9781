"""How unusual a value is beside the same asset's rows before it: what detectors of anomalies look at."""

from __future__ import annotations

import numpy as np

from domain.risk.features.windows import Floats, lagged, trailing


def surprise(values: Floats, length: int, least_spread: float, *, mean_of: int = 1) -> Floats:
    """How far the mean of the last rows is from that of the `length` rows before them, in standard errors.

    (a - m) / (s / sqrt(k)) with a the mean of the last k rows, and m and s**2 the mean and the mean squared
    deviation of the `length` rows before these. A value is made of `length` + k rows of the asset.

    Args:
        least_spread: the smallest s, in the unit of the values; beside a series that hardly moved every move
            would look enormous.
        mean_of: k; 1 compares the row itself, more rows show what lasts.
    """
    now = trailing(values, mean_of) / mean_of
    before = lagged(values, mean_of)
    mean = trailing(before, length) / length
    spread = trailing(before * before, length) / length - mean * mean
    return (now - mean) / np.sqrt(np.maximum(spread, least_spread * least_spread) / mean_of)
