"""A trainer's parameters: the defaults, with what a specification or a run sets checked and put in place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain.registry.errors import InvalidInput

Value = bool | int | float | str


@dataclass(frozen=True, slots=True)
class TrainerParameter:
    """A parameter of a trainer as forms show it: default (its type is the parameter's), bounds and help."""

    default: Value
    help: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


def choose(name: str, known: Mapping[str, TrainerParameter], given: Mapping[str, Any]) -> dict[str, Value]:
    """Defaults, with the given values in their place.

    Raises:
        InvalidInput: naming the parameter that is unknown, or has a wrong type or range.
    """
    for parameter, value in given.items():
        if parameter not in known:
            raise InvalidInput(
                f"training.parameters.{parameter}", value, f"{name} has no such one, use {', '.join(known)}"
            )
    return {
        parameter: _typed(f"training.parameters.{parameter}", given[parameter], declared)
        if parameter in given
        else declared.default
        for parameter, declared in known.items()
    }


def _typed(field: str, value: object, declared: TrainerParameter) -> Value:
    if isinstance(declared.default, bool):
        if isinstance(value, bool):
            return value
        raise InvalidInput(field, value, "give true or false")
    if isinstance(declared.default, str):
        if isinstance(value, str) and value in (declared.choices or (value,)):
            return value
        raise InvalidInput(field, value, f"use one of {', '.join(declared.choices)}")
    whole = isinstance(declared.default, int)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInput(field, value, f"give a {'whole ' if whole else ''}number")
    if whole and value != int(value):
        raise InvalidInput(field, value, "give a whole number")
    low, high = declared.minimum, declared.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        raise InvalidInput(field, value, f"give a number from {low:g} to {high:g}")
    return int(value) if whole else float(value)
