"""What a model says of itself: the part of its manifest that people write."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any

from domain.registry.errors import InvalidInput
from domain.registry.records import Fields, as_text

_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,62}")


class RiskTier(IntEnum):
    """How much harm a wrong model can do; tier 1 is the most."""

    HIGH = 1
    MEDIUM = 2
    LOW = 3


def as_model_name(field: str, value: object) -> str:
    """Return a model name.

    Raises:
        InvalidInput: unless it is at most 63 of a-z, 0-9, '_', '.', '-' and starts with a letter.
    """
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise InvalidInput(field, value, "use at most 63 of a-z, 0-9, '_', '.' and '-', a letter first")
    return value


def as_risk_tier(field: str, value: object) -> RiskTier:
    """Return a risk tier.

    Raises:
        InvalidInput: unless the value is the integer 1, 2 or 3.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value not in (1, 2, 3):
        raise InvalidInput(field, value, "give 1 (high), 2 (medium) or 3 (low)")
    return RiskTier(value)


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """Name, purpose, owner, risk tier, framework, intended use and limitations of a model."""

    name: str
    purpose: str
    owner: str
    risk_tier: RiskTier
    framework: str
    intended_use: str
    limitations: str

    def __post_init__(self) -> None:
        as_model_name("metadata.name", self.name)
        for field in ("purpose", "owner", "framework", "intended_use", "limitations"):
            as_text(f"metadata.{field}", getattr(self, field))
        object.__setattr__(self, "risk_tier", as_risk_tier("metadata.risk_tier", self.risk_tier))

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "risk_tier": int(self.risk_tier)}

    @classmethod
    def from_json(cls, value: object) -> ModelMetadata:
        """Read an object with exactly the seven fields.

        Raises:
            InvalidInput: naming the field that is missing, unknown or wrong.
        """
        fields = Fields.of("metadata", value, tuple(cls.__slots__))
        return cls(**fields.values)
