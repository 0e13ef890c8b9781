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
        answer = _answer(self._models[reference].predict, features, names)
        if answer.shape == (len(names), len(names)) and len(names) > 1:
            return answer
        return _by_row(answer, reference, features.shape[0])


def forecast_rows(
    predict: Callable[[Any], Any], reference: str, features: Floats, names: Sequence[str]
) -> Floats:
    """One forecast for each row, shape (n,), for features (n, k) with these names.

    Raises:
        InvalidInput: the version takes other features, or answers otherwise.
    """
    return _by_row(_answer(predict, features, names), reference, features.shape[0])


def _answer(predict: Callable[[Any], Any], features: Floats, names: Sequence[str]) -> Floats:
    import numpy as np
    import polars as pl

    # By name, so that a version that takes the columns in another order is given them in that order.
    return np.asarray(predict(pl.DataFrame(features, schema=list(names))), dtype=np.float64)


def _by_row(answer: Floats, reference: str, rows: int) -> Floats:
    if answer.shape not in ((rows,), (rows, 1)):
        raise InvalidInput(reference, answer.shape, f"it has to give one forecast for each of {rows} rows")
    return answer.reshape(-1)
