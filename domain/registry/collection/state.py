"""What the ledger's newest events say of collections: is one under way, and what was condemned since."""

from __future__ import annotations

from dataclasses import dataclass

from domain.registry.errors import CondemnedMeanwhile, IntegrityError
from domain.registry.events.collection import CollectedEvent, CondemnedEvent
from domain.registry.ledger.view import LedgerView
from domain.registry.manifest import ModelId


@dataclass(frozen=True, slots=True)
class CollectionState:
    """Where collections stand.

    Attributes:
        sequence: how many events there are about collections, which is the number of the next one.
        open: what is condemned and not collected yet.
    """

    sequence: int
    open: CondemnedEvent | None = None

    @classmethod
    def of(cls, view: LedgerView) -> CollectionState:
        """The state that a view of the ledger holds. Raises IntegrityError if its event was changed."""
        sequence = view.collections()
        newest = next(view.collection_events(sequence - 1), None) if sequence else None
        event = None if newest is None else newest.event
        if newest is not None and not isinstance(event, CondemnedEvent | CollectedEvent):
            raise IntegrityError(f"ledger entry {newest.index}: its key says a collection, it is none")
        return cls(sequence, event if isinstance(event, CondemnedEvent) else None)


def condemned_since(view: LedgerView, sequence: int, model_id: ModelId) -> CondemnedEvent | None:
    """The newest event from this number on that condemned the model or an attachment of it."""
    found = None
    for recorded in view.collection_events(sequence):
        event = recorded.event
        if isinstance(event, CondemnedEvent) and event.names(model_id):
            found = event
    return found


def storing_from(view: LedgerView, model_id: ModelId) -> int:
    """The number from which on condemnations concern what is stored after this call.

    Raises:
        CondemnedMeanwhile: something of the model is about to be deleted.
    """
    state = CollectionState.of(view)
    if state.open is not None and state.open.names(model_id):
        raise _condemned(state.open, model_id)
    return state.sequence


def require_still_stored(view: LedgerView, sequence: int, model_id: ModelId) -> None:
    """Raise CondemnedMeanwhile if gc condemned, from this number on, something of the model."""
    condemned = condemned_since(view, sequence, model_id)
    if condemned is not None:
        raise _condemned(condemned, model_id)


def _condemned(event: CondemnedEvent, model_id: ModelId) -> CondemnedMeanwhile:
    return CondemnedMeanwhile(
        f"gc condemned something of model {model_id} in event {event.key} while it was stored: run it again"
    )
