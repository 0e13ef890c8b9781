"""Garbage collection: removes what nothing refers to, after a grace period and under the ledger's eyes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from domain.registry.collection.collector import Collector
from domain.registry.collection.mark import LedgerMark, read_mark, require_continued, require_ledger
from domain.registry.collection.references import References
from domain.registry.collection.survey import Garbage, Unlisted, left_over, unlisted
from domain.registry.errors import IntegrityError, InvalidInput
from domain.registry.events.collection import AttachmentOfModel, CollectedEvent
from domain.registry.events.record import Provenance
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.verification import verify_ledger
from domain.registry.ports import Clock, CollectablePort, Leftover, LeftoversPort

GRACE = dt.timedelta(days=7)
"""How old something has to be before it is collected, unless the caller says otherwise."""

_BATCH = 100
"""How many objects one event condemns; they have to be deleted within half of a collector's lease."""


@dataclass(frozen=True, slots=True)
class GarbageReport:
    """What a run of gc removed, or would remove.

    Attributes:
        garbage: what is old enough.
        spared: what nothing refers to either, but is younger than the grace period.
        finished: what an earlier run had condemned and this one deleted in its place.
    """

    garbage: tuple[Garbage, ...]
    spared: tuple[Garbage, ...]
    finished: CollectedEvent | None = None


@dataclass(slots=True)
class _Found:
    """What one look at the registry found."""

    mark: LedgerMark | None
    references: References = field(default_factory=References)
    objects: list[Unlisted] = field(default_factory=list)
    leftovers: list[tuple[Garbage, LeftoversPort, Leftover]] = field(default_factory=list)
    spared: list[Garbage] = field(default_factory=list)
    noticed: dict[str, dt.datetime] = field(default_factory=dict)

    def garbage(self) -> tuple[Garbage, ...]:
        return (*(one.garbage for one in self.objects), *(garbage for garbage, _, _ in self.leftovers))


class GarbageCollection:
    """The service behind `veritas gc`."""

    def __init__(
        self,
        repository: CollectablePort,
        ledger: Ledger,
        collector: Collector,
        *,
        places: Sequence[LeftoversPort] = (),
        clock: Clock,
    ) -> None:
        """`places` are those besides the registry where killed processes leave things."""
        self._repository = repository
        self._ledger = ledger
        self._collector = collector
        self._places = (repository, *places)
        self._clock = clock

    def look(self, grace: dt.timedelta = GRACE, *, adopt: bool = False) -> GarbageReport:
        """What `run` would remove now; changes nothing. Arguments and errors are those of `run`."""
        found = self._search(grace, self._own_mark(adopt))
        return GarbageReport(found.garbage(), tuple(found.spared))

    def run(
        self, provenance: Provenance, grace: dt.timedelta = GRACE, *, adopt: bool = False
    ) -> GarbageReport:
        """Finish what an earlier run left, then remove all garbage that is old enough; nothing else, ever.

        Args:
            grace: how old garbage has to be; a registration under way should take no longer.
            adopt: take a registry that bears no mark yet for one of this ledger.

        Raises:
            InvalidInput: the registry belongs to another ledger, or bears no mark and `adopt` is not given.
            IntegrityError: the ledger does not verify, or does not continue what the registry has seen of it.
            CollectionUnderWay: another run deletes now, or was killed a short while ago.
            Unavailable: ledger or registry cannot be used now; the next run finishes what this one began.
        """
        mark = self._own_mark(adopt)
        finished = self._collector.finish(provenance)
        found = self._search(grace, mark)
        removed = self._collect(found, provenance)
        for garbage, place, leftover in found.leftovers:
            place.remove_leftover(leftover)
            removed.append(garbage)
        self._remember(found, {garbage.name for garbage in removed}, adopt)
        return GarbageReport(tuple(removed), tuple(found.spared), finished)

    def _search(self, grace: dt.timedelta, mark: LedgerMark | None) -> _Found:
        if grace < dt.timedelta():
            raise InvalidInput("grace", str(grace), "give 0 or more, such as 12h or 7d")
        # Stored objects are listed before the ledger is read: what is registered in between is no garbage.
        stored = list(self._repository.stored())
        found = _Found(mark)
        found.references.read(self._ledger.view())
        now = self._clock.now()
        before = {} if mark is None else mark.noticed
        for one in unlisted(self._repository, stored, found.references, before, now):
            if not one.dated:
                found.noticed[one.garbage.name] = before.get(one.garbage.name, now)
            if one.garbage.age >= grace:
                found.objects.append(one)
            else:
                found.spared.append(one.garbage)
        for each in left_over(self._places, now):
            if each[0].age >= grace:
                found.leftovers.append(each)
            else:
                found.spared.append(each[0])
        return found

    def _own_mark(self, adopt: bool) -> LedgerMark | None:
        """The registry's mark; refuses to judge a registry by a ledger that is not its own, or not whole."""
        mark = read_mark(self._repository)
        if mark is not None:
            require_ledger(mark, self._ledger)
        elif not adopt and next(self._repository.stored(), None) is not None:
            raise InvalidInput(
                "registry",
                "without ledger.json",
                "it is from before there was gc and does not say which ledger it belongs to: see that "
                "veritas verify --all is good, then say --adopt once",
            )
        problems = verify_ledger(self._ledger.port, self._ledger.signer).problems
        if problems:
            raise IntegrityError(
                f"nothing was collected, the ledger does not verify ({problems[0]}): run veritas verify --all"
            )
        if mark is not None:
            require_continued(mark, self._ledger)
        return mark

    def _collect(self, found: _Found, provenance: Provenance) -> list[Garbage]:
        """Delete the registry's garbage, a batch at a time; what was deleted."""
        removed: list[Garbage] = []
        for start in range(0, len(found.objects), _BATCH):
            batch = found.objects[start : start + _BATCH]
            attachments = [one.target for one in batch if isinstance(one.target, AttachmentOfModel)]
            models = [one.target for one in batch if not isinstance(one.target, AttachmentOfModel)]
            done = self._collector.collect(models, attachments, found.references, provenance)
            gone = set() if done is None else {*done.models, *done.attachments}
            removed.extend(one.garbage for one in batch if one.target in gone)
        return removed

    def _remember(self, found: _Found, removed: set[str], adopt: bool) -> None:
        """Write into the registry how far its ledger was seen, and what is waiting to get old enough."""
        if found.mark is None and not adopt:
            return
        seen = self._ledger.checkpoint() if self._ledger.port.size() else None
        noticed = {name: at for name, at in found.noticed.items() if name not in removed}
        mark = LedgerMark(self._ledger.port.origin(), seen, noticed)
        if mark != found.mark:
            self._repository.set_ledger_mark(mark.to_bytes())
