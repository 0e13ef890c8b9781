"""Champions: who takes whose place, who has to approve, and what can never happen."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from domain.registry.canonical import digest
from domain.registry.errors import InvalidInput, NotFound, NotPermitted, StaleDecision
from domain.registry.events.lifecycle import (
    EVERY_MODEL,
    ApprovalExpiredEvent,
    ModelPromotedEvent,
    PromotionRefusedEvent,
)
from domain.registry.evidence import GateResult
from domain.registry.ledger.verification import verify_ledger
from domain.registry.metadata import RiskTier
from tests.registry.board import NAME, Board

OFFICER, VALIDATOR = ("olga", "risk_officer"), ("vera", "model_validator")
PASSED = (GateResult("data validated", "passed", "all met", {}),)


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


def test_a_low_tier_version_promotes_itself(board: Board) -> None:
    """Tier 3 with all gates passed needs nobody; the event names evidence, policy and what it displaced."""
    board.register(1)
    outcome = board.promote(1)
    (event,) = outcome.events
    assert isinstance(event, ModelPromotedEvent)
    assert (event.version, event.incumbent, event.approvals) == (1, None, ())
    assert event.policy.input == board.policy.asked[-1].digest
    assert board.champion == 1
    board.register(2)
    board.promote(2)
    assert board.champion == 2
    assert verify_ledger(board.port, board.ledger.signer).problems == ()


def test_promoting_the_champion_again_adds_nothing(board: Board) -> None:
    board.register(1)
    board.promote(1)
    size = board.port.size()
    assert board.promote(1).events == ()
    assert board.port.size() == size


def test_a_backfill_does_not_displace_a_champion_that_has_seen_newer_data(board: Board) -> None:
    """Not by itself, not with every approval there is; only a rollback to an earlier champion can."""
    board.register(10)
    board.promote(1)
    board.register(5)
    outcome = board.promote(2, OFFICER, VALIDATOR)
    assert outcome.reasons == (
        "volatility@2 has seen data up to 2022-12-05, a champion up to 2022-12-10 already",
    )
    assert board.champion == 1


def test_a_tie_needs_approval_in_every_tier(board: Board) -> None:
    board.register(10)
    board.promote(1)
    board.register(10)
    assert "needs the approval of risk_officer" in board.promote(2).reasons[0]
    assert board.champion == 1
    board.promote(2, OFFICER)
    assert board.champion == 2


def test_the_latest_as_of_date_any_champion_had_counts_after_a_rollback(board: Board) -> None:
    """A version between the restored champion's date and the displaced one's does not promote itself."""
    for day in (1, 10, 5):
        board.register(day)
    board.promote(1)
    board.promote(2)
    board.roll_back(1, OFFICER)
    assert "has seen data up to 2022-12-05" in board.promote(3).reasons[0]


def test_a_rollback_is_approved_and_bars_what_it_displaced(board: Board) -> None:
    """Without approval nothing happens; after it the displaced version comes back only by approval."""
    board.register(1)
    board.register(2)
    board.promote(1)
    board.promote(2)
    assert "needs the approval of risk_officer" in board.roll_back(1).reasons[0]
    assert board.champion == 2
    board.roll_back(1, OFFICER)
    assert board.champion == 1
    assert board.promote(2).reasons == (
        "volatility@2 needs the approval of risk_officer, not of its authors, on this evidence",
    )
    board.promote(2, OFFICER)
    assert board.champion == 2


def test_nothing_rolls_back_to_what_never_was_champion(board: Board) -> None:
    board.register(1)
    board.register(2)
    board.promote(2)
    assert board.roll_back(1, OFFICER).reasons == ("volatility@1 is not an earlier champion",)
    assert board.roll_back(2, OFFICER).reasons[0] == "volatility@2 is not an earlier champion"


@pytest.mark.parametrize(
    ("tier", "people", "enough"),
    [
        (RiskTier.LOW, (), True),
        (RiskTier.MEDIUM, (), False),
        (RiskTier.MEDIUM, (VALIDATOR,), False),
        (RiskTier.MEDIUM, (OFFICER,), True),
        (RiskTier.HIGH, (OFFICER,), False),
        (RiskTier.HIGH, (VALIDATOR,), False),
        (RiskTier.HIGH, (OFFICER, ("carl2", "risk_officer")), False),
        (RiskTier.HIGH, (("both", "risk_officer"), ("both", "model_validator")), False),
        (RiskTier.HIGH, (OFFICER, ("both", "model_validator")), True),
        (RiskTier.HIGH, (OFFICER, VALIDATOR), True),
    ],
)
def test_each_tier_asks_for_its_approvals_by_different_people(
    tmp_path: Path, tier: RiskTier, people: tuple[tuple[str, str], ...], enough: bool
) -> None:
    board = Board(tmp_path, tier)
    board.register(1)
    known = [person for person in people if person[0] != "carl2"]
    outcome = board.promote(1, *known)
    assert (board.champion == 1) is enough
    assert bool(outcome.reasons) is not enough


@pytest.mark.parametrize("author", ["carl", "quant-research", "tim"])
def test_nobody_approves_what_they_made(tmp_path: Path, author: str) -> None:
    """Neither the author of the commit nor the owner nor who triggered the run, whatever roles they have."""
    board = Board(tmp_path, RiskTier.MEDIUM)
    board.register(1)
    with pytest.raises(NotPermitted, match=f"{author} is an author of volatility@1"):
        board.approve(1, (author, "risk_officer"))
    assert board.champion is None


def test_who_triggered_an_automatic_run_does_not_approve_it(tmp_path: Path) -> None:
    board = Board(tmp_path, RiskTier.MEDIUM)
    board.register(1)
    board.approve(1, OFFICER)
    outcome = board.lifecycle.carry_out(NAME, board.propose(1, "olga", automatic=True))
    assert "needs the approval" in outcome.reasons[0]
    board.lifecycle.carry_out(NAME, board.propose(1, "somebody", automatic=True))
    assert board.champion == 1


def test_only_who_has_a_role_approves_in_it(board: Board) -> None:
    board.register(1)
    with pytest.raises(NotPermitted, match="vera does not have the role risk_officer"):
        board.approve(1, ("vera", "risk_officer"))
    with pytest.raises(NotPermitted, match="nobody does not have"):
        board.approve(1, ("nobody", "risk_officer"))
    with pytest.raises(InvalidInput, match="role is 'king'"):
        board.approve(1, ("olga", "king"))


def test_an_approval_counts_for_the_incumbent_and_the_evidence_it_was_given_on(tmp_path: Path) -> None:
    """When another champion came, or new evidence, people have to look again."""
    board = Board(tmp_path, RiskTier.MEDIUM)
    for day in (1, 2, 3):
        board.register(day)
    board.approve(3, OFFICER)
    board.promote(1, OFFICER)
    assert "needs the approval" in board.promote(3).reasons[0]
    board.approve(3, OFFICER)
    board.lifecycle.evaluate(NAME, 3, digest(b"newer"), PASSED, "evaluator")
    assert "needs the approval" in board.promote(3).reasons[0]
    assert board.champion == 1


def test_a_command_on_what_is_no_longer_so_is_refused(board: Board) -> None:
    """It names the incumbent and the evidence; whichever changed, nothing is done."""
    for day in (1, 2, 3):
        board.register(day)
    late, dark = board.propose(2), board.propose(3)
    board.promote(1)
    with pytest.raises(StaleDecision, match="incumbent is none, but the champion of volatility is version 1"):
        board.lifecycle.carry_out(NAME, late)
    dark = dataclasses.replace(dark, incumbent=1)
    board.lifecycle.evaluate(NAME, 3, digest(b"newer"), PASSED, "evaluator")
    with pytest.raises(StaleDecision, match="evidence is "):
        board.lifecycle.carry_out(NAME, dark)
    assert board.champion == 1


def test_a_model_from_outside_is_evaluated_before_it_becomes_champion(board: Board) -> None:
    """It has no evidence at first; judged by the gates, it still needs a person, for it has no as-of date."""
    board.register(None)
    with pytest.raises(InvalidInput, match="evaluate it first"):
        board.propose(1)
    failed = (GateResult("data validated", "failed", "unmet", {}),)
    board.lifecycle.evaluate(NAME, 1, digest(b"bad"), failed, "evaluator")
    assert "gate data validated of volatility@1 is failed" in board.promote(1, OFFICER).reasons
    board.lifecycle.evaluate(NAME, 1, digest(b"good"), PASSED, "evaluator")
    assert "needs the approval of risk_officer" in board.promote(1).reasons[0]
    board.promote(1, OFFICER)
    assert board.champion == 1


def test_the_policy_can_say_no_and_its_reasons_are_kept_once(board: Board) -> None:
    """A refusal is an event with all reasons; the same refusal again is none."""
    board.register(1)
    board.policy.reasons = ("no promotions on Fridays",)
    first, again = board.promote(1), board.promote(1)
    (event,) = first.events
    assert isinstance(event, PromotionRefusedEvent)
    assert first.reasons == again.reasons == ("no promotions on Fridays",)
    assert again.events == ()
    assert board.champion is None
    board.policy.reasons = ()
    board.promote(1)
    assert board.champion == 1


def test_a_rejected_version_is_not_promoted_on_the_same_evidence(board: Board) -> None:
    board.register(1)
    board.lifecycle.reject(NAME, 1, "too nervous", "vera")
    assert board.promote(1, OFFICER).reasons == ("volatility@1 was rejected on this evidence",)
    with pytest.raises(NotPermitted):
        board.lifecycle.reject(NAME, 1, "too nervous", "nobody")
    board.lifecycle.evaluate(NAME, 1, digest(b"newer"), PASSED, "evaluator")
    board.promote(1)
    assert board.champion == 1
    with pytest.raises(StaleDecision, match="is the champion"):
        board.lifecycle.reject(NAME, 1, "too late", "vera")


def test_a_retired_version_is_out_of_use_for_good(board: Board) -> None:
    """A retired champion leaves the place empty, and nothing brings it back."""
    board.register(1)
    board.register(2)
    board.promote(1)
    board.promote(2)
    with pytest.raises(NotPermitted, match="vera does not have the role risk_officer"):
        board.lifecycle.retire(NAME, 2, "wrong data", "vera")
    board.lifecycle.retire(NAME, 2, "wrong data", "olga")
    assert board.champion is None
    assert board.promote(2, OFFICER).reasons[0] == "volatility@2 is retired"
    assert board.lifecycle.retire(NAME, 2, "again", "olga").events == ()
    board.roll_back(1, OFFICER)
    assert board.champion == 1


@pytest.mark.parametrize("scope", [NAME, EVERY_MODEL])
def test_a_halt_freezes_promotions_but_not_rollbacks(board: Board, scope: str) -> None:
    for day in (1, 2, 3):
        board.register(day)
    board.promote(1)
    board.promote(2)
    with pytest.raises(NotPermitted):
        board.lifecycle.halt(scope, "odd prices", "nobody")
    board.lifecycle.halt(scope, "odd prices", "vera")
    assert board.promote(3).reasons == ("promotions are halted: odd prices",)
    board.roll_back(1, OFFICER)
    assert board.champion == 1
    with pytest.raises(NotPermitted):
        board.lifecycle.resume(scope, "prices are right", "vera")
    board.lifecycle.resume(scope, "prices are right", "olga")
    assert board.lifecycle.resume(scope, "again", "olga").events == ()
    board.promote(3)
    assert board.champion == 3


def test_an_expired_approval_is_kept_and_the_version_may_be_proposed_again(board: Board) -> None:
    """Only what waits expires, and only once."""
    board.register(1)
    proposal = board.propose(1, "airflow")
    assert board.lifecycle.expire(NAME, proposal).events == ()
    board.lifecycle.open(NAME, proposal)
    assert board.lifecycle.state(NAME).waiting == {1}
    (event,) = board.lifecycle.expire(NAME, proposal).events
    assert isinstance(event, ApprovalExpiredEvent)
    assert board.lifecycle.expire(NAME, proposal).events == ()
    assert board.lifecycle.state(NAME).waiting == set()
    board.promote(1)
    assert board.champion == 1


def test_champion_and_challenger_are_names_of_versions(board: Board) -> None:
    """NAME@champion follows promotions; NAME@challenger is the newest that no champion has outseen."""
    board.register(1)
    with pytest.raises(NotFound, match="volatility has no champion now"):
        board.catalog.resolve("volatility@champion")
    assert board.catalog.resolve("volatility@challenger").version == 1
    board.promote(1)
    assert board.catalog.resolve("volatility@champion").version == 1
    with pytest.raises(NotFound, match="volatility has no challenger now"):
        board.catalog.resolve("volatility@challenger")
    board.register(5)
    board.register(3)
    assert board.catalog.resolve("volatility@challenger").version == 2
    board.lifecycle.reject(NAME, 2, "no", "vera")
    assert board.catalog.resolve("volatility@challenger").version == 3


def test_unknown_names_and_versions_are_not_found(board: Board) -> None:
    with pytest.raises(NotFound, match="model volatility is not registered"):
        board.lifecycle.state(NAME)
    board.register(1)
    with pytest.raises(NotFound, match="has no version 7"):
        board.propose(7)
    with pytest.raises(NotFound, match="model other is not registered"):
        board.lifecycle.halt("other", "why", "olga")


def test_approvals_are_used_up_when_the_champion_changes(tmp_path: Path) -> None:
    """After a rollback nobody brings the displaced version back with what was approved before it failed."""
    board = Board(tmp_path, RiskTier.HIGH)
    board.register(1)
    board.promote(1, OFFICER, VALIDATOR)
    board.register(2)
    old = board.propose(2, "airflow", automatic=True)
    board.approve(2, OFFICER, VALIDATOR)
    assert board.lifecycle.carry_out(NAME, old).reasons == ()
    assert board.roll_back(1, OFFICER, VALIDATOR).reasons == ()
    for again in (old, board.propose(2, "nobody")):
        reasons = board.lifecycle.carry_out(NAME, again).reasons
        assert any("needs the approval" in reason for reason in reasons)
    assert board.champion == 1


def test_a_lower_tier_does_not_get_around_the_approvals_of_the_champion(tmp_path: Path) -> None:
    """A version that says it is of tier 3 displaces a champion of tier 1 only as one of tier 1."""
    board = Board(tmp_path, RiskTier.HIGH)
    board.register(1)
    board.promote(1, OFFICER, VALIDATOR)
    board.register(2, RiskTier.LOW)
    assert "needs the approval of model_validator and risk_officer" in board.promote(2).reasons[0]
    board.promote(2, OFFICER, VALIDATOR)
    assert board.champion == 2


def test_no_rejection_is_forgotten_over_a_later_one(board: Board) -> None:
    board.register(1)
    first = board.propose(1).evidence
    board.lifecycle.reject(NAME, 1, "no", "vera")
    board.lifecycle.evaluate(NAME, 1, digest(b"newer"), PASSED, "evaluator")
    board.lifecycle.reject(NAME, 1, "no", "vera")
    board.lifecycle.evaluate(NAME, 1, first, PASSED, "evaluator")
    assert "volatility@1 was rejected on this evidence" in board.promote(1, OFFICER).reasons
