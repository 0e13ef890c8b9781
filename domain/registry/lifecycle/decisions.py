"""The decisions of the lifecycle: pure functions from state and command to events, or to a refusal.

Halting, resuming and rejecting ask no policy, roles decide: whoever may stop things can, also when the
policy's server is away.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

from domain.registry.canonical import Digest
from domain.registry.errors import InvalidInput, NotPermitted, StaleDecision
from domain.registry.events.lifecycle import (
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
from domain.registry.evidence import GateResult
from domain.registry.lifecycle.rules import (
    RISK_OFFICER,
    ROLES,
    Actor,
    Candidate,
    Proposal,
    counted,
    objections,
    require_current,
    required_roles,
)
from domain.registry.lifecycle.state import Lifecycle
from domain.registry.policy import Decision


def decide_proposal(
    state: Lifecycle,
    candidate: Candidate,
    proposal: Proposal,
    halted: str | None,
    ask: Callable[[], Decision],
) -> Sequence[LifecycleEvent]:
    """The version takes the champion's place, or the refusal with its reasons; nothing if it has it already.

    Args:
        ask: the policy, about this very state.

    Raises:
        StaleDecision: see `require_current`.
    """
    if proposal.action == "promote" and state.champion == proposal.version:
        return ()
    require_current(state, candidate, proposal)
    policy = ask()
    reasons = (*objections(state, candidate, proposal, halted), *policy.reasons)
    if reasons:
        return _refusal(state, proposal, reasons, policy)
    approvals = tuple(approval.sequence for approval in counted(state, candidate, proposal) or ())
    if proposal.action == "rollback":
        return (
            ModelRolledBackEvent(
                state.name, state.sequence, proposal.version, state.champion, proposal.evidence, approvals,
                policy, proposal.reason, proposal.actor, proposal.at,
            ),
        )  # fmt: skip
    return (
        ModelPromotedEvent(
            state.name, state.sequence, proposal.version, candidate.as_of, state.champion, proposal.evidence,
            approvals, policy, proposal.reason, proposal.actor, proposal.at,
        ),
    )  # fmt: skip


def _refusal(
    state: Lifecycle, proposal: Proposal, reasons: tuple[str, ...], policy: Decision
) -> Sequence[PromotionRefusedEvent]:
    """The refusal, unless it is what happened last: asking again and again fills no ledger."""
    refusal = PromotionRefusedEvent(
        state.name, state.sequence, proposal.version, proposal.action, proposal.incumbent, proposal.evidence,
        reasons, policy, proposal.actor, proposal.at,
    )  # fmt: skip
    last = state.last
    if isinstance(last, PromotionRefusedEvent) and _same(last, refusal):
        return ()
    return (refusal,)


def _same(one: PromotionRefusedEvent, other: PromotionRefusedEvent) -> bool:
    fields = ("version", "action", "incumbent", "evidence", "reasons", "actor")
    return all(getattr(one, name) == getattr(other, name) for name in fields)


def decide_approval(
    state: Lifecycle, candidate: Candidate, proposal: Proposal, actor: Actor, role: str
) -> Sequence[LifecycleEvent]:
    """Pure: an approval of the proposal; nothing if this person gave it already.

    Raises:
        NotPermitted: the person is an author of the version, or does not have the role.
        InvalidInput: no such role.
        StaleDecision: see `require_current`.
    """
    require_current(state, candidate, proposal)
    if role not in ROLES:
        raise InvalidInput("role", role, f"use one of {', '.join(ROLES)}")
    if actor.name in candidate.authors:
        raise NotPermitted(
            f"{actor.name} is an author of {state.name}@{candidate.version}: somebody else has to approve it"
        )
    if role not in actor.roles:
        raise NotPermitted(f"{actor.name} does not have the role {role}: ask somebody who has it")
    given = state.approvals_of(proposal.action, proposal.version, proposal.incumbent, proposal.evidence)
    if any((approval.actor, approval.role) == (actor.name, role) for approval in given):
        return ()
    return (
        ModelApprovedEvent(
            state.name, state.sequence, proposal.version, proposal.action, proposal.incumbent,
            proposal.evidence, role, proposal.reason, actor.name, proposal.at,
        ),
    )  # fmt: skip


def decide_opening(
    state: Lifecycle, candidate: Candidate, proposal: Proposal
) -> Sequence[PromotionProposedEvent]:
    """Pure: the proposal waits for people; nothing if it waits already.

    Raises:
        StaleDecision: see `require_current`.
    """
    require_current(state, candidate, proposal)
    if state.is_waiting(proposal.version, proposal.incumbent, proposal.evidence):
        return ()
    return (
        PromotionProposedEvent(
            state.name, state.sequence, proposal.version, proposal.incumbent, proposal.evidence,
            required_roles(state, candidate, proposal.action), proposal.reason, proposal.actor, proposal.at,
        ),
    )  # fmt: skip


def decide_expiry(state: Lifecycle, proposal: Proposal) -> Sequence[LifecycleEvent]:
    """Pure: nobody answered in time; nothing if the proposal does not wait any more."""
    if not state.is_waiting(proposal.version, proposal.incumbent, proposal.evidence):
        return ()
    return (
        ApprovalExpiredEvent(
            state.name, state.sequence, proposal.version, proposal.incumbent, proposal.evidence,
            proposal.reason, proposal.actor, proposal.at,
        ),
    )  # fmt: skip


def decide_rejection(
    state: Lifecycle, version: int, evidence: Digest, actor: Actor, reason: str, at: dt.datetime
) -> Sequence[LifecycleEvent]:
    """Pure: a version is rejected on its evidence; nothing if it was already.

    Raises:
        NotPermitted: the person has none of the roles that approve.
        StaleDecision: the version is the champion; roll back or retire it.
    """
    _require_role(actor, ROLES)
    if state.champion == version:
        raise StaleDecision(f"{state.name}@{version} is the champion: roll back or retire it")
    if state.was_rejected(version, evidence):
        return ()
    return (ModelRejectedEvent(state.name, state.sequence, version, evidence, reason, actor.name, at),)


def decide_evaluation(
    state: Lifecycle, candidate: Candidate, evidence: Digest, gates: tuple[GateResult, ...], actor: str,
    at: dt.datetime,
) -> Sequence[LifecycleEvent]:  # fmt: skip
    """Pure: new evidence for a version; nothing if it is the evidence it has."""
    if candidate.evidence == evidence and candidate.gates == gates:
        return ()
    return (ModelEvaluatedEvent(state.name, state.sequence, candidate.version, evidence, gates, actor, at),)


def decide_retirement(
    state: Lifecycle, version: int, actor: Actor, reason: str, at: dt.datetime, policy: Decision
) -> Sequence[LifecycleEvent]:
    """Pure: a version is out of use; nothing if it is already.

    Raises:
        NotPermitted: the person is no risk officer, or the policy says no.
    """
    _require_role(actor, (RISK_OFFICER,))
    _require_allowed(policy, f"retiring {state.name}@{version}")
    if version in state.retired:
        return ()
    return (ModelRetiredEvent(state.name, state.sequence, version, policy, reason, actor.name, at),)


def decide_halt(state: Lifecycle, actor: Actor, reason: str, at: dt.datetime) -> Sequence[LifecycleEvent]:
    """Pure: promotions stop; nothing if they are halted for the same reason already. Raises NotPermitted."""
    _require_role(actor, ROLES)
    if state.halted == reason:
        return ()
    return (PromotionsHaltedEvent(state.name, state.sequence, reason, actor.name, at),)


def decide_resumption(
    state: Lifecycle, actor: Actor, reason: str, at: dt.datetime
) -> Sequence[LifecycleEvent]:
    """Pure: promotions go on; nothing if they are not halted. Raises NotPermitted."""
    _require_role(actor, (RISK_OFFICER,))
    if state.halted is None:
        return ()
    return (PromotionsResumedEvent(state.name, state.sequence, reason, actor.name, at),)


def _require_role(actor: Actor, roles: Sequence[str]) -> None:
    if not actor.roles & set(roles):
        wanted = " or ".join(roles)
        raise NotPermitted(f"{actor.name} does not have the role {wanted}: ask somebody who has it")


def _require_allowed(policy: Decision, what: str) -> None:
    if not policy.allowed:
        raise NotPermitted(f"{what} is not allowed by the policy: {'; '.join(policy.reasons)}")
