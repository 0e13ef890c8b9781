"""What a person may do about a version now, and if not, why; nothing is decided here.

The commands of `ModelLifecycle` enforce the rules. This tells people beforehand what those would say.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from domain.registry.events.lifecycle import Action, ModelApprovedEvent
from domain.registry.lifecycle.rules import (
    RISK_OFFICER,
    ROLES,
    Actor,
    Candidate,
    Proposal,
    objections,
    required_roles,
)
from domain.registry.lifecycle.state import Lifecycle
from domain.registry.policy import Decision

Command = Literal["approve", "reject", "promote", "rollback", "retire", "halt", "resume"]
"""What a person can be offered."""

Ask = Callable[[Literal["promote", "rollback", "retire"], Sequence[ModelApprovedEvent]], Decision]
"""The policy on an action with these approvals, on the state that is looked at."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A command and whether the person may give it.

    Attributes:
        roles: those of the person's roles in which they may give it; empty for one that needs none.
        why_not: one or more reasons in a sentence; None if it is allowed.
    """

    action: Command
    roles: tuple[str, ...]
    why_not: str | None

    @property
    def allowed(self) -> bool:
        return self.why_not is None


@dataclass(frozen=True, slots=True)
class Situation:
    """What offers rest on: a version, its name's state, and the person.

    Attributes:
        halted: why nothing becomes champion, whether of this name or of any.
    """

    state: Lifecycle
    candidate: Candidate
    actor: Actor
    halted: str | None
    at: dt.datetime

    @property
    def what(self) -> str:
        return f"{self.state.name}@{self.candidate.version}"

    @property
    def way(self) -> Action:
        """How the version can become champion: an earlier champion is rolled back to."""
        return self.state.way_of(self.candidate.version)

    @property
    def proposal(self) -> Proposal | None:
        """The proposal that would be approved or carried out; None without evidence."""
        evidence = self.candidate.evidence
        if evidence is None:
            return None
        incumbent, who = self.state.champion, self.actor.name
        return Proposal(self.way, self.candidate.version, incumbent, evidence, "-", who, self.at)


def offers_in(situation: Situation, ask: Ask) -> tuple[Offer, ...]:
    """Every command, in the order in which they usually come."""
    return (
        _approve(situation),
        _reject(situation),
        _carry_out("promote", situation, ask),
        _carry_out("rollback", situation, ask),
        _retire(situation, ask),
        _halt(situation),
        _resume(situation),
    )


def _approve(now: Situation) -> Offer:
    proposal, actor = now.proposal, now.actor
    roles: tuple[str, ...] = ()
    if proposal is None:
        why_not = f"{now.what} has no evidence: evaluate it first"
    elif reason := _out_of_question(now):
        why_not = reason
    elif actor.name in now.candidate.authors:
        why_not = f"{actor.name} had a part in {now.what}: somebody else has to approve it"
    else:
        case = (proposal.action, proposal.version, proposal.incumbent, proposal.evidence)
        given = {one.role for one in now.state.approvals_of(*case) if one.actor == actor.name}
        required = required_roles(now.state, now.candidate, proposal.action)
        roles = tuple(role for role in required if role in actor.roles and role not in given)
        why_not = "" if roles else _why_no_role(now, required, given)
    return Offer("approve", roles, why_not or None)


def _why_no_role(now: Situation, required: Sequence[str], given: set[str]) -> str:
    if not required:
        return f"{now.what} needs nobody's approval"
    if given:
        return f"{now.actor.name} approved it already"
    return _lacks(now.actor, required)


def _out_of_question(now: Situation) -> str | None:
    """Why the version cannot become champion whoever approves."""
    if now.state.champion == now.candidate.version:
        return f"{now.what} is the champion"
    if now.candidate.version in now.state.retired:
        return f"{now.what} is retired"
    return None


def _reject(now: Situation) -> Offer:
    state, candidate = now.state, now.candidate
    why_not = None
    if not now.actor.roles & set(ROLES):
        why_not = _lacks(now.actor, ROLES)
    elif candidate.evidence is None:
        why_not = f"{now.what} has no evidence: evaluate it first"
    elif state.champion == candidate.version:
        why_not = f"{now.what} is the champion: roll back or retire it"
    elif state.was_rejected(candidate.version, candidate.evidence):
        why_not = f"{now.what} was rejected on this evidence"
    return Offer("reject", _held(now.actor, ROLES), why_not)


def _carry_out(action: Action, now: Situation, ask: Ask) -> Offer:
    proposal = now.proposal
    if proposal is None:
        return Offer(action, (), f"{now.what} has no evidence: evaluate it first")
    if now.state.champion == now.candidate.version:
        return Offer(action, (), f"{now.what} is the champion")
    if action != now.way:
        there = (
            "is not an earlier champion" if action == "rollback" else "was champion before: roll back to it"
        )
        return Offer(action, (), f"{now.what} {there}")
    case = (action, proposal.version, proposal.incumbent, proposal.evidence)
    policy = ask(action, now.state.approvals_of(*case))
    reasons = (*objections(now.state, now.candidate, proposal, now.halted), *policy.reasons)
    return Offer(action, (), "; ".join(dict.fromkeys(reasons)) or None)


def _retire(now: Situation, ask: Ask) -> Offer:
    why_not = None
    if RISK_OFFICER not in now.actor.roles:
        why_not = _lacks(now.actor, (RISK_OFFICER,))
    elif now.candidate.version in now.state.retired:
        why_not = f"{now.what} is retired"
    elif not (policy := ask("retire", ())).allowed:
        why_not = "; ".join(policy.reasons)
    return Offer("retire", _held(now.actor, (RISK_OFFICER,)), why_not)


def _halt(now: Situation) -> Offer:
    why_not = None
    if not now.actor.roles & set(ROLES):
        why_not = _lacks(now.actor, ROLES)
    elif now.state.halted is not None:
        why_not = f"promotions are halted: {now.state.halted}"
    return Offer("halt", _held(now.actor, ROLES), why_not)


def _resume(now: Situation) -> Offer:
    why_not = None
    if RISK_OFFICER not in now.actor.roles:
        why_not = _lacks(now.actor, (RISK_OFFICER,))
    elif now.state.halted is None:
        of_all = now.halted is not None
        why_not = "promotions of every model are halted, not of this one" if of_all else "promotions go on"
    return Offer("resume", _held(now.actor, (RISK_OFFICER,)), why_not)


def _held(actor: Actor, roles: Sequence[str]) -> tuple[str, ...]:
    return tuple(role for role in roles if role in actor.roles)


def _lacks(actor: Actor, roles: Sequence[str]) -> str:
    return f"{actor.name} does not have the role {' or '.join(roles)}: ask somebody who has it"
