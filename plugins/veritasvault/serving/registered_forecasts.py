"""Forecasts by registered versions, for evaluations and comparisons: `RegisteredForecastPort`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from domain.registry.errors import InvalidInput
from veritasvault.serving.model import Model

if TYPE_CHECKING:
    from domain.risk.training_set import Floats


class RegisteredForecasts:
    """Runs the versions that `veritas.load` gives; each is loaded and verified once."""

    def __init__(self, load: Callable[[str], Model]) -> None:
        self._load = load
        self._models: dict[str, Model] = {}

    def forecast(self, reference: str, features: Floats, names: Sequence[str]) -> Floats:
        """See the port."""
        if reference not in self._models:
            self._models[reference] = self._load(reference)
        return forecast_rows(self._models[reference].predict, reference, features, names)


def forecast_rows(
    predict: Callable[[Any], Any], reference: str, features: Floats, names: Sequence[str]
) -> Floats:
    """One forecast for each row, shape (n,), for features (n, k) with these names.

    Raises:
        InvalidInput: the version takes other features, or answers otherwise.
    """
    import numpy as np
    import polars as pl

    # By name, so that a version that takes the columns in another order is given them in that order.
    answer = predict(pl.DataFrame(features, schema=list(names)))
    forecast = np.asarray(answer, dtype=np.float64).reshape(-1)
    if forecast.shape != (features.shape[0],):
        raise InvalidInput(
            reference, forecast.shape, f"it has to give one forecast for each of {features.shape[0]} rows"
        )
    return forecast
