"""The events of the ledger, and their bytes."""

from domain.registry.events.format import EVENTS, event_from_bytes, event_to_bytes
from domain.registry.events.keys import KeyIntroducedEvent, KeyRevokedEvent, KeyRole
from domain.registry.events.record import DomainEvent, Provenance, as_provenance
from domain.registry.events.registration import (
    ModelRegisteredEvent,
    NotReproducedEvent,
    RegistrationRefusedEvent,
    registered_key,
    retrained_key,
)

__all__ = [
    "EVENTS",
    "DomainEvent",
    "KeyIntroducedEvent",
    "KeyRevokedEvent",
    "KeyRole",
    "ModelRegisteredEvent",
    "NotReproducedEvent",
    "Provenance",
    "RegistrationRefusedEvent",
    "as_provenance",
    "event_from_bytes",
    "event_to_bytes",
    "registered_key",
    "retrained_key",
]
