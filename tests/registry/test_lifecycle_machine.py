"""Whatever is commanded, in whatever order and by whomever: the lifecycle keeps its promises at each step."""

from __future__ import annotations

import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.registry.canonical import digest
from domain.registry.errors import DomainException
from domain.registry.events.lifecycle import (
    EVERY_MODEL,
    Action,
    ModelApprovedEvent,
    ModelPromotedEvent,
    ModelRetiredEvent,
    ModelRolledBackEvent,
)
from domain.registry.evidence import GateResult
from domain.registry.ledger.verification import verify_ledger
from domain.registry.lifecycle.rules import Proposal
from domain.registry.lifecycle.state import Lifecycle
from domain.registry.metadata import RiskTier
from tests.registry.board import NAME, ROLES, Board

people = st.sampled_from([*ROLES, "nobody"])
roles = st.sampled_from(["risk_officer", "model_validator"])
actions = st.sampled_from(["promote", "rollback"])
days = st.sampled_from([1, 2, 3, None])
places = st.integers(0, 5)
VOTERS = [
    ("olga", "risk_officer"),
    ("vera", "model_validator"),
    ("both", "risk_officer"),
    ("both", "model_validator"),
]
AUTHORS = {"carl", "tim", "quant-research"}
PASSED = (GateResult("data validated", "passed", "all met", {}),)
FAILED = (GateResult("data validated", "failed", "unmet", {}),)


class Lifecycles(RuleBasedStateMachine):
    """Commands of many people on one name, allowed or not, on fresh views and on stale ones."""

    @initialize(tier=st.sampled_from(list(RiskTier)), made=st.lists(days, min_size=3, max_size=6))
    def start(self, tier: RiskTier, made: list[int | None]) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self.board = Board(Path(self._directory.name), tier)
        self.days: dict[int, int | None] = {}
        self.stale: list[Proposal] = []
        for day in made:
            self.register(day)

    def teardown(self) -> None:
        if hasattr(self, "board"):
            assert verify_ledger(self.board.port, self.board.ledger.signer).problems == ()
            self._directory.cleanup()

    def at(self, place: int) -> int:
        """One of the versions there are."""
        return place % len(self.days) + 1

    @rule(day=days)
    def register(self, day: int | None) -> None:
        if len(self.days) < 8:
            self.days[self.board.register(day)] = day

    @rule(place=places, actor=people, action=actions, automatic=st.booleans())
    def look(self, place: int, actor: str, action: Action, automatic: bool) -> None:
        """Make a proposal that somebody may act on much later."""
        with suppress(DomainException):
            self.stale.append(self.board.propose(self.at(place), actor, action, automatic=automatic))

    @rule(data=st.data())
    def act_late(self, data: st.DataObject) -> None:
        if self.stale:
            with suppress(DomainException):
                self.board.lifecycle.carry_out(NAME, data.draw(st.sampled_from(self.stale)))

    @rule(place=places, actor=people, action=actions, automatic=st.booleans())
    def act(self, place: int, actor: str, action: Action, automatic: bool) -> None:
        with suppress(DomainException):
            proposal = self.board.propose(self.at(place), actor, action, automatic=automatic)
            self.board.lifecycle.carry_out(NAME, proposal)

    @rule(place=places, actor=people, action=actions, role=roles)
    def approve(self, place: int, actor: str, action: Action, role: str) -> None:
        with suppress(DomainException):
            self.board.approve(self.at(place), (actor, role), action=action)

    @rule(place=places, action=actions, voters=st.sets(st.sampled_from(VOTERS)), automatic=st.booleans())
    def vote_and_act(self, place: int, action: Action, voters: set[tuple[str, str]], automatic: bool) -> None:
        """Some people approve in some roles, and then it is tried at once."""
        for voter in sorted(voters):
            with suppress(DomainException):
                self.board.approve(self.at(place), voter, action=action)
        self.act(place, "olga", action, automatic)

    @rule(place=places, action=actions)
    def everybody_agrees(self, place: int, action: Action) -> None:
        self.vote_and_act(place, action, set(VOTERS), automatic=False)

    @rule(place=places)
    def it_promotes_itself(self, place: int) -> None:
        self.act(place, "nobody", "promote", automatic=True)

    @rule(place=places, tag=st.integers(0, 2), gates=st.sampled_from([PASSED, PASSED, FAILED]))
    def evaluate(self, place: int, tag: int, gates: tuple[GateResult, ...]) -> None:
        with suppress(DomainException):
            self.board.lifecycle.evaluate(NAME, self.at(place), digest(bytes([tag])), gates, "evaluator")

    @rule(place=places, actor=people)
    def reject(self, place: int, actor: str) -> None:
        with suppress(DomainException):
            self.board.lifecycle.reject(NAME, self.at(place), "no", actor)

    @rule(place=places, actor=people)
    def retire(self, place: int, actor: str) -> None:
        with suppress(DomainException):
            self.board.lifecycle.retire(NAME, self.at(place), "out", actor)

    @rule(scope=st.sampled_from([NAME, EVERY_MODEL]), actor=people, on=st.booleans())
    def halt_or_resume(self, scope: str, actor: str, on: bool) -> None:
        with suppress(DomainException):
            command = self.board.lifecycle.halt if on else self.board.lifecycle.resume
            command(scope, "because", actor)

    @rule(first=places, second=places)
    def two_at_once(self, first: int, second: int) -> None:
        """Two schedulers carry out what each of them saw; the ledger takes them one after the other."""
        with suppress(DomainException):
            proposals = [self.board.propose(self.at(place), automatic=True) for place in (first, second)]
            threads = [threading.Thread(target=self._carry_out, args=(proposal,)) for proposal in proposals]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _carry_out(self, proposal: Proposal) -> None:
        with suppress(DomainException):
            self.board.lifecycle.carry_out(NAME, proposal)

    @invariant()
    def history_keeps_the_promises(self) -> None:
        """Read the ledger from its start, with rules that are written down here a second time."""
        if not hasattr(self, "board"):
            return
        champion: int | None = None
        champions: set[int] = set()
        barred: set[int] = set()
        retired: set[int] = set()
        latest = 0
        approvals: dict[int, ModelApprovedEvent] = {}
        for found in self.board.ledger.view().lifecycle(NAME):
            event = found.event
            if isinstance(event, ModelApprovedEvent):
                assert event.actor not in AUTHORS
                assert event.role in ROLES[event.actor]
                approvals[event.sequence] = event
            elif isinstance(event, ModelPromotedEvent | ModelRolledBackEvent):
                # Each counts once, and none of before the champion changed last.
                given = [approvals.pop(number) for number in event.approvals]
                approvals.clear()
                promoted = isinstance(event, ModelPromotedEvent)
                self._require_approvals(event, given, latest, barred)
                assert event.version not in retired
                assert event.policy.allowed
                assert (event.incumbent if promoted else event.displaced) == champion  # type: ignore[union-attr]
                if promoted:
                    day = self.days[event.version]
                    assert day is None or day >= latest
                    latest = max(latest, day or 0)
                else:
                    assert event.version in champions
                    barred |= {champion} - {None}  # type: ignore[arg-type]
                champion = event.version
                champions.add(event.version)
            elif isinstance(event, ModelRetiredEvent):
                retired.add(event.version)
                if champion == event.version:
                    champion = None
                    approvals.clear()
        state = Lifecycle.of(self.board.ledger.view(), NAME)
        assert (state.champion, state.champions, state.barred) == (champion, champions, barred)

    def _require_approvals(
        self,
        event: ModelPromotedEvent | ModelRolledBackEvent,
        given: list[ModelApprovedEvent],
        latest: int,
        barred: set[int],
    ) -> None:
        assert len({approval.actor for approval in given}) == len(given)
        assert all(approval.version == event.version for approval in given)
        assert all(approval.evidence == event.evidence for approval in given)
        granted = {approval.role for approval in given}
        if self.board.tier == RiskTier.HIGH:
            assert granted == {"risk_officer", "model_validator"}
        elif self.board.tier == RiskTier.MEDIUM:
            assert granted == {"risk_officer"}
        day = self.days[event.version]
        newer = day is not None and day > latest
        if isinstance(event, ModelRolledBackEvent) or not newer or event.version in barred:
            assert "risk_officer" in granted


TestLifecycles = Lifecycles.TestCase
TestLifecycles.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
