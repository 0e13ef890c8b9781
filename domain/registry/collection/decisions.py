"""Pure decisions of garbage collection: what is condemned, who takes over, and what is recorded as gone.

One run at a time deletes. The ledger says which: the run of the open event, until another one took over,
which it may only when the first one's time is over. So what a killed run left is finished, and a run that is
only slow cannot delete what was stored again after somebody else had finished for it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from domain.registry.collection.references import References
from domain.registry.collection.state import CollectionState
from domain.registry.errors import CollectionUnderWay, IntegrityError
from domain.registry.events.collection import AttachmentOfModel, CollectedEvent, CondemnedEvent
from domain.registry.events.record import Provenance
from domain.registry.ledger.view import LedgerView
from domain.registry.manifest import ModelId
from domain.registry.records import instant_text


@dataclass(frozen=True, slots=True)
class Run:
    """One try of a run of gc to delete something.

    Attributes:
        name: tells it from all others.
        until: when it has stopped deleting.
    """

    name: str
    at: dt.datetime
    until: dt.datetime
    provenance: Provenance


def decide_condemnation(
    view: LedgerView,
    references: References,
    models: Sequence[ModelId],
    attachments: Sequence[AttachmentOfModel],
    run: Run,
) -> Sequence[CondemnedEvent]:
    """Pure: condemn what this view of the ledger still does not refer to; nothing if it refers to all.

    Args:
        references: what the view refers to; it is read up to the view.

    Raises:
        CollectionUnderWay: something else is condemned and not collected yet.
    """
    state = CollectionState.of(view)
    if state.open is not None:
        raise _under_way(state.open)
    known = references.read(view)
    unlisted = tuple(sorted({model_id for model_id in models if not known.lists(model_id)}))
    unnamed = tuple(sorted({one for one in attachments if known.free(one)}))
    if not unlisted and not unnamed:
        return ()
    return (CondemnedEvent(state.sequence, unlisted, unnamed, run.name, run.until, run.provenance, run.at),)


def decide_takeover(view: LedgerView, run: Run) -> Sequence[CondemnedEvent]:
    """Pure: condemn anew, by this run, what another one has not collected in time; nothing if all is.

    Raises:
        CollectionUnderWay: the other one's time is not over.
    """
    state = CollectionState.of(view)
    left = state.open
    if left is None:
        return ()
    if run.at < left.until:
        raise _under_way(left)
    return (
        CondemnedEvent(
            state.sequence, left.models, left.attachments, run.name, run.until, run.provenance, run.at
        ),
    )


def decide_collected(
    view: LedgerView, condemned: CondemnedEvent, provenance: Provenance, at: dt.datetime
) -> Sequence[CollectedEvent]:
    """Pure: record that what a run condemned is gone.

    Raises:
        CollectionUnderWay: another run took over; it records that.
    """
    require_own(view, condemned)
    return (
        CollectedEvent(
            condemned.sequence + 1, condemned.models, condemned.attachments, condemned.run, provenance, at
        ),
    )


def require_own(view: LedgerView, condemned: CondemnedEvent) -> None:
    """Raise CollectionUnderWay unless the event is still the one by which things are deleted."""
    if CollectionState.of(view).open != condemned:
        raise CollectionUnderWay(
            f"another run of gc took over what this one had condemned in event {condemned.key}: run it again"
        )


def require_unlisted(references: References, condemned: CondemnedEvent) -> None:
    """Raise IntegrityError if the ledger refers to what is condemned, which no registration lets happen."""
    listed = next((model_id for model_id in condemned.models if references.lists(model_id)), None)
    named = next((one for one in condemned.attachments if references.names(one.sha256)), None)
    if listed is not None or named is not None:
        raise IntegrityError(
            f"nothing was deleted, event {condemned.key} condemned {listed or named}, to which the ledger "
            "refers: run veritas verify --all"
        )


def _under_way(condemned: CondemnedEvent) -> CollectionUnderWay:
    return CollectionUnderWay(
        f"another run of gc deletes what it condemned in event {condemned.key}, or was killed while it did: "
        f"run it again after {instant_text(condemned.until)}"
    )
