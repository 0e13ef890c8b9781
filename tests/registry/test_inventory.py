"""The inventory reads little however much there is, and offers to people what the commands would do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from domain.registry.errors import DomainException, IntegrityError, InvalidInput, NotFound
from domain.registry.events import DomainEvent
from domain.registry.events.lifecycle import EVERY_MODEL, PromotionsHaltedEvent
from domain.registry.evidence import GateResult, Outcome
from domain.registry.inventory.audited import NewestAudits
from domain.registry.inventory.detail import VersionDetails
from domain.registry.inventory.drift import Drift, drift_of
from domain.registry.inventory.reigns import Reign, reigns
from domain.registry.inventory.timeline import happening, timeline
from domain.registry.inventory.versions import outcome_of, standing
from domain.registry.ledger.view import LedgerView, Recorded
from domain.registry.lifecycle.offers import Command
from domain.registry.lifecycle.service import Outcome as Done
from domain.registry.lifecycle.state import challenger
from domain.registry.metadata import RiskTier
from tests.contracts.test_ledger_contract import append
from tests.registry.board import NAME, NOON, Board
from tests.registry.many_models import ManyModels
from tests.registry.strategies import events
from tests.registry.test_daily_audit import GOLDEN_EVENT
from tests.registry.test_monitoring_events import CALM, DRIFT

OFFICER, VALIDATOR = ("olga", "risk_officer"), ("vera", "model_validator")
PASSED = GateResult("data validated", "passed", "all met", {})


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path)


# Pages


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> ManyModels:
    """100 versions of 4 models."""
    return ManyModels(tmp_path_factory.mktemp("few"), 4, 25)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> ManyModels:
    """10,000 versions of the same 4 models."""
    return ManyModels(tmp_path_factory.mktemp("many"), 4, 2_500)


PAGES: dict[str, Callable[[ManyModels], object]] = {
    "models": lambda all_: all_.models.page(limit=4),
    "models with a challenger": lambda all_: all_.models.page(attention="challenger", limit=4),
    "one model": lambda all_: all_.models.model("model0002"),
    "versions": lambda all_: all_.versions.page("model0002", limit=20),
    "timeline": lambda all_: timeline(all_.ledger.view(), "model0002", limit=20),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_takes_as_many_statements_at_10000_versions_as_at_100(
    few: ManyModels, many: ManyModels, page: str
) -> None:
    with few.counted() as at_100:
        PAGES[page](few)
    with many.counted() as at_10000:
        PAGES[page](many)
    assert len(at_10000) <= len(at_100)
    assert len(at_10000) < 40


def test_500_models_are_read_ten_at_a_time(tmp_path: Path) -> None:
    """Each page takes the same few statements, and together they are all models, each once."""
    all_ = ManyModels(tmp_path, 500, 2)
    names, taken, after = [], set(), None
    while True:
        with all_.counted() as sent:
            page = all_.models.page(after=after, limit=10)
        names += [model.name for model in page.models]
        taken.add(len(sent))
        assert page.total == 500
        after = page.next
        if after is None:
            break
    assert names == [f"model{number:04}" for number in range(500)]
    assert max(taken) < 60


def test_a_model_shows_champion_challenger_and_deadline(few: ManyModels) -> None:
    model = few.models.model("model0001")
    assert model.metadata is not None
    assert model.metadata.risk_tier == RiskTier.LOW
    assert model.champion is not None
    assert (model.champion.row.version, model.latest.version) == (1, 25)
    assert model.challenger == model.latest
    assert model.champion.age_days == (dt.date(2022, 12, 31) - dt.date(2000, 1, 2)).days
    assert model.champion.overdue
    assert model.attentions == ("overdue", "challenger")
    assert few.models.page(attention="overdue").total == 4
    assert few.models.page(attention="halted").models == ()
    with pytest.raises(InvalidInput, match="attention is 'boredom'"):
        few.models.page(attention="boredom")  # type: ignore[arg-type]
    with pytest.raises(NotFound, match="model nothing is not registered"):
        few.models.model("nothing")


def test_a_halt_of_every_model_halts_each(board: Board) -> None:
    board.register(1)
    board.lifecycle.halt(EVERY_MODEL, "freeze", "olga")
    assert [event.summary for event in timeline(board.ledger.view(), NAME).events] == [
        "promotions halted",
        "version 1 registered",
    ]


# A version, a reign, a timeline


def test_the_lifecycles_of_many_names_are_those_of_each(many: ManyModels) -> None:
    """Also of names without one, and none later than the view."""
    view = many.ledger.view()
    names = ["model0000", "nothing", "model0003"]
    assert view.lifecycles(names) == {name: tuple(view.lifecycle(name)) for name in names}
    earlier = LedgerView(many.port, 3)
    assert [len(life) for life in earlier.lifecycles(names).values()] == [1, 0, 0]


def test_long_lifecycles_are_read_completely(board: Board) -> None:
    halts = [PromotionsHaltedEvent(NAME, number, "again", "olga", NOON) for number in range(700)]
    append(board.port, *halts)
    view = board.ledger.view()
    assert view.lifecycles([NAME, EVERY_MODEL]) == {NAME: tuple(view.lifecycle(NAME)), EVERY_MODEL: ()}
    assert len(view.lifecycles([NAME])[NAME]) == 700


def test_reigns_end_with_the_next_champion_or_with_retirement(board: Board) -> None:
    for day in (1, 2):
        board.register(day)
    board.promote(1)
    board.promote(2)
    board.roll_back(1, OFFICER)
    board.lifecycle.retire(NAME, 1, "old", "olga")
    found = reigns(one.event for one in board.ledger.view().lifecycle(NAME))
    assert found == (Reign(1, NOON, NOON), Reign(2, NOON, NOON), Reign(1, NOON, NOON))
    board.register(3)
    board.promote(3)
    assert reigns(one.event for one in board.ledger.view().lifecycle(NAME))[-1] == Reign(3, NOON, None)


def test_a_standing_says_what_became_of_a_version(board: Board) -> None:
    for day in (1, 2, 3, 4, 5):
        board.register(day)
    board.promote(1)
    board.promote(2)
    board.lifecycle.reject(NAME, 3, "no", "olga")
    board.lifecycle.retire(NAME, 4, "old", "olga")
    view = board.ledger.view()
    state = board.lifecycle.state(NAME)
    found = {row.version: standing(row, state, challenger(view, state)) for row in view.versions(NAME)}
    assert found == {1: "former champion", 2: "champion", 3: "rejected", 4: "retired", 5: "challenger"}


@pytest.mark.parametrize(
    ("outcomes", "together"),
    [
        ((), "unevaluated"),
        (("passed",), "passed"),
        (("passed", "unevaluated"), "unevaluated"),
        (("unevaluated", "failed", "passed"), "failed"),
    ],
)
def test_one_failed_gate_decides_then_one_that_could_not_judge(
    outcomes: tuple[Outcome, ...], together: Outcome
) -> None:
    assert outcome_of([GateResult("gate", outcome, "because", {}) for outcome in outcomes]) == together


@given(events)
def test_every_event_can_be_said_in_words(event: DomainEvent) -> None:
    said = happening(Recorded(3, event))
    assert said.index == 3
    assert said.summary
    assert "{" not in said.summary
    assert said.version == getattr(event, "version", None)


# What is offered


TIERS = {"low": RiskTier.LOW, "high": RiskTier.HIGH}
PEOPLE = ("olga", "vera", "both", "carl", "nobody")


def situation(directory: Path, tier: str) -> Board:
    """Version 1 was champion, 2 is, 3 wants to be and olga approved it, 4 is retired, 5 is from outside,
    6 was rejected; carl is their author."""
    board = Board(directory, TIERS[tier])
    for day in (1, 2, 3, 4, None, 6):
        board.register(day)
    for version in (1, 2):
        board.promote(version, OFFICER, VALIDATOR)
    board.approve(3, OFFICER)
    board.lifecycle.retire(NAME, 4, "old", "olga")
    board.lifecycle.reject(NAME, 6, "no", "olga")
    return board


def carry_out(board: Board, action: Command, version: int, person: str, roles: tuple[str, ...]) -> Done:
    life = board.lifecycle
    match action:
        case "promote" | "rollback":
            return life.carry_out(NAME, board.propose(version, person, action))
        case "approve":
            proposal = board.propose(version, person, life.way_of(NAME, version))
            return life.approve(NAME, proposal, roles[0] if roles else "risk_officer")
        case "reject" | "retire":
            return getattr(life, action)(NAME, version, "because", person)  # type: ignore[no-any-return]
        case "halt" | "resume":
            return getattr(life, action)(NAME, "because", person)  # type: ignore[no-any-return]


@pytest.mark.parametrize("halted", [False, True])
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("person", PEOPLE)
def test_what_is_offered_is_what_the_commands_do(
    tmp_path: Path, person: str, tier: str, halted: bool
) -> None:
    """Whatever is allowed works and adds an event; whatever is not, but an approval that nothing asks for, is
    refused or changes nothing."""
    for version in range(1, 7):
        board = situation(tmp_path, tier)
        if halted:
            board.lifecycle.halt(NAME, "because", "olga")
        for offer in board.lifecycle.offers(NAME, version, person):
            tried = situation(tmp_path, tier)
            if halted:
                tried.lifecycle.halt(NAME, "because", "olga")
            try:
                outcome = carry_out(tried, offer.action, version, person, offer.roles)
                works = bool(outcome.events) and not outcome.reasons
            except DomainException:
                works = False
            what = (offer, version, person)
            assert works or not offer.allowed, what
            assert not works or offer.allowed or offer.action == "approve", what


def test_offers_say_why_not_in_sentences(tmp_path: Path) -> None:
    board = situation(tmp_path, "high")
    said = {offer.action: offer.why_not for offer in board.lifecycle.offers(NAME, 3, "carl")}
    assert said["approve"] == "carl had a part in volatility@3: somebody else has to approve it"
    assert "needs the approval of model_validator and risk_officer" in (said["promote"] or "")
    assert said["rollback"] == "volatility@3 is not an earlier champion"
    nobody = {offer.action: offer for offer in board.lifecycle.offers(NAME, 3, "nobody")}
    assert nobody["reject"].why_not == (
        "nobody does not have the role risk_officer or model_validator: ask somebody who has it"
    )
    vera = {offer.action: offer for offer in board.lifecycle.offers(NAME, 3, "vera")}
    assert vera["approve"].roles == ("model_validator",)
    assert {one.action for one in board.lifecycle.offers(NAME, 3, "olga") if one.allowed} == {
        "reject", "retire", "halt",
    }  # fmt: skip


# Audits


def test_what_no_audit_read_is_not_verified(board: Board) -> None:
    board.register(1)
    view = board.ledger.view()
    assert NewestAudits.of(view).about(list(view.versions(NAME))) is None


def test_the_newest_audit_tells_of_damage_to_any_version(board: Board) -> None:
    """And otherwise the newest that read the version says when it was verified."""
    board.register(1)
    board.register(2)
    view = board.ledger.view()
    newest, first = view.versions(NAME)
    read = replace(GOLDEN_EVENT, entries=view.size, period=1, damaged=(), problems=())
    other = replace(read, entries=first.index, at=read.at + dt.timedelta(days=1))
    found = NewestAudits((other, read)).about([newest])
    assert found is not None
    assert (found.at, found.verified, found.problems) == (read.at, True, ())
    hurt = replace(other, damaged=(first.model_id,), problems=(f"file a of {NAME}@1", "file b of other@1"))
    damaged = NewestAudits((hurt, read)).about([newest])
    assert damaged is not None
    assert (damaged.at, damaged.verified, damaged.problems) == (hurt.at, False, (f"file a of {NAME}@1",))


# Monitoring


def test_the_newest_monitoring_of_the_champion_is_told(board: Board) -> None:
    """One of an earlier champion says nothing of this one."""
    for day in (1, 2):
        board.register(day)
    board.promote(1)
    board.promote(2)
    row = board.catalog.resolve(f"{NAME}@2")

    def drift() -> Drift | None:
        return drift_of(board.ledger.view(), [row]).get(NAME)

    assert drift() is None
    append(board.port, replace(CALM, version=1))
    assert drift() is None
    for number in range(1, 200):
        append(board.port, replace(CALM, sequence=number))
    assert drift() == Drift(False, CALM.at, CALM.as_of, None)
    append(board.port, replace(DRIFT, sequence=200))
    assert drift() == Drift(True, DRIFT.at, DRIFT.as_of, DRIFT.report)
    assert timeline(board.ledger.view(), NAME, limit=1).events[0].reason == "prediction drift of forecasts"


def test_a_report_of_drift_is_read_and_checked(board: Board) -> None:
    board.register(1)
    row = board.catalog.resolve(f"{NAME}@1")
    details = VersionDetails(board.catalog, board.ledger)
    with pytest.raises(NotFound, match="has no attachment"):
        details.attachment(NAME, 1, DRIFT.report)
    append(board.port, replace(DRIFT, version=1, sequence=0))
    place = f"models/{row.model_id}/attachments/{DRIFT.report}"
    board.repository.objects[place] = b"report"
    kept, content = details.attachment(NAME, 1, DRIFT.report)
    assert (kept.media_type, content) == ("text/html", b"report")
    board.repository.objects[place] = b"another"
    with pytest.raises(IntegrityError, match=f"report {DRIFT.report} of {NAME}@1"):
        details.attachment(NAME, 1, DRIFT.report)
