"""Committing: each event once, whatever races and whatever replies are lost; signing only what continues."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.registry.errors import Contended, IntegrityError, InvalidInput, LedgerConflict, Unavailable
from domain.registry.events import DomainEvent, ModelRegisteredEvent
from domain.registry.ledger.ledger import Ledger, LedgerView
from domain.registry.ledger.verification import verify_ledger
from domain.registry.ports import Batch, Entry, StoredCheckpoint
from tests.fakes.events import next_registered, refused, registered
from tests.fakes.ledger import FakeLedger
from veritasvault.adapters.local_signer import LocalSigner


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class TroubledLedger(FakeLedger):
    """A ledger where something happens before or after each append, and where look-ups may fail."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Callable[[], None]] = []
        self.after: list[Callable[[], None]] = []
        self.failing_look_ups = 0
        self.appends = 0

    def append(self, expected_size: int, batch: Batch) -> None:
        self.appends += 1
        if self.before:
            self.before.pop(0)()
        super().append(expected_size, batch)
        if self.after:
            self.after.pop(0)()

    def find(self, key: str) -> Entry | None:
        if self.failing_look_ups and self.appends:
            self.failing_look_ups -= 1
            raise Unavailable("the reply to the look-up was lost")
        return super().find(key)


def lost() -> None:
    raise Unavailable("the reply was lost")


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def port() -> TroubledLedger:
    return TroubledLedger()


@pytest.fixture
def ledger(port: TroubledLedger, time: Time, tmp_path: Path) -> Ledger:
    signer = LocalSigner(tmp_path)
    return Ledger(port, signer, clock=time.clock, sleep=time.sleep, random=lambda: 1.0)


def rival(port: FakeLedger, tmp_path: Path) -> Ledger:
    """Another process on the same ledger, without its troubles."""
    calm = FakeLedger()
    calm.__dict__.update({name: value for name, value in port.__dict__.items() if name in calm.__dict__})
    return Ledger(calm, LocalSigner(tmp_path))


def register(number: int) -> Callable[[LedgerView], Sequence[DomainEvent]]:
    """Decide to register a model, unless the view has it."""

    def decide(view: LedgerView) -> Sequence[DomainEvent]:
        return () if view.find(registered(number, 1).key) else (next_registered(view, number),)

    return decide


def test_a_commit_returns_what_it_appended(ledger: Ledger) -> None:
    (first,) = ledger.commit(register(1))
    assert (first.index, first.appended) == (0, True)
    assert ledger.event_at(0) == first.event == registered(1, 1)
    second, third = ledger.commit(lambda view: [refused(1), next_registered(view, 2)])
    assert (second.index, third.index) == (1, 2)
    assert isinstance(third.event, ModelRegisteredEvent)
    assert third.event.version == 2


def test_deciding_nothing_appends_nothing(ledger: Ledger, port: TroubledLedger) -> None:
    assert ledger.commit(lambda view: ()) == ()
    assert port.appends == 0


def test_an_event_whose_key_is_there_is_returned_and_not_appended(ledger: Ledger) -> None:
    ledger.commit(lambda view: [refused(1)])
    again = dataclasses.replace(refused(1), provenance={"host": "another"})
    found, new = ledger.commit(lambda view: [again, refused(2)])
    assert (found.index, found.appended, found.event) == (0, False, refused(1))
    assert (new.index, new.appended) == (1, True)


def test_a_lost_race_decides_again_on_what_is_there_now(
    ledger: Ledger, port: TroubledLedger, time: Time, tmp_path: Path
) -> None:
    port.before = [lambda: void(rival(port, tmp_path).commit(register(7)))] * 1
    (mine,) = ledger.commit(register(1))
    assert (mine.index, mine.appended) == (1, True)
    assert isinstance(mine.event, ModelRegisteredEvent)
    assert mine.event.version == 2
    assert len(time.pauses) == 1


def test_a_race_for_the_same_key_is_lost_once_and_for_all(
    ledger: Ledger, port: TroubledLedger, tmp_path: Path
) -> None:
    port.before = [lambda: void(rival(port, tmp_path).commit(register(1)))]
    assert ledger.commit(register(1)) == ()
    assert port.size() == 1


def test_a_reply_lost_at_commit_is_settled_by_looking_the_key_up(
    ledger: Ledger, port: TroubledLedger
) -> None:
    port.after = [lost]
    (mine,) = ledger.commit(register(1))
    assert (mine.index, mine.appended) == (0, True)
    assert (port.size(), port.appends) == (1, 1)


def test_look_ups_that_fail_are_repeated(ledger: Ledger, port: TroubledLedger, time: Time) -> None:
    port.after, port.failing_look_ups = [lost], 4
    (mine,) = ledger.commit(lambda view: [refused(1)])
    assert mine.appended
    assert len(time.pauses) == 4


def test_a_lost_reply_that_nobody_can_settle_is_unavailable(ledger: Ledger, port: TroubledLedger) -> None:
    port.after, port.failing_look_ups = [lost], 5
    with pytest.raises(Unavailable, match="the reply was lost"):
        ledger.commit(lambda view: [refused(1)])
    (mine,) = ledger.commit(lambda view: [refused(1)])
    assert (mine.index, mine.appended) == (0, False)


def test_an_append_that_failed_is_tried_again(ledger: Ledger, port: TroubledLedger) -> None:
    port.before = [lost, lost]
    (mine,) = ledger.commit(register(1))
    assert (mine.index, mine.appended, port.appends) == (0, True, 3)


def test_an_append_that_keeps_failing_is_unavailable(ledger: Ledger, port: TroubledLedger) -> None:
    port.before = [lost] * 3
    with pytest.raises(Unavailable, match="the reply was lost") as caught:
        ledger.commit(register(1))
    assert not isinstance(caught.value, Contended)
    assert port.size() == 0


def test_a_reply_that_was_lost_and_landed_after_the_look_up_counts_as_appended(
    ledger: Ledger, port: TroubledLedger
) -> None:
    """The server commits late: the look-up finds nothing yet, and the next append meets the first one."""
    late: list[Batch] = []

    def in_flight() -> None:
        late.append(written[0])
        raise Unavailable("the connection broke")

    def lands() -> None:
        FakeLedger.append(port, 0, late[0])

    written: list[Batch] = []
    original = ledger._batch

    def keep(view: LedgerView, events: Sequence[DomainEvent]) -> Batch:
        written.append(original(view, events))
        return written[-1]

    ledger._batch = keep  # type: ignore[method-assign]
    port.before = [in_flight, lands]
    (mine,) = ledger.commit(lambda view: [refused(1)])
    assert (mine.index, mine.appended, port.size()) == (0, True, 1)


def test_a_commit_gives_up_at_its_deadline(ledger: Ledger, port: TroubledLedger, time: Time) -> None:
    def conflict() -> None:
        raise LedgerConflict("again")

    port.before = [conflict] * 1000
    with pytest.raises(Contended, match="busy for 60 s, nothing was recorded: retry"):
        ledger.commit(register(1))
    assert 58 < time.now <= 60
    assert time.pauses[:4] == [0.01, 0.02, 0.04, 0.08]
    assert max(time.pauses) == 1.0


def test_pauses_are_spread_from_nothing_to_the_longest(
    port: TroubledLedger, time: Time, tmp_path: Path
) -> None:
    """Full jitter: a pause is any part of its upper end, so that losers do not meet again."""
    parts = iter([0.0, 0.5, 1.0])
    ledger = Ledger(
        port, LocalSigner(tmp_path), clock=time.clock, sleep=time.sleep, random=lambda: next(parts)
    )

    def conflict() -> None:
        raise LedgerConflict("again")

    port.before = [conflict] * 3
    ledger.commit(register(1))
    assert time.pauses == [0.0, 0.01, 0.04]


def test_what_decide_raises_is_not_retried(ledger: Ledger) -> None:
    calls = []

    def decide(view: LedgerView) -> Sequence[DomainEvent]:
        calls.append(view.size)
        raise Unavailable("something else")

    with pytest.raises(Unavailable, match="something else"):
        ledger.commit(decide)
    assert calls == [0]


def test_a_gap_or_repeat_in_version_numbers_is_refused(ledger: Ledger, port: TroubledLedger) -> None:
    for version in (0, 2):
        with pytest.raises(InvalidInput, match=r"version of volatility is . the next one is 1|next one is 1"):
            ledger.commit(lambda view, version=version: [registered(1, version)])  # type: ignore[misc]
    with pytest.raises(InvalidInput, match="the next one is 2"):
        ledger.commit(lambda view: [registered(1, 1), registered(2, 1)])
    assert port.size() == 0


def test_two_events_of_one_decision_must_not_share_a_key(ledger: Ledger) -> None:
    with pytest.raises(InvalidInput, match="event key"):
        ledger.commit(lambda view: [refused(1), refused(1)])


def test_a_view_does_not_see_later_appends(ledger: Ledger) -> None:
    ledger.commit(register(1))
    view = ledger.view()
    ledger.commit(register(2))
    later = registered(2, 2)
    assert view.find(later.key) is None
    assert view.version("volatility", 2) is None
    assert view.by_model_id(later.model_id) is None
    assert [row.version for row in view.versions("volatility")] == [1]
    assert view.next_version("volatility") == 2
    assert ledger.view().find(later.key) == later


def test_a_changed_entry_is_not_believed(ledger: Ledger, port: TroubledLedger) -> None:
    ledger.commit(register(1))
    good = port._entries[0]
    other = refused(5)
    for bad in (
        dataclasses.replace(good, data=good.data.replace(b"run-1", b"run-2")),
        dataclasses.replace(good, key=other.key),
    ):
        port._entries[0] = port._keys[bad.key] = bad
        with pytest.raises(IntegrityError, match="ledger entry 0"):
            ledger.find(bad.key)
        with pytest.raises(IntegrityError, match="ledger entry 0"):
            list(ledger.events())
        assert list(ledger.events(skip_unreadable=True)) == []


def test_signing_twice_gives_the_stored_note(ledger: Ledger, port: TroubledLedger) -> None:
    ledger.commit(register(1))
    assert ledger.pending() == 1
    assert ledger.checkpoint() == ledger.checkpoint() == port.last_checkpoint()
    assert ledger.pending() == 0
    ledger.commit(register(2))
    assert ledger.pending() == 1
    assert ledger.receipt(0).checkpoint == ledger.receipt(0).checkpoint
    assert ledger.pending() == 1
    ledger.receipt(1)
    assert [note.size for note in port.checkpoints()] == [1, 2]


def test_an_empty_ledger_can_be_signed(ledger: Ledger) -> None:
    assert ledger.checkpoint().size == 0
    ledger.commit(register(1))
    assert ledger.checkpoint().size == 1


def test_nothing_is_signed_that_does_not_continue_the_last_checkpoint(
    ledger: Ledger, port: TroubledLedger
) -> None:
    ledger.commit(lambda view: [refused(number) for number in range(5)])
    ledger.checkpoint()
    ledger.commit(register(1))
    place, node = next((place, node) for place, node in port._nodes.items() if place == (2, 0))
    port._nodes[place] = dataclasses.replace(node, hash=bytes(32))
    with pytest.raises(
        IntegrityError, match="does not continue its checkpoint of size 5, so nothing was signed"
    ):
        ledger.checkpoint()
    assert [note.size for note in port.checkpoints()] == [5]


def test_nothing_is_signed_on_a_ledger_that_was_cut_off(ledger: Ledger, port: TroubledLedger) -> None:
    ledger.commit(lambda view: [refused(number) for number in range(5)])
    ledger.checkpoint()
    del port._entries[3:]
    with pytest.raises(IntegrityError, match="nothing was signed: it has only 3 entries"):
        ledger.checkpoint()


@pytest.mark.parametrize("size", [1, 3])
def test_nothing_is_signed_after_a_checkpoint_that_does_not_hold(
    ledger: Ledger, port: TroubledLedger, size: int
) -> None:
    ledger.commit(lambda view: [refused(number) for number in range(size)])
    note = ledger.checkpoint().note
    port._checkpoints[size] = StoredCheckpoint(size, note.replace(b"\n%d\n" % size, b"\n%d\n" % (size + 1)))
    ledger.commit(lambda view: [refused(number) for number in range(size, size + 3)])
    with pytest.raises(IntegrityError, match=f"checkpoint of size {size}: the note's signature"):
        ledger.checkpoint()


def test_a_race_to_sign_ends_with_the_note_that_was_stored_first(
    ledger: Ledger, port: TroubledLedger, tmp_path: Path
) -> None:
    """Another key signs the same size in between; its public half is known, so its note is taken."""
    (tmp_path / "rival").mkdir()
    other = LocalSigner(tmp_path / "rival", "rival")
    other.public_keys()
    for key in (tmp_path / "rival").glob("*.vkey"):
        (tmp_path / key.name).write_bytes(key.read_bytes())
    ledger.commit(register(1))
    keep = port.add_checkpoint

    def first_the_rival(checkpoint: StoredCheckpoint) -> None:
        port.add_checkpoint = keep  # type: ignore[method-assign]
        Ledger(port, other).checkpoint()
        keep(checkpoint)

    port.add_checkpoint = first_the_rival  # type: ignore[method-assign]
    assert b"rival" in ledger.checkpoint().note
    assert len(list(port.checkpoints())) == 1


def test_one_entry_is_verified_by_itself(ledger: Ledger, port: TroubledLedger) -> None:
    ledger.commit(lambda view: [next_registered(view, 1), refused(1), refused(2)])
    ledger.verify_entry(0)
    ledger.checkpoint()
    ledger.verify_entry(0)
    port._versions[0] = dataclasses.replace(port._versions[0], as_of=None)
    with pytest.raises(IntegrityError, match="versions row of ledger entry 0"):
        ledger.verify_entry(0)
    port._nodes[1, 0] = dataclasses.replace(port._nodes[1, 0], hash=bytes(32))
    with pytest.raises(IntegrityError, match="ledger entry 2: it cannot be proved"):
        ledger.verify_entry(2)


class Committing(RuleBasedStateMachine):
    """Any mix of commits, races, lost replies and signing leaves each key once, and a sound ledger."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.keys = tempfile.TemporaryDirectory()
        self.port = TroubledLedger()
        self.time = Time()
        self.signer = LocalSigner(Path(self.keys.name))
        self.ledger = Ledger(
            self.port, self.signer, clock=self.time.clock, sleep=self.time.sleep, random=lambda: 0.5
        )
        self.model: dict[str, DomainEvent] = {}
        self.order: list[str] = []

    def teardown(self) -> None:
        self.keys.cleanup()

    def expect(self, *events: DomainEvent) -> None:
        for event in events:
            if event.key not in self.model:
                self.model[event.key] = event
                self.order.append(event.key)

    @rule(
        numbers=st.lists(st.integers(0, 12), max_size=4, unique=True),
        name=st.sampled_from(["a", "b"]),
        loses=st.lists(st.sampled_from(["before", "after"]), max_size=2),
        race=st.none() | st.integers(0, 12),
    )
    def register(self, numbers: list[int], name: str, loses: list[str], race: int | None) -> None:
        def decide(view: LedgerView) -> Sequence[DomainEvent]:
            new = [number for number in numbers if view.find(registered(number, 1, name).key) is None]
            first = view.next_version(name)
            return [registered(number, first + place, name) for place, number in enumerate(new)]

        def interfere() -> None:
            if race is not None:
                calm = rival(self.port, Path(self.keys.name))
                (found,) = calm.commit(lambda view: [refused(race)])
                self.expect(found.event)

        self.port.before = [interfere, *([lost] if "before" in loses else [])]
        self.port.after = [lost] if "after" in loses else []
        for found in self.ledger.commit(decide):
            self.expect(found.event)
        self.port.before = self.port.after = []

    @rule(numbers=st.lists(st.integers(0, 12), min_size=1, max_size=5, unique=True))
    def refuse(self, numbers: list[int]) -> None:
        found = self.ledger.commit(lambda view: [refused(number) for number in numbers])
        assert [item.event for item in found] == [refused(number) for number in numbers]
        self.expect(*(item.event for item in found))

    @rule()
    def sign(self) -> None:
        assert self.ledger.checkpoint().size == len(self.order)
        assert self.ledger.pending() == 0

    @precondition(lambda self: self.order)
    @rule(data=st.data())
    def prove(self, data: st.DataObject) -> None:
        index = data.draw(st.integers(0, len(self.order) - 1))
        receipt = self.ledger.receipt(index)
        assert receipt.index == index

    @invariant()
    def holds_each_event_once_in_order(self) -> None:
        assert [event.key for _, event in self.ledger.events()] == self.order
        assert dict(zip(self.order, (event for _, event in self.ledger.events()), strict=True)) == self.model

    @invariant()
    def verifies(self) -> None:
        report = verify_ledger(self.port, self.signer)
        assert report.problems == ()
        assert report.entries == len(self.order)


TestCommitting = Committing.TestCase
TestCommitting.settings = settings(max_examples=40, stateful_step_count=15, deadline=None)


def void(_: object) -> None:
    """Drop a result, for a callback that returns nothing."""
