"""The audit that runs by itself: the whole ledger, a share of what is stored, a record, and the witnesses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from domain.registry.audit import Audit, AuditReport, Progress
from domain.registry.audit_share import Share
from domain.registry.canonical import digest_of
from domain.registry.errors import IntegrityError
from domain.registry.events import DomainEvent, Provenance
from domain.registry.events.audit import RegistryAuditedEvent, as_period, audit_key
from domain.registry.ledger.ledger import Ledger, LedgerView
from domain.registry.ledger.remembered_witness import RememberedWitness
from domain.registry.ledger.witness import witness
from domain.registry.lifecycle.state import Lifecycle
from domain.registry.manifest import ModelId
from domain.registry.ports import Clock, VersionRow

_MOST_OBJECTS = 100
_MOST_NAMED = 50
_LONGEST = 1000


@dataclass(frozen=True, slots=True)
class DailyAuditReport:
    """What an audit found, and what became of it.

    Attributes:
        share: whose turn it was.
        index: the ledger entry that records it; None if nothing was recorded, for the ledger is empty or not
            what it should be.
        witnesses: the places that have the newest checkpoint now.
    """

    found: AuditReport
    share: Share
    index: int | None
    witnesses: tuple[str, ...]

    def require_verified(self) -> None:
        """Raise IntegrityError, naming what differs, unless everything is what it should be."""
        problems = self.found.problems
        if problems:
            more = len(problems) - _MOST_NAMED
            named = [str(problem) for problem in problems[:_MOST_NAMED]]
            rest = [f"and {more} more, run veritas verify --all"] if more > 0 else []
            raise IntegrityError(f"the registry is not what was registered: {'; '.join([*named, *rest])}")


class DailyAudit:
    """Verifies the registry day by day, and tells the ledger and its witnesses."""

    def __init__(
        self,
        audit: Audit,
        ledger: Ledger,
        *,
        period: int,
        witnesses: Sequence[RememberedWitness] = (),
        clock: Clock,
    ) -> None:
        """`period` is in how many days every stored model is read once."""
        self._audit = audit
        self._ledger = ledger
        self._period = as_period("period", period)
        self._witnesses = witnesses
        self._clock = clock

    def run(self, day: dt.date, provenance: Provenance, progress: Progress | None = None) -> DailyAuditReport:
        """Audit as of a day: record what was found, once for a day unless it changes, and have it witnessed.

        A ledger that is not what it should be, or that a witness contradicts, is neither appended to, signed
        nor witnessed.

        Raises:
            Unavailable: ledger, registry, signer or a witness cannot be used now; a retry goes on.
            IntegrityError: a witness took no checkpoint, see `witness`.
        """
        share = Share.following(None, day, self._period)
        also: frozenset[ModelId] = frozenset()

        def choose(view: LedgerView) -> Callable[[VersionRow], bool]:
            nonlocal share, also
            last = newest_audit(view)
            share = Share.following(None if last is None else _share(last), day, self._period)
            damaged = () if last is None else last.damaged
            also = frozenset((*damaged, *champions(view)))
            return lambda row: share.has(row.model_id) or row.model_id in also

        found = self._audit.partly(choose, progress)
        if not found.ledger_verified or not found.entries:
            return DailyAuditReport(found, share, None, ())
        event = _event(found, share, also, provenance, self._clock.now())
        (recorded,) = self._ledger.commit(lambda view: decide_audit(view, event))
        self._ledger.checkpoint()
        for place in self._witnesses:
            witness(self._ledger, place)
        return DailyAuditReport(found, share, recorded.index, tuple(map(str, self._witnesses)))


def decide_audit(view: LedgerView, event: RegistryAuditedEvent) -> Sequence[DomainEvent]:
    """Pure: the audit with the next number, or the newest if that found the same on the same day."""
    last = newest_audit(view)
    if last is None:
        return (replace(event, sequence=0),)
    if (last.day, last.damaged, last.problems) == (event.day, event.damaged, event.problems):
        return (last,)
    return (replace(event, sequence=last.sequence + 1),)


def newest_audit(view: LedgerView) -> RegistryAuditedEvent | None:
    """The newest audit; None before the first. Raises IntegrityError if it was changed."""
    return next(audits(view), None)


def audit_of(view: LedgerView, row: VersionRow) -> RegistryAuditedEvent | None:
    """The newest audit that read a version; None before its first. Raises IntegrityError as `audits`."""
    return next((event for event in audits(view) if event.has_read(row)), None)


def audits(view: LedgerView) -> Iterator[RegistryAuditedEvent]:
    """The audits, the newest first. Raises IntegrityError if one was changed."""
    for sequence in reversed(range(view.audits())):
        event = view.find(audit_key(sequence))
        if isinstance(event, RegistryAuditedEvent):
            yield event


def champions(view: LedgerView) -> Iterator[ModelId]:
    """The models in use, of every name. Raises IntegrityError if an event was changed."""
    for name in {row.name for row in view.versions()}:
        champion = Lifecycle.of(view, name).champion
        row = None if champion is None else view.version(name, champion)
        if row is not None:
            yield row.model_id


def _share(event: RegistryAuditedEvent) -> Share:
    return Share(event.first, event.day, event.period)


def _event(
    found: AuditReport, share: Share, also: frozenset[ModelId], provenance: Provenance, at: dt.datetime
) -> RegistryAuditedEvent:
    """The event for what was found; the ledger gives it its number."""
    return RegistryAuditedEvent(
        sequence=0,
        first=share.first,
        day=share.day,
        period=share.period,
        entries=found.entries,
        versions=found.versions,
        read=len(found.read),
        share=digest_of(sorted(found.read)),
        also=tuple(sorted(model_id for model_id in found.read if not share.has(model_id))),
        damaged=tuple(sorted(found.damaged)),
        problems=tuple(_text(problem.object) for problem in found.problems[:_MOST_OBJECTS]),
        witnessed=found.witnessed,
        provenance=provenance,
        at=at,
    )


def _text(name: str) -> str:
    """An object's name as an event takes it; names of stray files are anybody's."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return " ".join(shown.split())[:_LONGEST].strip()
