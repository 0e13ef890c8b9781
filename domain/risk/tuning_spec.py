"""What a specification says of a search for parameters: how many trials, and among which values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.registry.errors import InvalidInput

_NUMBER = ("least", "most", "log")
_FIELD = "training.tuning"


@dataclass(frozen=True, slots=True)
class ParameterRange:
    """Values that a parameter may take.

    Attributes:
        least, most: both included; None where there are choices.
        log: whether the logarithm is spread evenly.
        choices: at least two.
    """

    least: float | int | None = None
    most: float | int | None = None
    log: bool = False
    choices: tuple[bool | int | float | str, ...] = ()

    @property
    def extremes(self) -> tuple[Any, ...]:
        """What a trainer has to take if it takes everything of the range."""
        return self.choices or (self.least, self.most)

    @property
    def whole(self) -> bool:
        """Whether all values are whole numbers."""
        return isinstance(self.least, int) and isinstance(self.most, int)


@dataclass(frozen=True, slots=True)
class TuningSpec:
    """A search for parameters.

    Attributes:
        trials: how many combinations are tried.
        batch: how many beside each other; part of what is found, unlike the number of workers.
    """

    space: Mapping[str, ParameterRange] = field(default_factory=dict)
    trials: int = 16
    batch: int = 4

    @classmethod
    def parse(cls, value: object) -> TuningSpec:
        """Read the table `tuning` of a specification.

        Raises:
            InvalidInput: naming the setting that is missing, unknown or wrong.
        """
        if not isinstance(value, Mapping):
            raise InvalidInput(_FIELD, value, "give a table with a space")
        for name in value:
            if name not in cls.__slots__:
                raise InvalidInput(
                    f"{_FIELD}.{name}", value[name], f"no such setting, use {', '.join(cls.__slots__)}"
                )
        space = value.get("space")
        if not isinstance(space, Mapping) or not space:
            raise InvalidInput(
                f"{_FIELD}.space", space, "name a parameter, such as { alpha = { least = 0.1, most = 10.0 } }"
            )
        return cls(
            {name: _range(f"{_FIELD}.space.{name}", given) for name, given in space.items()},
            _whole("trials", value.get("trials", 16), 1, 1000),
            _whole("batch", value.get("batch", 4), 1, 100),
        )


def _whole(name: str, value: object, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(f"{_FIELD}.{name}", value, f"give a whole number from {least} to {most}")
    return value


def _range(name: str, given: object) -> ParameterRange:
    if isinstance(given, Mapping) and set(given) == {"choices"}:
        choices = given["choices"]
        if not isinstance(choices, list) or len(choices) < 2:
            raise InvalidInput(f"{name}.choices", choices, "give a list of two or more")
        return ParameterRange(choices=tuple(choices))
    if not isinstance(given, Mapping) or not {"least", "most"} <= set(given) <= set(_NUMBER):
        raise InvalidInput(name, given, "give least and most, perhaps log = true, or a list of choices")
    least, most, log = given["least"], given["most"], given.get("log", False)
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (least, most))
    if not numbers or not least < most:
        raise InvalidInput(name, dict(given), "give two numbers, the least below the most")
    if not isinstance(log, bool) or (log and least <= 0):
        raise InvalidInput(f"{name}.log", log, "give true or false, and a least above 0 with true")
    return ParameterRange(least, most, log)
