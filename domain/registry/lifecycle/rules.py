"""What stands against a proposal: rules that hold whatever the policy says, which can only be stricter."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

from domain.registry.canonical import Digest
from domain.registry.errors import StaleDecision
from domain.registry.events.lifecycle import Action, ModelApprovedEvent
from domain.registry.evidence import GateResult
from domain.registry.lifecycle.state import Lifecycle
from domain.registry.metadata import RiskTier

RISK_OFFICER, MODEL_VALIDATOR = "risk_officer", "model_validator"
ROLES = (RISK_OFFICER, MODEL_VALIDATOR)

APPROVERS: dict[RiskTier, tuple[str, ...]] = {
    RiskTier.HIGH: (MODEL_VALIDATOR, RISK_OFFICER),
    RiskTier.MEDIUM: (RISK_OFFICER,),
    RiskTier.LOW: (),
}
"""The roles that have to approve a promotion, each by another person."""

AT_LEAST = (RISK_OFFICER,)
"""Who approves what never goes by itself, in every tier: ties, what was rolled back, rollbacks."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who commands: a name, and the roles that the configuration gives it."""

    name: str
    roles: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a decision has to know of a registered version.

    Attributes:
        as_of: None for a model trained elsewhere.
        risk_tier: its own, or the champion's where that is higher.
        evidence: digest of the newest evidence; None if there is none.
        gates: what was made of that evidence.
        authors: owner, author of the commit and whoever triggered the run; they approve nothing of it.
    """

    version: int
    risk_tier: RiskTier
    owner: str
    as_of: dt.date | None
    evidence: Digest | None
    gates: tuple[GateResult, ...]
    authors: frozenset[str]


@dataclass(frozen=True, slots=True)
class Proposal:
    """A command to put a version in the champion's place, as its author saw things.

    Attributes:
        incumbent: the champion it shall displace.
        evidence: what it was decided on.
        automatic: whether a run proposes it and not a person; its actor is then who triggered the run.
    """

    action: Action
    version: int
    incumbent: int | None
    evidence: Digest
    reason: str
    actor: str
    at: dt.datetime
    automatic: bool = False


def require_current(state: Lifecycle, candidate: Candidate, proposal: Proposal) -> None:
    """Require that the champion and the evidence are still those that were decided on.

    Raises:
        StaleDecision: one of them changed; look again and decide again.
    """
    if state.champion != proposal.incumbent:
        raise StaleDecision(
            f"incumbent is {_version(proposal.incumbent)}, but the champion of {state.name} is "
            f"{_version(state.champion)} now: look at it and decide again"
        )
    if candidate.evidence != proposal.evidence:
        raise StaleDecision(
            f"evidence is {proposal.evidence[:16]}…, but that of {state.name}@{candidate.version} is "
            f"{(candidate.evidence or 'not there')[:16]}… now: look at it and decide again"
        )


def required_roles(state: Lifecycle, candidate: Candidate, action: Action) -> tuple[str, ...]:
    """The roles that have to approve, each by another person."""
    by_tier = APPROVERS[candidate.risk_tier]
    return by_tier if goes_by_itself(state, candidate, action) else by_tier or AT_LEAST


def goes_by_itself(state: Lifecycle, candidate: Candidate, action: Action) -> bool:
    """Whether only the tier may ask for approval: newer than any champion ever was, and not barred."""
    if action == "rollback" or candidate.as_of is None or candidate.version in state.barred:
        return False
    return state.latest_champion_as_of is None or candidate.as_of > state.latest_champion_as_of


def involved(candidate: Candidate, proposal: Proposal) -> frozenset[str]:
    """Who approves nothing of it: its authors, and whoever triggered the run that proposes it."""
    return candidate.authors | ({proposal.actor} if proposal.automatic else set())


def given_approvals(
    state: Lifecycle, candidate: Candidate, proposal: Proposal
) -> tuple[ModelApprovedEvent, ...]:
    """The approvals of this very proposal by people who had no part in it."""
    wanted = (proposal.action, proposal.version, proposal.incumbent, proposal.evidence)
    barred = involved(candidate, proposal)
    return tuple(given for given in state.approvals_of(*wanted) if given.actor not in barred)


def missing_roles(state: Lifecycle, candidate: Candidate, proposal: Proposal) -> tuple[str, ...]:
    """The roles in which somebody still has to approve; none if there are approvals enough."""
    if counted(state, candidate, proposal) is not None:
        return ()
    required = required_roles(state, candidate, proposal.action)
    given = {approval.role for approval in given_approvals(state, candidate, proposal)}
    # Where one person approved in two roles, another has to in one of them: any of the two will do.
    return tuple(role for role in required if role not in given) or required


def counted(
    state: Lifecycle, candidate: Candidate, proposal: Proposal
) -> tuple[ModelApprovedEvent, ...] | None:
    """Approvals that fill every required role with another person; None if there are not enough."""
    required = required_roles(state, candidate, proposal.action)
    given = given_approvals(state, candidate, proposal)
    for chosen in permutations(given, len(required)):
        people = {approval.actor for approval in chosen}
        if tuple(approval.role for approval in chosen) == required and len(people) == len(required):
            return chosen
    return None


def objections(
    state: Lifecycle, candidate: Candidate, proposal: Proposal, halted: str | None
) -> tuple[str, ...]:
    """Why the proposal cannot be followed, one sentence each; empty if nothing stands against it."""
    what = f"{state.name}@{candidate.version}"
    found = []
    if candidate.version in state.retired:
        found.append(f"{what} is retired")
    if proposal.action == "promote":
        found += _objections_to_promotion(state, candidate, what, halted)
    elif candidate.version not in state.champions or candidate.version == state.champion:
        found.append(f"{what} is not an earlier champion")
    if counted(state, candidate, proposal) is None:
        roles = required_roles(state, candidate, proposal.action)
        found.append(f"{what} needs the approval of {_and(roles)}, not of its authors, on this evidence")
    return tuple(found)


def _objections_to_promotion(
    state: Lifecycle, candidate: Candidate, what: str, halted: str | None
) -> list[str]:
    found = []
    if halted is not None:
        found.append(f"promotions are halted: {halted}")
    if not candidate.gates:
        found.append(f"{what} has not been judged by any gate")
    found += [
        f"gate {gate.gate} of {what} is {gate.outcome}"
        for gate in candidate.gates
        if gate.outcome != "passed"
    ]
    if state.was_rejected(candidate.version, candidate.evidence):
        found.append(f"{what} was rejected on this evidence")
    latest = state.latest_champion_as_of
    if candidate.as_of is not None and latest is not None and candidate.as_of < latest:
        found.append(f"{what} has seen data up to {candidate.as_of}, a champion up to {latest} already")
    return found


def _version(version: int | None) -> str:
    return "none" if version is None else f"version {version}"


def _and(roles: Sequence[str]) -> str:
    return " and ".join(roles)
