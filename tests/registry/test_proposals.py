"""Proposals that wait for people: asked once, of those who may answer, and not for what is refused anyway."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from domain.registry.canonical import digest
from domain.registry.errors import NotPermitted, StaleDecision
from domain.registry.events.lifecycle import PromotionProposedEvent
from domain.registry.evidence import GateResult
from domain.registry.lifecycle.service import ModelLifecycle
from domain.registry.metadata import RiskTier
from tests.registry.board import NAME, Board, StoppedClock

OFFICER, VALIDATOR = ("olga", "risk_officer"), ("vera", "model_validator")


@pytest.fixture
def board(tmp_path: Path) -> Board:
    board = Board(tmp_path, RiskTier.HIGH)
    board.register(1)
    return board


def test_a_proposal_waits_once(board: Board) -> None:
    """The event names who has to approve; asking again while it waits adds nothing."""
    proposal = board.propose(1, "airflow", automatic=True)
    (event,) = board.lifecycle.open(NAME, proposal).events
    assert isinstance(event, PromotionProposedEvent)
    assert (event.version, event.incumbent, event.roles) == (1, None, ("model_validator", "risk_officer"))
    assert board.lifecycle.open(NAME, proposal).events == ()
    state = board.lifecycle.state(NAME)
    assert (state.waiting, state.is_waiting(1, None, proposal.evidence)) == ({1}, True)
    assert not state.was_proposed(1, 7, proposal.evidence)
    assert not state.was_proposed(1, None, digest(b"other evidence"))


@pytest.mark.parametrize("end", ["promote", "reject", "retire", "refuse", "expire"])
def test_every_decision_ends_the_wait(board: Board, end: str) -> None:
    proposal = board.propose(1, "airflow", automatic=True)
    board.lifecycle.open(NAME, proposal)
    if end == "promote":
        board.promote(1, OFFICER, VALIDATOR)
    elif end == "refuse":
        assert board.lifecycle.carry_out(NAME, proposal).reasons
        assert board.lifecycle.state(NAME).was_refused(1, None, proposal.evidence)
    elif end == "expire":
        board.lifecycle.expire(NAME, proposal)
    else:
        getattr(board.lifecycle, end)(NAME, 1, "because", "olga")
    state = board.lifecycle.state(NAME)
    assert (state.waiting, state.was_proposed(1, None, proposal.evidence)) == (set(), True)


def test_a_proposal_on_what_is_no_longer_so_does_not_wait(board: Board) -> None:
    board.register(2)
    late = board.propose(2, "airflow", automatic=True)
    board.promote(1, OFFICER, VALIDATOR)
    with pytest.raises(StaleDecision, match="incumbent is none"):
        board.lifecycle.open(NAME, late)
    assert board.lifecycle.state(NAME).waiting == set()


def test_those_who_had_a_part_in_a_version_are_not_asked(board: Board) -> None:
    """Owner, author and trigger of the version, and whoever triggered the run that proposes it."""
    asked = board.lifecycle.approvers(NAME, board.propose(1, "both", automatic=True))
    assert asked == {"model_validator": ("vera",), "risk_officer": ("olga",)}
    asked = board.lifecycle.approvers(NAME, board.propose(1, "both"))
    assert asked == {"model_validator": ("both", "vera"), "risk_officer": ("both", "olga")}


def test_nobody_is_asked_for_what_was_approved(board: Board) -> None:
    """Roles fill up one by one, also by approvals from the command line."""
    board.approve(1, OFFICER)
    proposal = board.propose(1, "airflow", automatic=True)
    assert list(board.lifecycle.approvers(NAME, proposal)) == ["model_validator"]
    assert not board.lifecycle.is_approved(NAME, 1)
    board.approve(1, VALIDATOR)
    assert board.lifecycle.approvers(NAME, proposal) == {}
    assert board.lifecycle.is_approved(NAME, 1)


def test_where_one_person_filled_both_roles_another_has_to_fill_one(board: Board) -> None:
    board.approve(1, ("both", "risk_officer"), ("both", "model_validator"))
    asked = board.lifecycle.approvers(NAME, board.propose(1, "airflow", automatic=True))
    assert list(asked) == ["model_validator", "risk_officer"]
    board.approve(1, VALIDATOR)
    assert board.lifecycle.is_approved(NAME, 1)


def test_a_role_that_nobody_may_fill_is_named(board: Board) -> None:
    alone = ModelLifecycle(
        board.catalog, board.ledger, board.policy, roles={"carl": ("risk_officer",)}, clock=StoppedClock()
    )
    with pytest.raises(NotPermitted, match="nobody may approve volatility@1 as model_validator"):
        alone.approvers(NAME, board.propose(1, "airflow", automatic=True))


def test_what_would_be_refused_with_every_approval_is_known_before_anybody_is_asked(board: Board) -> None:
    """Rules, halts and the policy are all asked as if everybody had approved; nothing is recorded."""
    proposal = board.propose(1, "airflow", automatic=True)
    asked = board.lifecycle.approvers(NAME, proposal)
    size = board.port.size()
    assert board.lifecycle.foreseen(NAME, proposal, asked) == ()
    question = board.policy.asked[-1]
    assert {one.role for one in question.approvals} == {"model_validator", "risk_officer"}
    assert {"both", "olga", "vera"} == {one.approver for one in question.approvals}
    board.policy.reasons = ("no promotions on Fridays",)
    assert board.lifecycle.foreseen(NAME, proposal, asked) == ("no promotions on Fridays",)
    board.policy.reasons = ()
    assert board.port.size() == size
    board.lifecycle.halt(NAME, "odd prices", "vera")
    assert board.lifecycle.foreseen(NAME, proposal, asked) == ("promotions are halted: odd prices",)
    board.lifecycle.resume(NAME, "prices are right", "olga")
    failed = (GateResult("qlike no worse than the champion's", "failed", "it is worse", {}),)
    board.lifecycle.evaluate(NAME, 1, digest(b"newer"), failed, "airflow")
    worse = dataclasses.replace(proposal, evidence=digest(b"newer"))
    (reason,) = board.lifecycle.foreseen(NAME, worse, asked)
    assert reason == "gate qlike no worse than the champion's of volatility@1 is failed"


@pytest.mark.parametrize("officers", [("alice",), ("alice", "bob")])
def test_people_with_both_roles_are_matched_to_those_who_have_one(
    board: Board, officers: tuple[str, ...]
) -> None:
    """Whoever alone can fill a role is not spent on the other, and nobody is asked for a second one."""
    roles = {"alice": ("model_validator", "risk_officer"), "bob": ("model_validator",)}
    if "bob" in officers:
        roles["bob"] = ("model_validator", "risk_officer")
    lifecycle = ModelLifecycle(board.catalog, board.ledger, board.policy, roles=roles, clock=StoppedClock())
    proposal = board.propose(1, "airflow", automatic=True)
    assert lifecycle.foreseen(NAME, proposal, lifecycle.approvers(NAME, proposal)) == ()
    mine = dataclasses.replace(proposal, actor="alice", automatic=False)
    lifecycle.approve(NAME, mine, "risk_officer")
    asked = lifecycle.approvers(NAME, proposal)
    assert asked == {"model_validator": ("bob",)}
    assert lifecycle.foreseen(NAME, proposal, asked) == ()


def test_a_rejection_is_of_what_was_shown(board: Board) -> None:
    """Once there is other evidence or another champion, an answer to the old request rejects nothing."""
    shown = board.propose(1, "vera")
    passed = (GateResult("data validated", "passed", "all met", {}),)
    board.lifecycle.evaluate(NAME, 1, digest(b"newer"), passed, "airflow")
    with pytest.raises(StaleDecision, match="evidence is "):
        board.lifecycle.reject(NAME, 1, "odd prices", "vera", seen=shown)
    assert board.lifecycle.state(NAME).rejected == {}
