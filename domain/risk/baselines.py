"""What a model has to beat: forecasts that are a feature column as it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Columns = Mapping[str, Floats]
Baseline = Callable[[Columns], Floats]


def persistence(columns: Columns) -> Floats:
    """The next five sessions are as the last five: `rv_5`, annualised decimals, shape (n,)."""
    return columns["rv_5"]


def ewma(columns: Columns) -> Floats:
    """Exponential weights, decay 0.94 (RiskMetrics 1996): `ewma_vol`, annualised decimals, shape (n,)."""
    return columns["ewma_vol"]


BASELINES: Mapping[str, Baseline] = MappingProxyType({"persistence": persistence, "ewma": ewma})


def forecasts(columns: Columns) -> dict[str, Floats]:
    """The forecast of each baseline whose columns are there, by the baseline's name."""
    made = {}
    for name, baseline in BASELINES.items():
        try:
            made[name] = baseline(columns)
        except KeyError:
            continue
    return made
