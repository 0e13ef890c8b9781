"""A trial of a search for parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from domain.risk.parameters import Value


@dataclass(frozen=True, slots=True)
class Trial:
    """Parameters that were tried.

    Attributes:
        values: the metric of each year that was tested, the oldest first; less is better.
        stopped: whether it was among the worse half of its batch.
    """

    number: int
    parameters: Mapping[str, Value]
    values: tuple[float, ...] = ()
    stopped: bool = False

    @property
    def value(self) -> float:
        """The mean of what was tested; infinite before anything was."""
        return math.fsum(self.values) / len(self.values) if self.values else math.inf

    def to_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "parameters": dict(self.parameters),
            "values": list(self.values),
            "stopped": self.stopped,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Trial:
        return cls(value["number"], value["parameters"], tuple(map(float, value["values"])), value["stopped"])
