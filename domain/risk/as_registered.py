"""A registered version in the place of a trainer, to be judged or compared as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from domain.registry.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from domain.risk.parameters import TrainerParameter
    from domain.risk.ports import RegisteredForecastPort
    from domain.risk.training_set import Floats


class AsRegistered:
    """Stands where a trainer does, and trains nothing: the registered artifact answers for every fold."""

    framework = "as registered"
    tolerance = 0.0

    def __init__(self, forecasts: RegisteredForecastPort, reference: str) -> None:
        self._forecasts = forecasts
        self._reference = reference
        self._names: tuple[str, ...] = ()

    def parameters(self) -> Mapping[str, TrainerParameter]:
        return {}

    def train(
        self,
        features: Floats,
        target: Floats,
        parameters: Mapping[str, Any],
        seed: int,
        names: Sequence[str] = (),
    ) -> AsRegistered:
        self._names = tuple(names)
        return self

    def predict(self, features: Floats) -> Floats:
        return self._forecasts.forecast(self._reference, features, self._names)

    def save(self, directory: Path) -> NoReturn:
        raise InvalidInput("REF", self._reference, "it is stored already")
