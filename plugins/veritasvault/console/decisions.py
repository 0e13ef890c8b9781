"""Routes by which people decide; the domain says whether they may, and what comes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from domain.registry.canonical import as_digest
from domain.registry.errors import InvalidInput
from domain.registry.events.lifecycle import EVERY_MODEL, Action
from domain.registry.inventory.versions import require_model
from domain.registry.lifecycle.rules import ROLES, Proposal
from domain.registry.lifecycle.service import ModelLifecycle, Outcome
from veritasvault.console.access import Decider
from veritasvault.console.registry import RegistryDep
from veritasvault.console.same_origin import require_intended

router = APIRouter(dependencies=[Depends(require_intended)])

_LONGEST = 4000


class _Order(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    reason: str = Field(min_length=1, max_length=_LONGEST, description="Why; kept in the ledger.")


class FreezeOrder(_Order):
    """Stop or resume promotions of every model."""

    action: Literal["halt", "resume"]


class Decision(_Order):
    """A decision on a model, with what the person saw: it is refused if that is not so any more.

    Attributes:
        version: of every action but halt and resume.
        incumbent: the champion that was shown; null for none.
        evidence: the digest of the evidence that was shown; needed to approve, reject, promote, roll back.
        role: in which role somebody approves.
    """

    action: Literal["approve", "reject", "promote", "rollback", "retire", "halt", "resume"]
    version: int | None = Field(None, ge=1, le=999_999_999)
    incumbent: int | None = Field(None, ge=1, le=999_999_999)
    evidence: str | None = None
    role: str | None = None


class RecordedEvent(BaseModel):
    """An event that the decision put into the ledger."""

    kind: str


class OutcomeAnswer(BaseModel):
    """What became of a decision; `already` if everything was so before, with the reasons of a refusal."""

    outcome: Literal["done", "already", "refused"]
    reasons: list[str]
    events: list[RecordedEvent]

    @classmethod
    def of(cls, outcome: Outcome) -> OutcomeAnswer:
        done: Literal["done", "already"] = "done" if outcome.events else "already"
        return cls(
            outcome="refused" if outcome.reasons else done,
            reasons=list(outcome.reasons),
            events=[RecordedEvent(kind=event.KIND) for event in outcome.events],
        )


@router.post("/models/{name}/decisions")
def decide(name: str, decision: Decision, user: Decider, registry: RegistryDep) -> OutcomeAnswer:
    """Decide on a model, in the name of whoever is signed in."""
    require_model(registry.application.ledger.view(), name)
    lifecycle, who = registry.lifecycle(), user.get_name()
    return OutcomeAnswer.of(_decided(lifecycle, name, decision, who))


@router.post("/decisions")
def decide_on_all(order: FreezeOrder, user: Decider, registry: RegistryDep) -> OutcomeAnswer:
    """Stop or resume promotions of every model."""
    lifecycle = registry.lifecycle()
    command = lifecycle.halt if order.action == "halt" else lifecycle.resume
    return OutcomeAnswer.of(command(EVERY_MODEL, order.reason, user.get_name()))


def _decided(lifecycle: ModelLifecycle, name: str, decision: Decision, who: str) -> Outcome:
    match decision.action:
        case "halt":
            return lifecycle.halt(name, decision.reason, who)
        case "resume":
            return lifecycle.resume(name, decision.reason, who)
        case "retire":
            return lifecycle.retire(name, _version(decision), decision.reason, who)
        case "reject":
            seen = _proposal(lifecycle, name, decision, "promote", who)
            return lifecycle.reject(name, seen.version, decision.reason, who, seen=seen)
        case "approve":
            version = _version(decision)
            way: Action = lifecycle.way_of(name, version)
            seen = _proposal(lifecycle, name, decision, way, who)
            return lifecycle.approve(name, seen, _role(decision))
        case "promote" | "rollback" as action:
            return lifecycle.carry_out(name, _proposal(lifecycle, name, decision, action, who))


def _proposal(lifecycle: ModelLifecycle, name: str, decision: Decision, action: Action, who: str) -> Proposal:
    """What the person decides on, as they saw it."""
    if decision.evidence is None:
        raise InvalidInput("evidence", None, "give the digest of the evidence that you saw")
    now = lifecycle.propose(action, name, _version(decision), decision.reason, who)
    return replace(now, incumbent=decision.incumbent, evidence=as_digest("evidence", decision.evidence))


def _version(decision: Decision) -> int:
    if decision.version is None:
        raise InvalidInput("version", None, f"give the version to {decision.action}")
    return decision.version


def _role(decision: Decision) -> str:
    if decision.role is None:
        raise InvalidInput("role", None, f"give the role in which you approve, {' or '.join(ROLES)}")
    return decision.role
