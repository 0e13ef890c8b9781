"""Where a model comes from: everything that should give the same artifact again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from domain.registry.canonical import Digest, as_digest, digest_of, encode
from domain.registry.errors import InvalidInput
from domain.registry.records import Fields

_DIGESTS = ("data", "features", "sources", "environment")


@dataclass(frozen=True, slots=True)
class Lineage:
    """The inputs of a training, each by its digest.

    Attributes:
        data: the canonical rows on or before the as-of date.
        features: the feature definition.
        sources: the sources of the pipeline.
        environment: the lock of the environment (interpreter and packages).
        parameters: the trainer's parameters, plain JSON.
        seed: the trainer's seed, 0 to 2**32 - 1.
        as_of: the last session whose data the run saw.
    """

    data: Digest
    features: Digest
    sources: Digest
    environment: Digest
    parameters: Mapping[str, Any] = field(hash=False)
    seed: int
    as_of: dt.date

    def __post_init__(self) -> None:
        for name in _DIGESTS:
            as_digest(f"lineage.{name}", getattr(self, name))
        encode(dict(self.parameters))
        object.__setattr__(self, "parameters", MappingProxyType(dict(self.parameters)))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or not 0 <= self.seed < 2**32:
            raise InvalidInput("lineage.seed", self.seed, "give a whole number from 0 to 4294967295")
        if type(self.as_of) is not dt.date:
            raise InvalidInput("lineage.as_of", self.as_of, "give a calendar date")

    @property
    def recipe(self) -> Digest:
        """Digest of the lineage: what should give the same artifact again."""
        return digest_of(self.to_json())

    def to_json(self) -> dict[str, Any]:
        return {
            **{name: getattr(self, name) for name in _DIGESTS},
            "parameters": dict(self.parameters),
            "seed": self.seed,
            "as_of": self.as_of.isoformat(),
        }

    @classmethod
    def from_json(cls, value: object) -> Lineage:
        """Read what `to_json` writes.

        Raises:
            InvalidInput: naming the field that is missing, unknown or wrong.
        """
        fields = Fields.of("lineage", value, (*_DIGESTS, "parameters", "seed", "as_of"))
        return cls(
            **{name: fields.text(name) for name in _DIGESTS},  # type: ignore[arg-type]
            parameters=fields.mapping("parameters"),
            seed=fields.integer("seed"),
            as_of=fields.date("as_of"),
        )
