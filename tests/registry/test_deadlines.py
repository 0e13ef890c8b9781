"""A champion is overdue from the day after its tier's greatest age on, and counts from what it has seen."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.registry.canonical import digest
from domain.registry.evidence import GateResult
from domain.registry.inventory.deadlines import DAYS, Deadline
from domain.registry.inventory.gauges import gauges
from domain.registry.inventory.models import ModelInventory
from domain.registry.metadata import RiskTier
from tests.registry.board import NAME, NOON, Board

PASSED = GateResult("qlike", "passed", "0.54 is below 0.58", {"qlike": 0.54})


@given(st.dates(dt.date(1990, 1, 1), dt.date(2090, 1, 1)), st.integers(1, 3660), st.integers(0, 9000))
def test_a_champion_is_overdue_by_the_days_beyond_its_last_day(since: dt.date, days: int, later: int) -> None:
    deadline, today = Deadline(since, days), since + dt.timedelta(days=later)
    assert deadline.age(today) == later
    assert deadline.overdue(today) == max(0, (today - deadline.last_day).days)
    assert deadline.overdue(deadline.last_day) == 0
    assert deadline.overdue(deadline.last_day + dt.timedelta(days=1)) == 1


def test_the_higher_the_risk_the_nearer_the_deadline() -> None:
    assert [DAYS[tier] for tier in RiskTier] == [31, 92, 366]


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


@dataclass(frozen=True)
class StoppedClock:
    """Stands at one moment."""

    at: dt.datetime = NOON

    def now(self) -> dt.datetime:
        return self.at


def inventory(board: Board, today: dt.date | None = None) -> ModelInventory:
    clock = StoppedClock() if today is None else StoppedClock(dt.datetime.combine(today, NOON.timetz()))
    return ModelInventory(board.catalog, board.ledger, DAYS, clock)


def test_a_champion_s_age_is_counted_from_its_as_of_date_and_allowed_by_its_tier(board: Board) -> None:
    """Versions that are not in use have no deadline, however old they are."""
    board.register(day=1)
    assert inventory(board).model(NAME).champion is None
    board.promote(board.register(day=20, tier=RiskTier.LOW))
    found = inventory(board).model(NAME).champion
    assert found is not None
    assert (found.reference, found.deadline) == (f"{NAME}@2", Deadline(dt.date(2022, 12, 20), 366))
    for today, overdue in ((dt.date(2023, 12, 21), 0), (dt.date(2023, 12, 23), 2)):
        (model,) = inventory(board, today).all()
        assert model.champion is not None
        assert (model.champion.overdue_days, model.champion.overdue) == (overdue, overdue > 0)
        assert model.needs("overdue") == (overdue > 0)


def test_a_model_from_outside_counts_from_its_registration(board: Board) -> None:
    """It has no as-of date, and has seen nothing after the day on which it was registered."""
    version = board.register(day=None)
    board.lifecycle.evaluate(NAME, version, digest(b"evidence"), (PASSED,), "vera")
    board.promote(version, ("olga", "risk_officer"))
    found = inventory(board).model(NAME).champion
    assert found is not None
    assert found.deadline is not None
    assert found.deadline.since == NOON.date()


def test_a_halt_of_every_model_is_in_the_figures_of_each(board: Board) -> None:
    board.promote(board.register(day=3))
    board.register(day=4)
    board.lifecycle.halt("*", "change freeze", "olga")
    found = gauges(inventory(board).all(), entries=9, pending=0, audit=None)
    figures = {gauge.name: gauge.value for gauge in found}
    assert (figures["versions"], figures["champion_version"], figures["promotions_halted"]) == (2, 1, 1)
