"""What garbage collection does to stored objects: it condemns them, deletes them, says that they are gone.

The events are numbered from 0 without gaps, and the number is in the dedupe key, so of two runs that want to
condemn at once the ledger takes one, and the newest event is found without reading the others. An event that
condemns is open until the next one; there is never more than one.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import ClassVar

from domain.registry.canonical import Digest
from domain.registry.events.record import Provenance, Record
from domain.registry.manifest import ModelId


def collection_key(sequence: int) -> str:
    """Dedupe key of the event about collections with this number."""
    return f"gc:{sequence}"


@dataclass(frozen=True, slots=True, order=True)
class AttachmentOfModel(Record):
    """An attachment by the model it is stored with."""

    KIND: ClassVar[str] = "attachment"

    model_id: ModelId
    sha256: Digest


@dataclass(frozen=True, slots=True)
class CondemnedEvent(Record):
    """From here on, and until they are collected, these objects may vanish at any moment.

    Attributes:
        models: whole models, all that is stored under their ids.
        attachments: single attachments of models that stay.
        run: tells the run of gc that deletes from all others.
        until: when this run has stopped deleting, whatever became of it, so that another may take over.
    """

    KIND: ClassVar[str] = "Condemned"

    sequence: int
    models: tuple[ModelId, ...]
    attachments: tuple[AttachmentOfModel, ...]
    run: str
    until: dt.datetime
    provenance: Provenance
    at: dt.datetime

    @property
    def key(self) -> str:
        return collection_key(self.sequence)

    def names(self, model_id: ModelId) -> bool:
        """Whether something of the model is condemned."""
        return model_id in self.models or any(one.model_id == model_id for one in self.attachments)


@dataclass(frozen=True, slots=True)
class CollectedEvent(Record):
    """What the event before condemned is gone, and may be stored again.

    Attributes:
        run: the run that deleted it.
    """

    KIND: ClassVar[str] = "Collected"

    sequence: int
    models: tuple[ModelId, ...]
    attachments: tuple[AttachmentOfModel, ...]
    run: str
    provenance: Provenance
    at: dt.datetime

    @property
    def key(self) -> str:
        return collection_key(self.sequence)


COLLECTION_EVENTS: tuple[type[Record], ...] = (CondemnedEvent, CollectedEvent)
