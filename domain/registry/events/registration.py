"""What happens to candidates: a version is registered, refused by gates, or not reproduced."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import ClassVar

from domain.registry.canonical import Digest, digest, encode
from domain.registry.events.record import ModelName, Provenance, Record, Version
from domain.registry.evidence import AttachmentRef, GateResult
from domain.registry.manifest import ModelId


def registered_key(name: str, recipe: Digest | None, model_id: ModelId) -> str:
    """Dedupe key of a registration: the recipe's, or the model id's for a model trained elsewhere."""
    return f"registered:{name}:{recipe or model_id}"


def retrained_key(name: str, recipe: Digest, model_id: ModelId) -> str:
    """Dedupe key of a registration that has a reason to differ from the recipe's first one."""
    return f"retrained:{name}:{recipe}:{model_id}"


@dataclass(frozen=True, slots=True)
class ModelRegisteredEvent(Record):
    """A version exists from here on.

    Attributes:
        recipe, as_of: None for a model trained elsewhere.
        supersedes: the version of the same name and as-of date that this one corrects.
        retrain_reason: why the same recipe was registered again with another artifact.
    """

    KIND: ClassVar[str] = "ModelRegistered"

    name: ModelName
    version: Version
    model_id: ModelId
    recipe: Digest | None
    as_of: dt.date | None
    artifact_digest: Digest
    supersedes: Version | None
    retrain_reason: str | None
    gates: tuple[GateResult, ...]
    attachments: tuple[AttachmentRef, ...]
    provenance: Provenance
    at: dt.datetime

    @property
    def key(self) -> str:
        if self.retrain_reason is not None and self.recipe is not None:
            return retrained_key(self.name, self.recipe, self.model_id)
        return registered_key(self.name, self.recipe, self.model_id)


@dataclass(frozen=True, slots=True)
class RegistrationRefusedEvent(Record):
    """Gates said no to a candidate; nothing was stored."""

    KIND: ClassVar[str] = "RegistrationRefused"

    name: ModelName
    model_id: ModelId
    recipe: Digest | None
    evidence: Digest
    gates: tuple[GateResult, ...]
    provenance: Provenance
    at: dt.datetime

    @property
    def key(self) -> str:
        """Other evidence or other gates make another refusal."""
        judged = digest(encode([gate.to_json() for gate in self.gates]))
        return f"refused:{self.model_id}:{self.evidence}:{judged}"


@dataclass(frozen=True, slots=True)
class NotReproducedEvent(Record):
    """A recipe gave another artifact than the version that the ledger has for it."""

    KIND: ClassVar[str] = "NotReproduced"

    name: ModelName
    version: Version
    recipe: Digest
    first_artifact: Digest
    other_artifact: Digest
    provenance: Provenance
    at: dt.datetime

    @property
    def key(self) -> str:
        """One event for each other artifact that a recipe gave."""
        return f"not-reproduced:{self.name}:{self.recipe}:{self.other_artifact}"
