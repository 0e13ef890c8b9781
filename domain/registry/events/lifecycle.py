"""What happens to versions once they are registered: evaluated, approved, promoted, rolled back, retired.

The events of one model name are numbered from 0 without gaps. The number is in the dedupe key, so of two
commands that were decided on the same state the ledger takes one, and a name's events are found without
reading the others.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from domain.registry.canonical import Digest
from domain.registry.errors import InvalidInput
from domain.registry.events.record import ModelName, Record, Version
from domain.registry.evidence import GateResult
from domain.registry.metadata import as_model_name
from domain.registry.policy import Decision

EVERY_MODEL = "*"
"""The scope of a halt that holds for all names."""

Action = Literal["promote", "rollback"]
"""What a person can approve."""

ACTIONS: tuple[Action, ...] = ("promote", "rollback")


def lifecycle_key(scope: str, sequence: int) -> str:
    """Dedupe key of the event with this number of a name, or of `EVERY_MODEL`."""
    return f"lifecycle:{scope}:{sequence}"


def as_scope(field: str, value: object) -> str:
    """Return a model name or '*', or raise InvalidInput."""
    return EVERY_MODEL if value == EVERY_MODEL else as_model_name(field, value)


def as_action(field: str, value: object) -> Action:
    """Return 'promote' or 'rollback', or raise InvalidInput."""
    for action in ACTIONS:
        if value == action:
            return action
    raise InvalidInput(field, value, f"use one of {', '.join(ACTIONS)}")


class LifecycleEvent(Record):
    """An event of a name's lifecycle."""

    __slots__ = ()

    name: str
    sequence: int
    at: dt.datetime

    @property
    def key(self) -> str:
        return lifecycle_key(self.name, self.sequence)


@dataclass(frozen=True, slots=True)
class ModelEvaluatedEvent(LifecycleEvent):
    """A registered version was judged on new evidence, which from here on is what decisions are made on.

    Attributes:
        evidence: digest of the evidence, an attachment of the version.
    """

    KIND: ClassVar[str] = "ModelEvaluated"

    name: ModelName
    sequence: int
    version: Version
    evidence: Digest
    gates: tuple[GateResult, ...]
    actor: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class PromotionProposedEvent(LifecycleEvent):
    """A version was put before the people who decide; none of the same is asked for again by itself.

    Attributes:
        incumbent: the champion that it would displace.
        roles: who has to approve, each by another person; none if it needs nobody.
    """

    KIND: ClassVar[str] = "PromotionProposed"

    name: ModelName
    sequence: int
    version: Version
    incumbent: Version | None
    evidence: Digest
    roles: tuple[str, ...]
    reason: str
    actor: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class ModelApprovedEvent(LifecycleEvent):
    """A person approved an action on the evidence shown to them.

    Attributes:
        incumbent: the champion they were told would be displaced.
        role: the role in which they approved.
    """

    KIND: ClassVar[str] = "ModelApproved"

    name: ModelName
    sequence: int
    version: Version
    action: Annotated[Action, as_action]
    incumbent: Version | None
    evidence: Digest
    role: str
    reason: str
    actor: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class ApprovalExpiredEvent(LifecycleEvent):
    """Nobody answered in time; the version may be proposed again."""

    KIND: ClassVar[str] = "ApprovalExpired"

    name: ModelName
    sequence: int
    version: Version
    incumbent: Version | None
    evidence: Digest
    reason: str
    actor: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class ModelRejectedEvent(LifecycleEvent):
    """A person said no to a version on this evidence; other evidence may be asked about again."""

    KIND: ClassVar[str] = "ModelRejected"

    name: ModelName
    sequence: int
    version: Version
    evidence: Digest
    reason: str
    actor: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class ModelPromotedEvent(LifecycleEvent):
    """A version is the champion from here on.

    Attributes:
        as_of: the version's as-of date; None for a model trained elsewhere.
        incumbent: the champion it displaced.
        evidence: what was decided on.
        approvals: numbers of the approvals that were counted; none if it promoted itself.
    """

    KIND: ClassVar[str] = "ModelPromoted"

    name: ModelName
    sequence: int
    version: Version
    as_of: dt.date | None
    incumbent: Version | None
    evidence: Digest
    approvals: tuple[int, ...]
    policy: Decision
    reason: str
    actor: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class PromotionRefusedEvent(LifecycleEvent):
    """A version did not become champion, for these reasons."""

    KIND: ClassVar[str] = "PromotionRefused"

    name: ModelName
    sequence: int
    version: Version
    action: Annotated[Action, as_action]
    incumbent: Version | None
    evidence: Digest
    reasons: tuple[str, ...]
    policy: Decision
    actor: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class ModelRolledBackEvent(LifecycleEvent):
    """An earlier champion is the champion again; what it displaced does not promote itself any more."""

    KIND: ClassVar[str] = "ModelRolledBack"

    name: ModelName
    sequence: int
    version: Version
    displaced: Version | None
    evidence: Digest
    approvals: tuple[int, ...]
    policy: Decision
    reason: str
    actor: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class ModelRetiredEvent(LifecycleEvent):
    """A version is out of use for good; if it was the champion, its name has none."""

    KIND: ClassVar[str] = "ModelRetired"

    name: ModelName
    sequence: int
    version: Version
    policy: Decision
    reason: str
    actor: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class PromotionsHaltedEvent(LifecycleEvent):
    """No version of the name, or of any name, becomes champion until promotions are resumed."""

    KIND: ClassVar[str] = "PromotionsHalted"

    name: Annotated[str, as_scope]
    sequence: int
    reason: str
    actor: str
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class PromotionsResumedEvent(LifecycleEvent):
    """The halt of this scope is over."""

    KIND: ClassVar[str] = "PromotionsResumed"

    name: Annotated[str, as_scope]
    sequence: int
    reason: str
    actor: str
    at: dt.datetime


LIFECYCLE_EVENTS: tuple[type[LifecycleEvent], ...] = (
    ModelEvaluatedEvent,
    PromotionProposedEvent,
    ModelApprovedEvent,
    ApprovalExpiredEvent,
    ModelRejectedEvent,
    ModelPromotedEvent,
    PromotionRefusedEvent,
    ModelRolledBackEvent,
    ModelRetiredEvent,
    PromotionsHaltedEvent,
    PromotionsResumedEvent,
)
