"""Registrations and runs of gc, interleaved and killed anywhere: what the ledger lists is always there."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.registry.audit import Audit
from domain.registry.catalog import ModelCatalog
from domain.registry.collection.collector import Collector
from domain.registry.collection.service import GarbageCollection
from domain.registry.collection.state import CollectionState
from domain.registry.errors import Unavailable
from domain.registry.events import ModelRegisteredEvent
from domain.registry.evidence import Attachment
from domain.registry.gates import DataValidated
from domain.registry.ledger.ledger import Ledger
from domain.registry.manifest import ModelId
from domain.registry.registration import ModelRegistration, RegisteredModel
from domain.registry.security import SecurityService
from tests.exactly_once.candidates import EVIDENCE, lineage, metadata
from tests.fakes.ledger import FakeLedger
from tests.fakes.registry import FakeModelRegistry
from tests.fakes.signer import FakeSigner
from tests.registry.interleaving import Actor, ManualClock, current, pause
from tests.registry.test_registration import TextScanner

LEASE = dt.timedelta(minutes=5)
NOTHING = dt.timedelta()
CANDIDATES = 2
GC = CANDIDATES
"""What stands for a run of gc among the numbers of candidates."""


class SteppedRegistry(FakeModelRegistry):
    """A turn for each object that is looked at, written or deleted."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock

    def exists(self, model_id: ModelId) -> bool:
        pause()
        return super().exists(model_id)

    def ledger_mark(self) -> bytes | None:
        pause()
        return super().ledger_mark()

    def set_ledger_mark(self, mark: bytes) -> None:
        pause()
        super().set_ledger_mark(mark)

    def stored(self) -> Iterator[Any]:
        pause()
        return super().stored()

    @contextmanager
    def _deleting(self) -> Iterator[None]:
        actor = current()
        if actor is not None:
            actor.deleting_since = self._clock.now()
        yield
        if actor is not None:
            actor.deleting_since = None

    def _get(self, key: str) -> bytes:
        pause()
        return super()._get(key)

    def _put(self, key: str, content: bytes) -> None:
        pause()
        super()._put(key, content)

    def _remove(self, key: str) -> None:
        with self._deleting():
            pause()
            super()._remove(key)


class SteppedLedger(FakeLedger):
    """A turn for each append and each look at the size; what a view reads never changes."""

    def size(self) -> int:
        pause()
        return super().size()

    def append(self, expected_size: int, batch: Any) -> None:
        pause()
        super().append(expected_size, batch)


class World:
    """One registry, one ledger, and everybody who works on them."""

    def __init__(self, directory: Path) -> None:
        self.clock = ManualClock()
        self.registry = SteppedRegistry(self.clock)
        self.registry.clock = self.clock.now
        self.port = SteppedLedger()
        self.directory = directory
        self.keys: tuple[list[bytes], list[bytes]] = ([], [])
        self.actors: list[Actor] = []
        self.tries = 0
        self._listed: list[ModelRegisteredEvent] = []
        self._read = 0

    def ledger(self) -> Ledger:
        return Ledger(
            self.port,
            FakeSigner("ed25519", self.keys[0]),
            clock=self.clock.monotonic,
            sleep=lambda _: pause(),
            random=lambda: 0.0,
        )

    def collector(self, ledger: Ledger) -> Collector:
        return Collector(
            self.registry,
            ledger,
            clock=self.clock,
            lease=LEASE,
            monotonic=self.clock.monotonic,
            sleep=lambda _: pause(),
        )

    def collect(self) -> object:
        """One run of gc, of everything however young it is."""
        ledger = self.ledger()
        service = GarbageCollection(self.registry, ledger, self.collector(ledger), clock=self.clock)
        return service.run({"actor": "gc"}, NOTHING)

    def register(self, candidate: int, attempt: int) -> RegisteredModel:
        ledger = self.ledger()
        service = ModelRegistration(
            self.registry,
            SecurityService(TextScanner(), FakeSigner("ecdsa-p256", self.keys[1])),
            ledger,
            staging=self.directory / "staging",
            clock=self.clock,
            collector=self.collector(ledger),
        )
        artifact = self.directory / f"candidate-{candidate}.txt"
        artifact.write_text(f"weights {candidate}")
        return service.register_model(
            metadata(),
            artifact,
            lineage=lineage(candidate),
            evidence=EVIDENCE,
            gates=(DataValidated(),),
            attachments=(Attachment("log.txt", "text/plain", f"attempt {attempt}".encode()),),
        )

    def begin(self, kind: int) -> None:
        """Let another actor begin: a registration of one of the candidates, or a run of gc."""
        self.tries += 1
        attempt = self.tries
        if kind != GC:
            self.actors.append(Actor(lambda: self.register(kind, attempt), f"registration of {kind}"))
        else:
            self.actors.append(Actor(self.collect, "gc"))

    def leave(self, candidate: int) -> None:
        """Let a registration be killed once it has stored all, three attachments at last."""
        before = len(self._attachments())
        self.begin(candidate)
        while len(self._attachments()) < before + 3:
            self.actors[-1].step()
        self.actors[-1].kill()

    def _attachments(self) -> list[str]:
        return [key for key in self.registry.objects if "/attachments/" in key]

    def advance(self, duration: dt.timedelta) -> None:
        """Let time go by, as far as the lease allows: a request to delete takes less than half of it."""
        begun = [actor.deleting_since for actor in self.actors if not actor.done and actor.deleting_since]
        if all(self.clock.now() + duration - since < LEASE / 2 for since in begun):
            self.clock.advance(duration)

    def listed(self) -> list[ModelRegisteredEvent]:
        """What is registered, in the order of the ledger."""
        for _, event in self.ledger().events(self._read):
            self._read += 1
            if isinstance(event, ModelRegisteredEvent):
                self._listed.append(event)
        return self._listed

    def require_safe(self) -> None:
        """All that the ledger lists is stored, at this very moment."""
        for event in self.listed():
            home = f"models/{event.model_id}"
            wanted = {f"{home}/metadata.json"}
            wanted |= {f"{home}/attachments/{attachment.sha256}" for attachment in event.attachments}
            assert wanted <= self.registry.objects.keys(), "a registered model lost an object"
            assert any(key.startswith(f"{home}/artifact/") for key in self.registry.objects)

    def drain(self) -> None:
        """Let everybody who lives come to an end, in turns, while time goes by."""
        for _ in range(5000):
            living = [actor for actor in self.actors if not actor.done]
            if not living:
                return
            for actor in living:
                actor.step()
                self.require_safe()
            self.advance(dt.timedelta(seconds=5))
        pytest.fail(f"{[actor.name for actor in living]} come to no end")

    def drain_but(self, sleeper: Actor) -> None:
        """Let all others come to an end, while time goes by only as far as the sleeper allows."""
        self.actors.insert(0, sleeper)
        for actor in self.actors[1:]:
            for _ in range(1000):
                if actor.done:
                    break
                actor.step()
                self.require_safe()
                self.advance(dt.timedelta(seconds=0.5))
            else:
                pytest.fail(f"{actor.name} comes to no end")
        self.actors.remove(sleeper)

    def finish(self, kind: int) -> Actor:
        """Let an actor begin and come to its end, again as long as it is asked to come later."""
        for _ in range(20):
            self.begin(kind)
            self.drain()
            if self.actors[-1].failure is None:
                return self.actors[-1]
            self.advance(LEASE)
        pytest.fail(f"{self.actors[-1].name} is refused for ever: {self.actors[-1].failure}")


moves = st.one_of(
    st.tuples(st.just("begin"), st.integers(0, GC), st.just(0)),
    st.tuples(st.just("step"), st.integers(0, 5), st.integers(1, 15)),
    st.tuples(st.just("step"), st.integers(0, 5), st.integers(1, 3)),
    st.tuples(st.just("kill"), st.integers(0, 5), st.just(0)),
    st.tuples(st.just("wait"), st.integers(0, 360), st.just(0)),
)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(moves, max_size=60))
def test_no_order_of_steps_and_kills_loses_what_the_ledger_lists(
    tmp_path: Path, plan: list[tuple[str, int, int]]
) -> None:
    """After every step all that is listed is stored; afterwards each candidate gets exactly
    one version, and a last run of gc leaves nothing that is not listed."""
    world = World(tmp_path)
    world.begin(0)
    world.begin(GC)
    for move, which, times in plan:
        living = [actor for actor in world.actors if not actor.done]
        if move == "begin" and len(living) < 6:
            world.begin(which)
        elif move == "wait":
            world.advance(dt.timedelta(seconds=which))
        elif move == "kill" and which < len(living):
            living[which].kill()
        elif move == "step" and which < len(living):
            for _ in range(times):
                living[which].step()
                world.require_safe()
    world.drain()
    refused = [actor.failure for actor in world.actors if actor.failure is not None]
    assert all(isinstance(failure, Unavailable) for failure in refused), refused
    for candidate in range(CANDIDATES):
        model = world.finish(candidate).answer
        assert isinstance(model, RegisteredModel)
    world.advance(LEASE)
    world.finish(GC)
    events = world.listed()
    assert sorted(event.version for event in events) == list(range(1, CANDIDATES + 1))
    ledger = world.ledger()
    assert Audit(world.registry, ledger, ModelCatalog(world.registry, ledger)).everything().problems == ()
    left = {(model.model_id, one.sha256) for model in world.registry.stored() for one in model.attachments}
    assert left == {(event.model_id, one.sha256) for event in events for one in event.attachments}
    assert {model.model_id for model in world.registry.stored()} == {event.model_id for event in events}


def with_leftover(directory: Path, *others: int) -> World:
    """A world in which registrations of candidate 0 and others were killed once all was stored."""
    world = World(directory)
    for candidate in (0, *others):
        world.leave(candidate)
    return world


def interrupted(world: World, kind: int, after: int) -> Actor | None:
    """An actor that has taken so many steps and waits for the next; None if it has ended by then."""
    world.begin(kind)
    actor = world.actors.pop()
    for _ in range(after):
        actor.step()
    return None if actor.done else actor


def everywhere(directory: Path, kind: int) -> Iterator[tuple[World, Actor]]:
    """An actor on a leftover of candidate 0, interrupted before each of its steps, in a world of its own."""
    for after in range(1, 500):
        world = with_leftover(directory)
        actor = interrupted(world, kind, after)
        if actor is None:
            assert after > 10, "an actor takes more steps, some were not counted"
            return
        yield world, actor


@pytest.mark.parametrize("pause", [NOTHING, LEASE], ids=["at once", "after the lease"])
def test_a_gc_that_sleeps_before_any_step_deletes_nothing_that_was_registered_since(
    tmp_path: Path, pause: dt.timedelta
) -> None:
    """While one run stands still, another collects or is refused, and the candidate is registered or refused.
    The first then wakes up, and what is registered by then is stored."""
    for world, sleeper in everywhere(tmp_path, GC):
        world.actors.append(sleeper)
        world.advance(pause)
        world.actors.remove(sleeper)
        for kind in (GC, 0):
            world.begin(kind)
            world.drain_but(sleeper)
        while not sleeper.done:
            sleeper.step()
            world.require_safe()
        assert sleeper.failure is None or isinstance(sleeper.failure, Unavailable)
        world.advance(LEASE)
        world.finish(0)
        world.finish(GC)
        world.require_safe()
        assert len(world.listed()) == 1


@pytest.mark.parametrize("seconds", [20, 60, 100, 140])
@pytest.mark.parametrize("everywhere", [True, False], ids=["everywhere", "deleting"])
def test_a_gc_that_is_slow_stops_before_another_may_take_over(
    tmp_path: Path, seconds: int, everywhere: bool
) -> None:
    """However long a request takes, up to half of the lease: what is registered meanwhile is not deleted."""
    candidates = (0, 11, 12, 13)
    world = with_leftover(tmp_path, *candidates[1:])
    world.begin(GC)
    slow = world.actors.pop()
    while not slow.done:
        slow.step()
        world.require_safe()
        if everywhere or slow.deleting_since is not None:
            world.actors.append(slow)
            world.advance(dt.timedelta(seconds=seconds))
            world.actors.remove(slow)
        if slow.deleting_since is not None:
            for candidate in (GC, *candidates):
                world.begin(candidate)
                for _ in range(300):
                    world.actors[-1].step()
                    world.require_safe()
                world.actors[-1].kill()
    assert slow.failure is None or isinstance(slow.failure, Unavailable)
    world.advance(LEASE)
    for candidate in (*candidates, GC):
        world.finish(candidate)
    world.require_safe()
    assert len(world.listed()) == len(candidates)


@pytest.mark.parametrize("first", [GC, 0], ids=["gc", "registration"])
def test_what_a_killed_gc_condemned_is_finished_by_whoever_comes_next(tmp_path: Path, first: int) -> None:
    """The next run of gc, or the registration of the very model, once the time of the killed one is over."""
    for world, victim in everywhere(tmp_path, GC):
        victim.kill()
        world.advance(LEASE)
        world.begin(first)
        world.drain()
        assert world.actors[-1].failure is None
        assert CollectionState.of(world.ledger().view()).open is None
        world.finish(0)
        world.finish(GC)
        assert len(world.listed()) == 1
        world.require_safe()


def test_a_registration_that_sleeps_before_any_step_stores_again_what_gc_took(tmp_path: Path) -> None:
    """While it stands still, gc collects all that is not listed; it then registers one whole version."""
    for world, sleeper in everywhere(tmp_path, 0):
        world.begin(GC)
        world.drain_but(sleeper)
        assert world.actors[-1].failure is None
        while not sleeper.done:
            sleeper.step()
            world.require_safe()
        assert sleeper.failure is None
        assert len(world.listed()) == 1


def test_a_model_may_be_condemned_and_collected_and_registered_again_and_again(tmp_path: Path) -> None:
    """Only the newest state of an id counts."""
    world = with_leftover(tmp_path)
    for _ in range(3):
        world.finish(GC)
        assert list(world.registry.stored()) == []
        world.leave(0)
        assert list(world.registry.stored()) != []
    assert world.finish(0).answer.outcome == "registered"
    world.finish(GC)  # takes the attachment that the last of the killed had stored, and this one had not
    world.require_safe()
    assert CollectionState.of(world.ledger().view()).sequence == 8
