"""Everything that happened to a model, in words."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import Any

from domain.registry.events import DomainEvent, ModelRegisteredEvent, RegistrationRefusedEvent
from domain.registry.events.lifecycle import (
    EVERY_MODEL,
    ModelApprovedEvent,
    ModelPromotedEvent,
    ModelRolledBackEvent,
    PromotionProposedEvent,
)
from domain.registry.ledger.view import LedgerView, Recorded

_SAID: Mapping[str, str] = {
    "ApprovalExpired": "nobody answered on version {version} in time",
    "DriftDetected": "drift found in what version {version} is used on",
    "ModelEvaluated": "version {version} evaluated on new evidence",
    "ModelMonitored": "version {version} monitored, no drift",
    "ModelRejected": "version {version} rejected",
    "ModelReproduced": "version {version} reproduced from its record",
    "ModelRetired": "version {version} retired",
    "NotReproduced": "the recipe of version {version} gave another artifact",
    "PromotionRefused": "version {version} refused as champion",
    "PromotionsHalted": "promotions halted",
    "PromotionsResumed": "promotions resumed",
    "ReproductionFailed": "version {version} not reproduced from its record",
}
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Happening:
    """An event for people.

    Attributes:
        index: its place in the ledger.
        actor: who did it; None if nobody is recorded.
        summary: what happened, in a few words.
        reason: why, in the words of whoever did it or of the rules; None if nothing is recorded.
    """

    index: int
    kind: str
    at: dt.datetime
    actor: str | None
    version: int | None
    summary: str
    reason: str | None


@dataclass(frozen=True, slots=True)
class TimelinePage:
    """Happenings, newest first; `next` is the entry before which the next page begins, None on the last."""

    events: tuple[Happening, ...]
    next: int | None


def timeline(view: LedgerView, name: str, *, before: int | None = None, limit: int = 50) -> TimelinePage:
    """What happened to a model, halts of every model included. Raises IntegrityError."""
    sources = (view.about(name, before=before), view.about(EVERY_MODEL, before=before))
    found = merge(*sources, key=lambda one: one.index, reverse=True)
    events = tuple(happening(one) for one in islice(found, limit + 1))
    return TimelinePage(events[:limit], events[limit - 1].index if len(events) > limit else None)


def happening(one: Recorded) -> Happening:
    """An event in words."""
    event: Any = one.event
    provenance = getattr(event, "provenance", {})
    reasons = (*getattr(event, "reasons", ()), *_failed_gates(event))
    return Happening(
        index=one.index,
        kind=event.KIND,
        at=event.at,
        actor=getattr(event, "actor", None) or provenance.get("triggered_by") or provenance.get("actor"),
        version=getattr(event, "version", None),
        summary=_summary(event),
        reason="; ".join(reasons) or getattr(event, "reason", None) or provenance.get("reason"),
    )


def _failed_gates(event: DomainEvent) -> Iterator[str]:
    if isinstance(event, RegistrationRefusedEvent):
        yield from (gate.reason for gate in event.gates if gate.outcome != "passed")


def _summary(event: DomainEvent) -> str:
    match event:
        case ModelRegisteredEvent():
            corrects = f", in place of version {event.supersedes}" if event.supersedes else ""
            return f"version {event.version} registered{corrects}"
        case RegistrationRefusedEvent():
            return "a candidate refused by its gates"
        case ModelPromotedEvent():
            return f"version {event.version} promoted to champion{_instead(event.incumbent)}"
        case ModelRolledBackEvent():
            return f"rolled back to version {event.version}{_instead(event.displaced)}"
        case PromotionProposedEvent():
            return f"version {event.version} put before {' and '.join(event.roles) or 'those who decide'}"
        case ModelApprovedEvent():
            done = "promotion of" if event.action == "promote" else "rollback to"
            return f"{done} version {event.version} approved as {event.role}"
    version = getattr(event, "version", None)
    said = _SAID.get(event.KIND)
    if said is None:
        words = _WORD.sub(" ", event.KIND).lower()
        return words if version is None else f"{words}, version {version}"
    return said.format(version=version)


def _instead(version: int | None) -> str:
    return "" if version is None else f", in place of version {version}"
