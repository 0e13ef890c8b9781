"""Events as the ledger stores and hashes them: canonical bytes that are read back strictly."""

from __future__ import annotations

from typing import Any

from domain.registry.canonical import decode, encode, encodes_to
from domain.registry.errors import DomainException, IntegrityError, InvalidInput
from domain.registry.events.audit import RegistryAuditedEvent
from domain.registry.events.collection import COLLECTION_EVENTS
from domain.registry.events.keys import KEY_EVENTS
from domain.registry.events.lifecycle import LIFECYCLE_EVENTS
from domain.registry.events.monitoring import MONITORING_EVENTS
from domain.registry.events.record import DomainEvent, Record
from domain.registry.events.registration import (
    ModelRegisteredEvent,
    NotReproducedEvent,
    RegistrationRefusedEvent,
)
from domain.registry.events.reproduction import REPRODUCTION_EVENTS
from domain.registry.records import Fields

EVENT_FORMAT = "veritasvault/event/v1"
EVENTS: tuple[type[Record], ...] = (
    ModelRegisteredEvent,
    RegistrationRefusedEvent,
    NotReproducedEvent,
    *LIFECYCLE_EVENTS,
    *KEY_EVENTS,
    *COLLECTION_EVENTS,
    *REPRODUCTION_EVENTS,
    RegistryAuditedEvent,
    *MONITORING_EVENTS,
)
"""Every kind of event there is."""

_BY_KIND = {event.KIND: event for event in EVENTS}


def event_to_bytes(event: DomainEvent) -> bytes:
    """The canonical bytes of an event."""
    return encode(_document(event))


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
        if kind not in _BY_KIND:
            raise InvalidInput("entry.kind", kind, f"known are {', '.join(_BY_KIND)}")
        event: DomainEvent = _BY_KIND[kind].from_json(fields.values["event"])  # type: ignore[assignment]
    except IntegrityError:
        raise
    except DomainException as error:
        raise IntegrityError(f"{what} is not an event: {error}") from error
    if not encodes_to(_document(event), data):
        raise IntegrityError(f"{what} is not an event: reading and writing it gives other bytes")
    return event


def _document(event: DomainEvent) -> dict[str, Any]:
    return {"format": EVENT_FORMAT, "kind": event.KIND, "event": event.to_json()}
