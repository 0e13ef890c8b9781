"""A person with several names is one person to every rule, and has one name in the ledger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from domain.registry.errors import NotPermitted
from domain.registry.lifecycle.service import ModelLifecycle
from domain.registry.metadata import RiskTier
from tests.registry.board import NAME, ROLES, Board, StoppedClock

PEOPLE = {"oidc:1": "olga", "oidc:2": "vera", "oidc:3": "carl", "oidc:4": "both", "bsmith": "both"}


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """A version of the highest tier, and people who also have tokens; carl wrote it."""
    board = Board(tmp_path, RiskTier.HIGH)
    introduce(board, PEOPLE)
    board.register()
    return board


def introduce(board: Board, people: dict[str, str]) -> None:
    """Let the board know from here on who these names mean."""
    board.lifecycle = ModelLifecycle(
        board.catalog, board.ledger, board.policy, roles=ROLES, people=people, clock=StoppedClock()
    )


def actors(board: Board) -> list[str]:
    return [done.event.actor for done in board.ledger.view().lifecycle(NAME)]  # type: ignore[attr-defined]


def test_commands_under_any_name_are_recorded_under_the_one(board: Board) -> None:
    board.promote(1, ("oidc:1", "risk_officer"), ("oidc:2", "model_validator"))
    assert board.champion == 1
    assert actors(board) == ["olga", "vera", "olga"]


def test_an_author_approves_under_no_name(board: Board) -> None:
    for name in ("carl", "oidc:3"):
        with pytest.raises(NotPermitted, match="carl is an author of volatility@1"):
            board.approve(1, (name, "risk_officer"))


def test_an_author_in_a_commit_is_the_person_whom_that_name_means(board: Board) -> None:
    """Also for an approval from before somebody wrote down whose names these are."""
    board.approve(1, ("olga", "risk_officer"), ("vera", "model_validator"))
    introduce(board, {"carl": "vera", "olga": "vera"})
    with pytest.raises(NotPermitted, match="vera is an author of volatility@1"):
        board.approve(1, ("vera", "model_validator"))
    refused = board.lifecycle.carry_out(NAME, board.propose(1, "both"))
    assert "needs the approval of model_validator and risk_officer" in refused.reasons[0]


def test_an_answer_of_somebody_else_to_a_proposal_is_recorded_under_their_one_name(board: Board) -> None:
    """Airflow's tasks put who answered in the place of who asked."""
    asked = board.propose(1)
    board.lifecycle.approve(NAME, replace(asked, actor="oidc:2"), "model_validator")
    board.lifecycle.carry_out(NAME, replace(asked, actor="oidc:4"))
    assert actors(board) == ["vera", "both"]


def test_two_names_of_one_person_are_not_two_people(board: Board) -> None:
    board.approve(1, ("oidc:4", "risk_officer"), ("bsmith", "model_validator"))
    refused = board.lifecycle.carry_out(NAME, board.propose(1))
    assert "needs the approval of model_validator and risk_officer" in refused.reasons[0]
    board.approve(1, ("both", "risk_officer"))
    assert actors(board) == ["both", "both", "olga"]


def test_whoever_triggered_a_proposal_approves_it_under_no_name(board: Board) -> None:
    proposal = board.propose(1, "oidc:1", automatic=True)
    assert "olga" not in board.lifecycle.approvers(NAME, proposal)["risk_officer"]
