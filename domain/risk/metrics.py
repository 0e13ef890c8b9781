"""How good volatility forecasts are: QLIKE on variances, RMSE and R² on volatilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from domain.registry.errors import InvalidInput

Floats = NDArray[np.float64]
Metric = Callable[[Floats, Floats], float]

VARIANCE_FLOOR = 1e-6
"""Annualised variance below which QLIKE reads both sides as this, an annualised volatility of 0.1 %.

QLIKE takes the logarithm of a realised variance, which is zero for an asset whose price stood still.
"""


def qlike_losses(realised: Floats, forecast: Floats) -> Floats:
    """QLIKE of each forecast, at least 0: x - ln(x) - 1 with x = realised variance / forecast variance.

    Robust to noise in the realised variance, and harder on forecasts that are too low: Patton (2011),
    "Volatility forecast comparison using imperfect volatility proxies", Journal of Econometrics 160, 246
    to 256; of its family of robust homogeneous losses the one with b = -2, 0 for a perfect forecast.

    Args:
        realised, forecast: annualised volatilities, decimals, shape (n,).

    Raises:
        InvalidInput: see `checked`.
    """
    realised, forecast = checked(realised, forecast)
    ratio = np.maximum(np.square(realised), VARIANCE_FLOOR) / np.maximum(np.square(forecast), VARIANCE_FLOOR)
    losses: Floats = ratio - np.log(ratio) - 1.0
    return losses


def qlike(realised: Floats, forecast: Floats) -> float:
    """Mean of `qlike_losses`."""
    return float(np.mean(qlike_losses(realised, forecast)))


def rmse(realised: Floats, forecast: Floats) -> float:
    """Root of the mean squared error of the annualised volatility, in its unit."""
    realised, forecast = checked(realised, forecast)
    return float(np.sqrt(np.mean(np.square(realised - forecast))))


def r2(realised: Floats, forecast: Floats) -> float:
    """Share of the variance of realised volatility explained: 1 - sum((y - h)²) / sum((y - mean(y))²).

    0 when realised volatility does not vary: there is nothing to explain.
    """
    realised, forecast = checked(realised, forecast)
    # Asked of the values: the rounding of their mean leaves a spread that is almost, not exactly, zero.
    if np.ptp(realised) == 0.0:
        return 0.0
    spread = float(np.sum(np.square(realised - np.mean(realised))))
    return 1.0 - float(np.sum(np.square(realised - forecast))) / spread


def squared_errors(realised: Floats, forecast: Floats) -> Floats:
    """Squared error of each forecast of annualised volatility."""
    realised, forecast = checked(realised, forecast)
    errors: Floats = np.square(realised - forecast)
    return errors


LOSSES: Mapping[str, Callable[[Floats, Floats], Floats]] = MappingProxyType(
    {"qlike": qlike_losses, "rmse": squared_errors}
)
"""Of each metric where less is better, the loss of each forecast that it averages."""

METRICS: Mapping[str, Metric] = MappingProxyType({"qlike": qlike, "rmse": rmse, "r2": r2})


def score(realised: Floats, forecast: Floats) -> dict[str, float]:
    """All metrics of a forecast, by name."""
    return {name: metric(realised, forecast) for name, metric in METRICS.items()}


def checked(realised: Floats, forecast: Floats) -> tuple[Floats, Floats]:
    """Both as float64 vectors.

    Raises:
        InvalidInput: no rows, shapes differ, or a value is not finite or negative.
    """
    pair = np.asarray(realised, dtype=np.float64), np.asarray(forecast, dtype=np.float64)
    if pair[0].ndim != 1 or pair[0].shape != pair[1].shape or pair[0].size == 0:
        raise InvalidInput("forecast", pair[1].shape, f"give one for each of the {pair[0].shape} realised")
    for name, values in zip(("realised", "forecast"), pair, strict=True):
        wrong = ~np.isfinite(values) | (values < 0.0)
        if np.any(wrong):
            raise InvalidInput(
                name, float(values[wrong][0]), "give annualised volatilities, finite and at least 0"
            )
    return pair
