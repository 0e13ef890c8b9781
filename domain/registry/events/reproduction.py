"""What came of training a registered version again from its own record.

The events about one version are numbered from 0 without gaps, and the number is in the dedupe key, so they
are found without reading the other events.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from domain.registry.canonical import Digest
from domain.registry.errors import InvalidInput
from domain.registry.events.record import ModelName, Provenance, Record, Version

Stage = Literal["code", "environment", "data", "features", "training", "export"]
"""Where a second training can begin to differ from the first, in the order in which it is noticed."""

STAGES: tuple[Stage, ...] = ("code", "environment", "data", "features", "training", "export")


def reproduction_key(name: str, version: int, sequence: int) -> str:
    """Dedupe key of the event with this number about a version."""
    return f"reproduction:{name}:{version}:{sequence}"


def as_stage(field: str, value: object) -> Stage:
    """Return the name of a stage, or raise InvalidInput."""
    for stage in STAGES:
        if value == stage:
            return stage
    raise InvalidInput(field, value, f"use one of {', '.join(STAGES)}")


def as_difference(field: str, value: object) -> float:
    """Return a finite number of at least 0 as a float, or raise InvalidInput."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InvalidInput(field, value, "give a finite number of at least 0")
    return float(value)


class ReproductionEvent(Record):
    """An event about a reproduction of a version."""

    __slots__ = ()

    name: str
    version: int
    sequence: int
    run: str
    at: dt.datetime

    @property
    def key(self) -> str:
        return reproduction_key(self.name, self.version, self.sequence)


@dataclass(frozen=True, slots=True)
class ModelReproducedEvent(ReproductionEvent):
    """The version's record gave its artifact again.

    Attributes:
        run: tells one reproduction from the others; of a scheduled one the scheduler's name for it.
        engine: what prepared the features.
        environment: digest of the environment that the training ran in.
        artifact_digest: of what the training gave; the version's own, unless its trainer has a tolerance.
        difference: the largest relative difference of a forecast; 0 where the artifact is the same.
    """

    KIND: ClassVar[str] = "ModelReproduced"

    name: ModelName
    version: Version
    sequence: int
    run: str
    engine: str
    environment: Digest
    artifact_digest: Digest
    difference: Annotated[float, as_difference]
    provenance: Provenance
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class ReproductionFailedEvent(ReproductionEvent):
    """The version's record did not give its artifact again.

    Attributes:
        run, engine: as in `ModelReproducedEvent`.
        stage: the first that differs.
        recorded: digest of what the record has at that stage.
        found: digest of what there was instead; None if it could not be had.
        other_artifact: digest of the artifact that the training gave; None if nothing was trained.
        reason: in one sentence, and by how much.
    """

    KIND: ClassVar[str] = "ReproductionFailed"

    name: ModelName
    version: Version
    sequence: int
    run: str
    engine: str
    stage: Annotated[Stage, as_stage]
    recorded: Digest
    found: Digest | None
    other_artifact: Digest | None
    reason: str
    provenance: Provenance
    at: dt.datetime


REPRODUCTION_EVENTS: tuple[type[ReproductionEvent], ...] = (ModelReproducedEvent, ReproductionFailedEvent)
