"""Deletes under the ledger's eyes: condemns, deletes, records it, and finishes what a killed run left."""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Callable, Sequence

from domain.registry.collection.decisions import (
    Run,
    decide_collected,
    decide_condemnation,
    decide_takeover,
    require_own,
    require_unlisted,
)
from domain.registry.collection.references import References
from domain.registry.collection.state import CollectionState
from domain.registry.errors import CollectionUnderWay, Unavailable
from domain.registry.events.collection import AttachmentOfModel, CollectedEvent, CondemnedEvent
from domain.registry.events.record import Provenance
from domain.registry.ledger.ledger import Decide, Ledger
from domain.registry.manifest import ModelId
from domain.registry.ports import Clock, CollectablePort

LEASE = dt.timedelta(minutes=5)
"""How long a run may take for what it condemns in one event.

It stops by itself after half of it, so that the other half is there for clocks that differ and for a request
that was on its way. No two clocks may differ by more than that half.
"""

_PAUSE = 0.2


class Collector:
    """The one that deletes, for a run of gc and for a registration that meets what a killed run left."""

    def __init__(
        self,
        repository: CollectablePort,
        ledger: Ledger,
        *,
        clock: Clock,
        lease: dt.timedelta = LEASE,
        patience: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`patience` is how many seconds `settled` waits for a run of gc that is under way."""
        self._repository = repository
        self._ledger = ledger
        self._clock = clock
        self._lease = lease
        self._patience = patience
        self._monotonic = monotonic
        self._sleep = sleep

    def collect(
        self,
        models: Sequence[ModelId],
        attachments: Sequence[AttachmentOfModel],
        references: References,
        provenance: Provenance,
    ) -> CollectedEvent | None:
        """Delete those that the ledger does not refer to; None if it refers to all of them by now.

        Raises:
            CollectionUnderWay: another run deletes, or took over from this one, or the time was too short;
                the next run finishes what is condemned.
            Unavailable: ledger or registry cannot be used now; likewise.
        """

        def condemn(run: Run) -> Decide:
            return lambda view: decide_condemnation(view, references, models, attachments, run)

        return self._through(condemn, references, provenance)

    def finish(self, provenance: Provenance) -> CollectedEvent | None:
        """Delete what a run condemned that ended before it was collected; None if there is none.

        Raises:
            CollectionUnderWay: that run's time is not over, or as `collect`.
            IntegrityError: the ledger refers to what is condemned.
        """
        if CollectionState.of(self._ledger.view()).open is None:
            return None
        return self._through(lambda run: lambda view: decide_takeover(view, run), References(), provenance)

    def settled(self, model_id: ModelId, provenance: Provenance) -> int:
        """How many events about collections there are, when none of them is about to delete the model.

        Waits for a run of gc, and finishes for one that was killed. What is stored after this call is safe
        from all of those events; later ones are for the decision about the registration to look at.

        Raises:
            CollectionUnderWay: the model is still condemned; a retry may succeed.
        """
        end = self._monotonic() + self._patience
        while True:
            state = CollectionState.of(self._ledger.view())
            if state.open is None or not state.open.names(model_id):
                return state.sequence
            try:
                self.finish(provenance)
            except CollectionUnderWay:
                if self._monotonic() >= end:
                    raise
                self._sleep(_PAUSE)

    def _through(
        self, condemn: Callable[[Run], Decide], references: References, provenance: Provenance
    ) -> CollectedEvent | None:
        # Measured from before the event is written, so that waiting for the ledger counts too.
        end = self._monotonic() + self._lease.total_seconds() / 2
        now = self._clock.now()
        run = Run(secrets.token_hex(8), now, now + self._lease, provenance)
        recorded = self._ledger.commit(condemn(run))
        if not recorded:
            return None
        condemned = recorded[0].event
        assert isinstance(condemned, CondemnedEvent)
        # In one view: once another run has collected it, it may be stored and registered again.
        view = self._ledger.view()
        require_own(view, condemned)
        require_unlisted(references.read(view), condemned)

        def still_ours() -> None:
            self._require_time(condemned, end)

        for model_id in condemned.models:
            self._repository.delete_model(model_id, still_ours)
        for one in condemned.attachments:
            self._repository.delete_attachment(one.model_id, one.sha256, still_ours)
        at = self._clock.now()
        done = self._ledger.commit(lambda view: decide_collected(view, condemned, provenance, at))
        collected = done[0].event
        assert isinstance(collected, CollectedEvent)
        return collected

    def _require_time(self, condemned: CondemnedEvent, end: float) -> None:
        """Let go of the rest unless it is this run's to delete, and will still be when a request arrives."""
        require_own(self._ledger.view(), condemned)
        if self._monotonic() >= end:
            raise Unavailable(
                f"deleting what event gc:{condemned.sequence} condemned took too long and was stopped: "
                f"run it again after {condemned.until:%Y-%m-%d %H:%M:%S} UTC"
            )
