"""What happened to a version after it was registered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from domain.registry.events import DomainEvent
from domain.registry.events.lifecycle import ModelEvaluatedEvent
from domain.registry.ledger.ledger import Ledger, recorded
from domain.registry.ledger.view import Recorded
from domain.registry.ports import VersionRow

_NAMES_A_VERSION = ("version", "incumbent", "displaced", "supersedes")
_OF_ALL_VERSIONS = ("PromotionsHalted", "PromotionsResumed")


def later_events(ledger: Ledger, row: VersionRow) -> Iterator[Recorded]:
    """The events after a version's registration that concern it, in the order of the ledger.

    Those are the ones that name it, also as what another version displaced or supersedes, and halts of its
    name.

    Raises:
        IntegrityError: one of them was changed.
    """
    # Names are plain ASCII, so canonical JSON has them as they are; other models' entries are not decoded.
    mark = f'"name":"{row.name}"'.encode()
    for entry in ledger.port.read(row.index + 1):
        if mark in entry.data:
            found = recorded(entry)
            if concerns(found.event, row):
                yield found


def evaluations(events: Iterable[Recorded], row: VersionRow) -> tuple[ModelEvaluatedEvent, ...]:
    """The evaluations of a version after its registration, among some events."""
    found = (one.event for one in events)
    return tuple(
        event
        for event in found
        if isinstance(event, ModelEvaluatedEvent) and (event.name, event.version) == (row.name, row.version)
    )


def concerns(event: DomainEvent, row: VersionRow) -> bool:
    """Whether an event that follows a version's registration is about the version."""
    if getattr(event, "name", None) != row.name:
        return False
    named = (getattr(event, field, None) for field in _NAMES_A_VERSION)
    return event.KIND in _OF_ALL_VERSIONS or row.version in named
