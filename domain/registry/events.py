"""The events of the ledger: what happened, as canonical bytes that are read back strictly."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from domain.registry.canonical import Digest, as_digest, decode, digest, encode
from domain.registry.errors import DomainException, IntegrityError, InvalidInput
from domain.registry.evidence import AttachmentRef, GateResult
from domain.registry.manifest import ModelId, as_model_id
from domain.registry.metadata import as_model_name
from domain.registry.records import Fields, as_instant, as_text, instant_text

Provenance = Mapping[str, str]
"""Which run, try, host, commit and person produced something; names and values are texts."""


def registered_key(name: str, recipe: Digest | None, model_id: ModelId) -> str:
    """Dedupe key of a registration: the recipe's, or the model id's for a model trained elsewhere."""
    return f"registered:{name}:{recipe or model_id}"


def retrained_key(name: str, recipe: Digest, model_id: ModelId) -> str:
    """Dedupe key of a registration that has a reason to differ from the recipe's first one."""
    return f"retrained:{name}:{recipe}:{model_id}"


@dataclass(frozen=True, slots=True)
class ModelRegisteredEvent:
    """A version exists from here on.

    Attributes:
        recipe, as_of: None for a model trained elsewhere.
        supersedes: the version of the same name and as-of date that this one corrects.
        retrain_reason: why the same recipe was registered again with another artifact.
    """

    KIND: ClassVar[str] = "ModelRegistered"

    name: str
    version: int
    model_id: ModelId
    recipe: Digest | None
    as_of: dt.date | None
    artifact_digest: Digest
    supersedes: int | None
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

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "model_id": self.model_id,
            "recipe": self.recipe,
            "as_of": None if self.as_of is None else self.as_of.isoformat(),
            "artifact_digest": self.artifact_digest,
            "supersedes": self.supersedes,
            "retrain_reason": self.retrain_reason,
            "gates": [gate.to_json() for gate in self.gates],
            "attachments": [attachment.to_json() for attachment in self.attachments],
            "provenance": dict(self.provenance),
            "at": instant_text(self.at),
        }

    @classmethod
    def from_json(cls, value: object) -> ModelRegisteredEvent:
        fields = Fields.of(cls.KIND, value, tuple(cls.__slots__))
        raw = fields.values
        return cls(
            name=as_model_name("name", raw["name"]),
            version=fields.integer("version", least=1),
            model_id=as_model_id("model_id", raw["model_id"]),
            recipe=None if raw["recipe"] is None else as_digest("recipe", raw["recipe"]),
            as_of=None if raw["as_of"] is None else fields.date("as_of"),
            artifact_digest=as_digest("artifact_digest", raw["artifact_digest"]),
            supersedes=None if raw["supersedes"] is None else fields.integer("supersedes", least=1),
            retrain_reason=None if raw["retrain_reason"] is None else fields.text("retrain_reason"),
            gates=tuple(GateResult.from_json(item) for item in fields.items("gates")),
            attachments=tuple(AttachmentRef.from_json(item) for item in fields.items("attachments")),
            provenance=as_provenance(fields.mapping("provenance")),
            at=as_instant("at", raw["at"]),
        )


@dataclass(frozen=True, slots=True)
class RegistrationRefusedEvent:
    """Gates said no to a candidate; nothing was stored."""

    KIND: ClassVar[str] = "RegistrationRefused"

    name: str
    model_id: ModelId
    recipe: Digest | None
    evidence: Digest
    gates: tuple[GateResult, ...]
    provenance: Provenance
    at: dt.datetime

    @property
    def key(self) -> str:
        return refused_key(self.model_id, self.evidence, self.gates)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "model_id": self.model_id,
            "recipe": self.recipe,
            "evidence": self.evidence,
            "gates": [gate.to_json() for gate in self.gates],
            "provenance": dict(self.provenance),
            "at": instant_text(self.at),
        }

    @classmethod
    def from_json(cls, value: object) -> RegistrationRefusedEvent:
        fields = Fields.of(cls.KIND, value, tuple(cls.__slots__))
        raw = fields.values
        return cls(
            name=as_model_name("name", raw["name"]),
            model_id=as_model_id("model_id", raw["model_id"]),
            recipe=None if raw["recipe"] is None else as_digest("recipe", raw["recipe"]),
            evidence=as_digest("evidence", raw["evidence"]),
            gates=tuple(GateResult.from_json(item) for item in fields.items("gates")),
            provenance=as_provenance(fields.mapping("provenance")),
            at=as_instant("at", raw["at"]),
        )


def refused_key(model_id: ModelId, evidence: Digest, gates: tuple[GateResult, ...]) -> str:
    """Dedupe key of a refusal: other evidence or other gates make another refusal."""
    judged = digest(encode([gate.to_json() for gate in gates]))
    return f"refused:{model_id}:{evidence}:{judged}"


@dataclass(frozen=True, slots=True)
class NotReproducedEvent:
    """A recipe gave another artifact than the version that the ledger has for it."""

    KIND: ClassVar[str] = "NotReproduced"

    name: str
    version: int
    recipe: Digest
    first_artifact: Digest
    other_artifact: Digest
    provenance: Provenance
    at: dt.datetime

    @property
    def key(self) -> str:
        return not_reproduced_key(self.name, self.recipe, self.other_artifact)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "recipe": self.recipe,
            "first_artifact": self.first_artifact,
            "other_artifact": self.other_artifact,
            "provenance": dict(self.provenance),
            "at": instant_text(self.at),
        }

    @classmethod
    def from_json(cls, value: object) -> NotReproducedEvent:
        fields = Fields.of(cls.KIND, value, tuple(cls.__slots__))
        raw = fields.values
        return cls(
            name=as_model_name("name", raw["name"]),
            version=fields.integer("version", least=1),
            recipe=as_digest("recipe", raw["recipe"]),
            first_artifact=as_digest("first_artifact", raw["first_artifact"]),
            other_artifact=as_digest("other_artifact", raw["other_artifact"]),
            provenance=as_provenance(fields.mapping("provenance")),
            at=as_instant("at", raw["at"]),
        )


def not_reproduced_key(name: str, recipe: Digest, other_artifact: Digest) -> str:
    """Dedupe key: one event for each other artifact a recipe gave."""
    return f"not-reproduced:{name}:{recipe}:{other_artifact}"


DomainEvent = ModelRegisteredEvent | RegistrationRefusedEvent | NotReproducedEvent

EVENT_FORMAT = "veritasvault/event/v1"
_READERS: dict[str, Callable[[object], DomainEvent]] = {
    ModelRegisteredEvent.KIND: ModelRegisteredEvent.from_json,
    RegistrationRefusedEvent.KIND: RegistrationRefusedEvent.from_json,
    NotReproducedEvent.KIND: NotReproducedEvent.from_json,
}


def event_to_bytes(event: DomainEvent) -> bytes:
    """The canonical bytes of an event, as the ledger stores and hashes them."""
    return encode({"format": EVENT_FORMAT, "kind": event.KIND, "event": event.to_json()})


def event_from_bytes(data: bytes, what: str) -> DomainEvent:
    """Read what `event_to_bytes` writes.

    Raises:
        IntegrityError: for anything else, naming `what`.
    """
    try:
        fields = Fields.of("entry", decode(data, what), ("format", "kind", "event"))
        if fields.values["format"] != EVENT_FORMAT:
            raise InvalidInput("entry.format", fields.values["format"], f"only {EVENT_FORMAT} is known")
        kind = fields.text("kind")
        if kind not in _READERS:
            raise InvalidInput("entry.kind", kind, f"known are {', '.join(_READERS)}")
        event = _READERS[kind](fields.values["event"])
    except IntegrityError:
        raise
    except DomainException as error:
        raise IntegrityError(f"{what} is not an event: {error}") from error
    if event_to_bytes(event) != data:
        raise IntegrityError(f"{what} is not an event: reading and writing it gives other bytes")
    return event


def as_provenance(values: Mapping[str, Any]) -> Provenance:
    """Return names and values as texts, or raise InvalidInput."""
    return {
        as_text("provenance", name): as_text(f"provenance.{name}", value) for name, value in values.items()
    }
