"""What gc finds, spares and refuses, on the fakes; who comes first is in test_collection_interleavings.py."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.registry.canonical import digest
from domain.registry.collection.collector import Collector
from domain.registry.collection.decisions import Run, decide_condemnation
from domain.registry.collection.mark import LedgerMark, mark_if_new, read_mark
from domain.registry.collection.references import References
from domain.registry.collection.service import GarbageCollection, GarbageReport
from domain.registry.collection.state import CollectionState, condemned_since
from domain.registry.errors import (
    CollectionUnderWay,
    CondemnedMeanwhile,
    IntegrityError,
    InvalidInput,
    Unavailable,
)
from domain.registry.events import DomainEvent, event_from_bytes, event_to_bytes
from domain.registry.events.collection import AttachmentOfModel, CollectedEvent, CondemnedEvent
from domain.registry.events.lifecycle import ModelEvaluatedEvent
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.view import LedgerView
from domain.registry.lifecycle.service import ModelLifecycle, Outcome
from domain.registry.manifest import Manifest, ModelId
from domain.registry.ports import Leftover, StillOurs, StoredCheckpoint
from tests.adapters.artifacts import staged
from tests.exactly_once.candidates import lineage
from tests.fakes.events import AT, next_registered, refused
from tests.fakes.ledger import FakeLedger
from tests.fakes.registry import FakeModelRegistry
from tests.fakes.signer import FakeSigner
from tests.registry.board import ROLES, Board, StoppedClock
from tests.registry.interleaving import ManualClock
from tests.registry.test_checkpoint import GOLDEN, REWRITE
from tests.registry.test_registration import Desk

WEEK, DAY, NOTHING = dt.timedelta(days=7), dt.timedelta(days=1), dt.timedelta()


class Yard:
    """A registry with a registered model, and a gc whose clock the test moves."""

    def __init__(self, directory: Path) -> None:
        self.clock = ManualClock()
        self.desk = Desk(directory)
        self.registry = self.desk.repository
        self.registry.clock = self.clock.now
        self.ledger = self.desk.ledger
        self.model = self.desk.register()
        self.directory = directory

    def service(self, ledger: Ledger | None = None) -> GarbageCollection:
        ledger = ledger or self.ledger
        collector = Collector(self.registry, ledger, clock=self.clock)
        return GarbageCollection(self.registry, ledger, collector, clock=self.clock)

    def run(self, grace: dt.timedelta = WEEK, **options: bool) -> GarbageReport:
        return self.service().run({"actor": "test"}, grace, **options)

    def abandon(self, number: int = 7) -> ModelId:
        """Store a model and an attachment of it, as a registration that was killed before its commit."""
        artifact = staged(self.directory / f"abandoned-{number}", {"model.txt": b"weights"})
        manifest = dataclasses.replace(self.manifest, lineage=lineage(number), artifact=artifact.artifact)
        self.registry.store_model(manifest.model_id, artifact, manifest.to_bytes())
        self.registry.attach(manifest.model_id, b"a plot")
        return manifest.model_id

    @property
    def manifest(self) -> Manifest:
        return Manifest.from_bytes(self.registry.read_manifest(self.model.model_id))

    def age(self, duration: dt.timedelta) -> None:
        self.clock.advance(duration)

    def collections(self) -> list[DomainEvent]:
        return [found.event for found in self.ledger.view().collection_events()]


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def test_what_no_entry_lists_goes_after_the_grace_period(yard: Yard) -> None:
    """A leftover is spared until it is old enough; then it is condemned, deleted and collected."""
    left = yard.abandon()
    report = yard.run()
    assert (report.garbage, [garbage.name for garbage in report.spared]) == ((), [left])
    yard.age(WEEK)
    (garbage,) = yard.run().garbage
    assert (garbage.kind, garbage.name, garbage.size, garbage.age) == ("model", left, 13, WEEK)
    assert [model.model_id for model in yard.registry.stored()] == [yard.model.model_id]
    condemned, collected = yard.collections()
    assert isinstance(condemned, CondemnedEvent)
    assert isinstance(collected, CollectedEvent)
    assert condemned.models == collected.models == (left,)
    assert (condemned.key, collected.key) == ("gc:0", "gc:1")
    assert yard.run(NOTHING).garbage == ()
    assert len(yard.collections()) == 2


def test_what_a_refused_registration_left_goes_though_the_refusal_names_its_id(yard: Yard) -> None:
    """Only a registration lists a model."""
    left = yard.abandon()
    yard.ledger.commit(lambda view: [dataclasses.replace(refused(1), model_id=left)])
    assert [garbage.name for garbage in yard.run(NOTHING).garbage] == [left]


def test_an_attachment_that_no_entry_names_goes_and_all_others_stay(yard: Yard) -> None:
    """Those of the registration and the evidence of a later evaluation are named."""
    model_id = yard.model.model_id
    evidence = yard.registry.attach(model_id, b"newer evidence")
    unnamed = yard.registry.attach(model_id, b"a plot that nobody wants")
    yard.ledger.commit(lambda view: [ModelEvaluatedEvent(yard.model.name, 0, 1, evidence, (), "quant", AT)])
    (garbage,) = yard.run(NOTHING).garbage
    assert (garbage.kind, garbage.name, garbage.size) == ("attachment", f"{model_id}/{unnamed}", 24)
    (left,) = yard.registry.stored()
    named = {attachment.sha256 for attachment in yard.model.event.attachments}
    assert {attachment.sha256 for attachment in left.attachments} == named | {evidence}


def test_an_event_of_gc_protects_nothing(yard: Yard) -> None:
    """An attachment that was collected once, stored again and left again goes again."""
    for _ in range(2):
        yard.registry.attach(yard.model.model_id, b"unwanted")
        assert len(yard.run(NOTHING).garbage) == 1


def test_looking_changes_nothing(yard: Yard) -> None:
    """A dry run writes neither to the registry nor to the ledger."""
    left = yard.abandon()
    yard.registry.uploads["upload"] = Leftover("upload", "upload", 5, yard.clock.now())
    before, entries = dict(yard.registry.objects), list(yard.desk.port.read(0))
    found = yard.service().look(NOTHING)
    assert [garbage.name for garbage in found.garbage] == [left, "upload"]
    assert (yard.registry.objects, list(yard.desk.port.read(0))) == (before, entries)
    assert list(yard.registry.uploads) == ["upload"]


def test_leftovers_go_by_their_age(yard: Yard) -> None:
    """Unfinished uploads are no business of the ledger's."""
    yard.registry.uploads["old"] = Leftover("upload", "old", None, yard.clock.now() - WEEK)
    yard.registry.uploads["new"] = Leftover("upload", "new", None, yard.clock.now() - DAY)
    yard.registry.uploads["from tomorrow"] = Leftover("upload", "from tomorrow", 1, yard.clock.now() + DAY)
    report = yard.run()
    assert [garbage.name for garbage in report.garbage] == ["old"]
    assert sorted(yard.registry.uploads) == ["from tomorrow", "new"]
    assert yard.collections() == []
    yard.run(NOTHING)
    assert yard.registry.uploads == {}


def test_a_store_without_times_counts_from_when_gc_first_saw_it(yard: Yard) -> None:
    """The registry's mark remembers; what is gone or listed is forgotten."""
    yard.registry.clock = lambda: None
    left = yard.abandon()
    unnamed = yard.registry.attach(yard.model.model_id, b"unwanted")
    assert yard.run().garbage == ()
    mark = read_mark(yard.registry)
    assert mark is not None
    assert sorted(mark.noticed) == sorted([left, f"{yard.model.model_id}/{unnamed}"])
    yard.age(WEEK)
    newer = yard.abandon(8)
    report = yard.run()
    assert {garbage.name for garbage in report.garbage} == set(mark.noticed)
    assert [(garbage.name, garbage.age) for garbage in report.spared] == [(newer, NOTHING)]
    mark = read_mark(yard.registry)
    assert mark is not None
    assert list(mark.noticed) == [newer]


def test_a_registration_marks_a_new_registry_and_refuses_one_of_another_ledger(yard: Yard) -> None:
    """The mark is there before the first model; a second ledger on the same registry is turned away."""
    mark = read_mark(yard.registry)
    assert mark is not None
    assert mark.ledger == yard.desk.port.origin()
    other = Ledger(FakeLedger(), FakeSigner("ed25519"))
    with pytest.raises(InvalidInput, match=f"belongs to the ledger {mark.ledger}"):
        mark_if_new(yard.registry, other)
    left = yard.abandon()
    with pytest.raises(InvalidInput, match=f"belongs to the ledger {mark.ledger}"):
        yard.service(other).run({"actor": "test"}, NOTHING)
    assert yard.registry.exists(left)
    assert yard.registry.exists(yard.model.model_id)


def test_a_registry_without_a_mark_is_not_touched_before_somebody_adopts_it(yard: Yard) -> None:
    """Registering does not mark a registry that holds models already; gc says what to do."""
    del yard.registry.objects["ledger.json"]
    left = yard.abandon()
    Desk.register(_reopened(yard), recipe=2)
    assert read_mark(yard.registry) is None
    for act in (yard.service().look, lambda grace: yard.run(grace)):
        with pytest.raises(InvalidInput, match="--adopt once"):
            act(NOTHING)
    assert yard.registry.exists(left)
    assert [garbage.name for garbage in yard.service().look(NOTHING, adopt=True).garbage] == [left]
    assert read_mark(yard.registry) is None
    assert [garbage.name for garbage in yard.run(NOTHING, adopt=True).garbage] == [left]
    assert yard.run(NOTHING).garbage == ()


def test_an_empty_registry_needs_no_mark(tmp_path: Path) -> None:
    """There is nothing to lose; and nothing is created, not even the ledger's name."""
    registry, clock = FakeModelRegistry(), ManualClock()
    ledger = Ledger(FakeLedger(), FakeSigner("ed25519"))
    service = GarbageCollection(registry, ledger, Collector(registry, ledger, clock=clock), clock=clock)
    assert service.run({"actor": "test"}, NOTHING) == GarbageReport((), ())
    assert registry.objects == {}


def test_a_ledger_that_was_cut_off_is_refused(yard: Yard) -> None:
    """Restored from an old backup with its checkpoints, it would make newer models look like garbage."""
    backup = _copy(yard.desk.port)
    second = yard.desk.register(2)
    yard.run(NOTHING)
    yard.desk.port.__dict__.update(backup)
    with pytest.raises(IntegrityError, match="has only 3 entries, its end was cut off"):
        yard.run(NOTHING)
    assert yard.registry.exists(second.model_id)


def test_a_ledger_that_does_not_verify_is_refused(yard: Yard) -> None:
    """Nor is its projection believed: a row that somebody took away makes no model garbage."""
    yard.desk.port._versions.clear()
    with pytest.raises(IntegrityError, match="does not verify"):
        yard.run(NOTHING)
    assert yard.registry.exists(yard.model.model_id)
    references = References().read(yard.ledger.view())
    assert references.lists(yard.model.model_id)


def test_a_mark_that_cannot_be_read_is_refused(yard: Yard) -> None:
    yard.registry.objects["ledger.json"] = b"{}"
    with pytest.raises(IntegrityError, match=r"ledger\.json cannot be read"):
        yard.run(NOTHING)


def test_a_negative_grace_period_is_refused(yard: Yard) -> None:
    with pytest.raises(InvalidInput, match="grace"):
        yard.run(-DAY)


def test_a_deletion_that_fails_is_finished_by_the_next_run(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch stays condemned; nobody else deletes until the time of the run that failed is over."""
    left = yard.abandon()

    def away(model_id: ModelId, still_ours: StillOurs) -> None:
        raise Unavailable("the store is away")

    with monkeypatch.context() as patched:
        patched.setattr(yard.registry, "delete_model", away)
        with pytest.raises(Unavailable, match="the store is away"):
            yard.run(NOTHING)
    with pytest.raises(CollectionUnderWay, match="run it again after"):
        yard.run(NOTHING)
    yard.age(dt.timedelta(minutes=5))
    report = yard.run(NOTHING)
    assert report.garbage == ()
    assert report.finished is not None
    assert report.finished.models == (left,)
    assert [event.KIND for event in yard.collections()] == ["Condemned", "Condemned", "Collected"]
    assert not yard.registry.exists(left)


def test_many_leftovers_go_in_batches(yard: Yard) -> None:
    """One event condemns no more than can be deleted in its time."""
    for number in range(105):
        yard.registry.attach(ModelId(digest(b"%d" % number)), b"a plot")
    assert len(yard.run(NOTHING).garbage) == 105
    sizes = [len(event.models) for event in yard.collections() if isinstance(event, CondemnedEvent)]
    assert sizes == [100, 5]


def test_an_evaluation_whose_evidence_gc_takes_is_refused_and_can_be_repeated(tmp_path: Path) -> None:
    """Evidence that was left long ago is found stored, and condemned before the evaluation is recorded."""
    board = Board(tmp_path)
    board.register()
    (row,) = board.catalog.versions()
    unnamed = (AttachmentOfModel(row.model_id, digest(b"newer")),)
    condemned = dataclasses.replace(_condemned(0), models=(), attachments=unnamed)

    def evaluate(attach: Callable[[], object]) -> Outcome:
        return board.lifecycle.evaluate(row.name, row.version, digest(b"newer"), (), "olga", attach=attach)

    with pytest.raises(CondemnedMeanwhile, match="in event gc:0 while it was stored"):
        evaluate(lambda: board.ledger.commit(lambda view: [condemned]))
    with pytest.raises(CondemnedMeanwhile, match="in event gc:0"):
        evaluate(lambda: pytest.fail("what is stored now may vanish"))
    board.ledger.commit(lambda view: [_collected(condemned)])
    (event,) = evaluate(lambda: board.repository.attach(row.model_id, b"newer")).events
    assert event.KIND == "ModelEvaluated"


def test_an_evaluation_finishes_what_a_killed_gc_condemned(tmp_path: Path) -> None:
    """Nobody has to run gc first: once its time is over, what it condemned goes, and is then stored anew."""
    board = Board(tmp_path)
    board.register()
    (row,) = board.catalog.versions()
    evidence = board.repository.attach(row.model_id, b"newer")
    unnamed = (AttachmentOfModel(row.model_id, evidence),)
    board.ledger.commit(lambda view: [dataclasses.replace(_condemned(0), models=(), attachments=unnamed)])
    clock = ManualClock()
    clock.moment = AT + dt.timedelta(minutes=6)
    collector = Collector(board.repository, board.ledger, clock=clock)
    lifecycle = ModelLifecycle(
        board.catalog, board.ledger, board.policy, roles=ROLES, clock=StoppedClock(), collector=collector
    )

    def attach() -> None:
        assert CollectionState.of(board.ledger.view()).open is None
        board.repository.attach(row.model_id, b"newer")

    (event,) = lifecycle.evaluate(row.name, row.version, evidence, (), "olga", attach=attach).events
    assert event.KIND == "ModelEvaluated"
    assert board.repository.read_attachment(row.model_id, evidence) == b"newer"


steps = st.lists(st.sampled_from(["register", "condemn", "collect", "other"]), max_size=30)


@given(steps, st.data())
def test_nothing_that_a_view_lists_is_ever_condemned_in_it(plan: list[str], data: st.DataObject) -> None:
    """Whatever a run asks for, and whatever happened before; and the state is that of the newest event."""
    ledger = Ledger(FakeLedger(), FakeSigner("ed25519"))
    listed: dict[ModelId, tuple[str, ...]] = {}
    references = References()
    open_event = None
    for number, step in enumerate(plan):
        view = ledger.view()
        if step == "register":
            (done,) = ledger.commit(lambda view, number=number: [next_registered(view, number)])  # type: ignore[misc]
            listed[done.event.model_id] = tuple(one.sha256 for one in done.event.attachments)  # type: ignore[attr-defined]
        elif step == "other":
            ledger.commit(lambda view, number=number: [refused(number)])  # type: ignore[misc]
        elif step == "condemn" and open_event is None:
            strangers = [ModelId(digest(b"stranger %d" % data.draw(st.integers(0, 3))))]
            models = data.draw(st.permutations([*listed, *strangers]))
            named = [AttachmentOfModel(model_id, sha) for model_id in listed for sha in listed[model_id]]
            unnamed = [AttachmentOfModel(model_id, digest(b"unnamed")) for model_id in models]
            run = Run(f"run {number}", AT, AT, {})
            (event,) = decide_condemnation(view, references, models, [*named, *unnamed], run)
            assert event.models == tuple(strangers)
            assert {one.model_id for one in event.attachments} == set(listed)
            assert {one.sha256 for one in event.attachments} <= {digest(b"unnamed")}
            ledger.commit(lambda view, event=event: [event])  # type: ignore[misc]
            open_event = event
        elif step == "collect" and open_event is not None:
            condemned = open_event
            ledger.commit(lambda view, condemned=condemned: [_collected(condemned)])  # type: ignore[misc]
            open_event = None
        state = CollectionState.of(ledger.view())
        assert state.open == open_event
        assert state.sequence == len(list(ledger.view().collection_events()))


@given(st.integers(0, 300), st.integers(0, 300))
def test_the_number_of_collections_is_found_without_reading_them(entries: int, seen: int) -> None:
    """Also in a view that does not see the newest."""
    port = FakeLedger()
    ledger = Ledger(port, FakeSigner("ed25519"))
    ledger.commit(lambda view: [_condemned(number) for number in range(entries)])
    assert LedgerView(port, min(entries, seen)).collections() == min(entries, seen)
    stranger = ModelId(digest(b"stranger"))
    assert condemned_since(ledger.view(), min(entries, seen), stranger) is None


@given(
    st.text(min_size=1).map(lambda text: f"ledger/{digest(text.encode())}"),
    st.dictionaries(st.from_regex(r"[0-9a-f]{64}", fullmatch=True), st.just(AT)),
)
def test_a_mark_is_read_back_as_it_was_written(origin: str, noticed: dict[str, dt.datetime]) -> None:
    mark = LedgerMark(origin, None, noticed)
    assert LedgerMark.from_bytes(mark.to_bytes()) == mark


GOLDEN_EVENTS: dict[str, Callable[[], DomainEvent]] = {
    "condemned": lambda: _condemned(0),
    "collected": lambda: _collected(_condemned(0)),
}


@pytest.mark.parametrize("name", sorted(GOLDEN_EVENTS))
def test_events_about_collections_have_the_golden_bytes(name: str) -> None:
    """An event written today reads forever; REWRITE_GOLDEN=1 rewrites the file on purpose."""
    file, event = GOLDEN / f"event-{name}.json", GOLDEN_EVENTS[name]()
    if REWRITE:
        file.write_bytes(event_to_bytes(event))
    assert event_to_bytes(event) == file.read_bytes()
    assert event_from_bytes(file.read_bytes(), name) == event
    assert event.key == {"condemned": "gc:0", "collected": "gc:1"}[name]


def test_a_mark_has_the_golden_bytes() -> None:
    """A mark written today reads forever."""
    note = (GOLDEN / "checkpoint.note").read_bytes()
    name = digest(b"model")
    mark = LedgerMark("veritasvault/ledger/golden", StoredCheckpoint(5, note), {name: AT})
    file = GOLDEN / "ledger-mark.json"
    if REWRITE:
        file.write_bytes(mark.to_bytes())
    assert mark.to_bytes() == file.read_bytes()
    assert LedgerMark.from_bytes(file.read_bytes()) == mark


def _condemned(sequence: int) -> CondemnedEvent:
    model_id = ModelId(digest(b"model"))
    attachments = (AttachmentOfModel(ModelId(digest(b"other")), digest(b"plot")),)
    later = AT + dt.timedelta(minutes=5)
    return CondemnedEvent(sequence, (model_id,), attachments, "a1b2", later, {"actor": "quant"}, AT)


def _collected(condemned: CondemnedEvent) -> CollectedEvent:
    return CollectedEvent(
        condemned.sequence + 1, condemned.models, condemned.attachments, condemned.run, {"actor": "quant"}, AT
    )


def _copy(port: FakeLedger) -> dict[str, object]:
    kept = port.__dict__
    return {name: value.copy() if isinstance(value, list | dict) else value for name, value in kept.items()}


def _reopened(yard: Yard) -> Desk:
    """The same registry and ledger as another process sees them."""
    desk = Desk(yard.directory, yard.desk.port)
    desk.repository.objects, desk.repository.times = yard.registry.objects, yard.registry.times
    return desk
