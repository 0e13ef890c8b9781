"""What a name's lifecycle events add up to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from types import MappingProxyType

from domain.registry.canonical import Digest
from domain.registry.events import DomainEvent
from domain.registry.events.lifecycle import (
    EVERY_MODEL,
    Action,
    ApprovalExpiredEvent,
    LifecycleEvent,
    ModelApprovedEvent,
    ModelEvaluatedEvent,
    ModelPromotedEvent,
    ModelRejectedEvent,
    ModelRetiredEvent,
    ModelRolledBackEvent,
    PromotionProposedEvent,
    PromotionRefusedEvent,
    PromotionsHaltedEvent,
    PromotionsResumedEvent,
)
from domain.registry.ledger.view import LedgerView
from domain.registry.ports import VersionRow


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """The state of one name; `EVERY_MODEL` has one of its own, in which only `halted` has a meaning.

    Attributes:
        sequence: how many events there are, which is the number of the next one.
        champion: the version in use.
        latest_champion_as_of: the latest as-of date that any champion ever had.
        champions: every version that was champion once.
        barred: versions that a rollback displaced; they do not promote themselves any more.
        rejected: the evidence, all of it, on which a version was rejected.
        approvals: those that may still count: with a change of the champion they are used up, all of them.
        evaluated: the newest evaluation of a version after its registration.
        halted: why nothing becomes champion now.
        proposed: the newest proposal of each version, answered or not.
        waiting: the versions whose proposal nobody has decided on yet.
        refused: the newest refusal of each version.
    """

    name: str
    sequence: int = 0
    champion: int | None = None
    latest_champion_as_of: dt.date | None = None
    champions: frozenset[int] = frozenset()
    barred: frozenset[int] = frozenset()
    retired: frozenset[int] = frozenset()
    rejected: Mapping[int, frozenset[Digest]] = field(default_factory=lambda: MappingProxyType({}))
    evaluated: Mapping[int, ModelEvaluatedEvent] = field(default_factory=lambda: MappingProxyType({}))
    approvals: tuple[ModelApprovedEvent, ...] = ()
    halted: str | None = None
    proposed: Mapping[int, PromotionProposedEvent] = field(default_factory=lambda: MappingProxyType({}))
    waiting: frozenset[int] = frozenset()
    refused: Mapping[int, PromotionRefusedEvent] = field(default_factory=lambda: MappingProxyType({}))
    last: LifecycleEvent | None = None

    @classmethod
    def of(cls, view: LedgerView, name: str) -> Lifecycle:
        """The state that a view of the ledger holds. Raises IntegrityError if an event was changed."""
        return cls.after(name, (found.event for found in view.lifecycle(name)))

    @classmethod
    def after(cls, name: str, events: Iterable[DomainEvent]) -> Lifecycle:
        """The state after a name's events, in their order; those of no lifecycle change nothing."""
        return reduce(_apply, (event for event in events if isinstance(event, LifecycleEvent)), cls(name))

    def way_of(self, version: int) -> Action:
        """How a version can become champion: an earlier champion is rolled back to."""
        return "rollback" if version in self.champions else "promote"

    def was_proposed(self, version: int, incumbent: int | None, evidence: Digest) -> bool:
        """Whether people were asked to put this version in this champion's place on this evidence."""
        return _is_of(self.proposed.get(version), incumbent, evidence)

    def was_refused(self, version: int, incumbent: int | None, evidence: Digest) -> bool:
        """Whether this version was kept from this champion's place on this evidence."""
        return _is_of(self.refused.get(version), incumbent, evidence)

    def was_rejected(self, version: int, evidence: Digest | None) -> bool:
        """Whether somebody said no to this version on this evidence."""
        return evidence in self.rejected.get(version, ())

    def ended_in_refusal(self, version: int, incumbent: int | None, evidence: Digest) -> bool:
        """Whether that proposal was refused after it was made, rather than left unanswered."""
        case = (version, incumbent, evidence)
        return (
            self.was_proposed(*case)
            and self.was_refused(*case)
            and self.refused[version].sequence > self.proposed[version].sequence
        )

    def is_waiting(self, version: int, incumbent: int | None, evidence: Digest) -> bool:
        """Whether that proposal waits for people now."""
        return version in self.waiting and self.was_proposed(version, incumbent, evidence)

    def approvals_of(
        self, action: Action, version: int, incumbent: int | None, evidence: Digest
    ) -> tuple[ModelApprovedEvent, ...]:
        """The approvals of exactly this: another incumbent or other evidence needs new ones."""
        wanted = (action, version, incumbent, evidence)
        return tuple(
            approval
            for approval in self.approvals
            if (approval.action, approval.version, approval.incumbent, approval.evidence) == wanted
        )


def challengers(view: LedgerView, state: Lifecycle) -> Iterator[VersionRow]:
    """The versions that may want the champion's place, later than any champion's; the newest date first."""
    out = state.retired | state.barred | state.rejected.keys()
    later = view.dated(state.name, later_than=state.latest_champion_as_of)
    return (row for row in later if row.version not in out)


def challenger(view: LedgerView, state: Lifecycle) -> VersionRow | None:
    """The version that wants the champion's place: the newest of `challengers`."""
    return next(challengers(view, state), None)


def halt_of(view: LedgerView, state: Lifecycle) -> str | None:
    """Why nothing may become champion: the name's own halt, or the one that holds for every model."""
    return state.halted or Lifecycle.of(view, EVERY_MODEL).halted


def _is_of(
    event: PromotionProposedEvent | PromotionRefusedEvent | None, incumbent: int | None, evidence: Digest
) -> bool:
    return event is not None and (event.incumbent, event.evidence) == (incumbent, evidence)


_ENDS_A_PROPOSAL = (
    ApprovalExpiredEvent,
    ModelPromotedEvent,
    ModelRejectedEvent,
    ModelRetiredEvent,
    PromotionRefusedEvent,
)


def _with_proposals(state: Lifecycle, event: LifecycleEvent) -> Lifecycle:
    """Which proposals there were, which wait, and which were refused after an event."""
    if isinstance(event, PromotionProposedEvent):
        proposed = MappingProxyType({**state.proposed, event.version: event})
        return replace(state, proposed=proposed, waiting=state.waiting | {event.version})
    if isinstance(event, PromotionRefusedEvent):
        state = replace(state, refused=MappingProxyType({**state.refused, event.version: event}))
    if isinstance(event, _ENDS_A_PROPOSAL):
        return replace(state, waiting=state.waiting - {event.version})
    return state


def _apply(state: Lifecycle, event: LifecycleEvent) -> Lifecycle:
    state = _with_proposals(replace(state, sequence=state.sequence + 1, last=event), event)
    match event:
        case ModelEvaluatedEvent():
            return replace(state, evaluated=MappingProxyType({**state.evaluated, event.version: event}))
        case ModelApprovedEvent():
            return replace(state, approvals=(*state.approvals, event))
        case ModelRejectedEvent():
            on = state.rejected.get(event.version, frozenset()) | {event.evidence}
            return replace(state, rejected=MappingProxyType({**state.rejected, event.version: on}))
        case ModelPromotedEvent():
            known = [day for day in (state.latest_champion_as_of, event.as_of) if day is not None]
            return replace(
                state,
                champion=event.version,
                champions=state.champions | {event.version},
                latest_champion_as_of=max(known, default=None),
                approvals=(),
            )
        case ModelRolledBackEvent():
            displaced = frozenset() if event.displaced is None else frozenset({event.displaced})
            return replace(state, champion=event.version, barred=state.barred | displaced, approvals=())
        case ModelRetiredEvent():
            state = replace(state, retired=state.retired | {event.version})
            return replace(state, champion=None, approvals=()) if state.champion == event.version else state
        case PromotionsHaltedEvent():
            return replace(state, halted=event.reason)
        case PromotionsResumedEvent():
            return replace(state, halted=None)
    return state
