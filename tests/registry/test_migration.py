"""Moving a registry, on the fakes: what is copied, what is refused, and what a growing source means."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from domain.registry.audit import Audit
from domain.registry.catalog import ModelCatalog
from domain.registry.collection.mark import LedgerMark, read_mark
from domain.registry.errors import IntegrityError, InvalidInput, LedgerConflict, NotFound, NotVerified
from domain.registry.events.lifecycle import ModelEvaluatedEvent
from domain.registry.ledger.adoption import adopt, head_of
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.verification import verify_receipt_against
from domain.registry.migration import Migration, MigrationReport
from domain.registry.ports import StoredCheckpoint
from tests.fakes.events import refused
from tests.fakes.ledger import FakeLedger
from tests.fakes.registry import FakeModelRegistry
from tests.registry.test_registration import NOON, Desk
from veritasvault.adapters.local_signer import LocalSigner

EVALUATION = b'{"evaluated":"again"}'


class Move:
    """A source with two versions, a destination, and the moving between them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.source = Desk(directory)
        self.registry, self.ledger = FakeModelRegistry(), FakeLedger()
        self.first = self.source.register(recipe=1, text="first")
        self.second = self.source.register(recipe=2, text="second")

    def run(self) -> MigrationReport:
        return self.moving().run()

    def moving(self, *, ledger_stays: bool = False) -> Migration:
        return Migration(
            self.source.repository,
            self.source.port,
            self.registry,
            None if ledger_stays else self.ledger,
            signer=self.source.ledger.signer,
            staging=self.directory / "moving",
        )

    def evaluate(self, version: int) -> str:
        """Judge a version of the source on new evidence; returns where that is kept."""
        model_id = (self.first, self.second)[version - 1].model_id
        evidence = self.source.repository.attach(model_id, EVALUATION)
        event = ModelEvaluatedEvent("volatility", 0, version, evidence, (), "airflow", NOON)
        self.source.ledger.commit(lambda view: (event,))
        self.source.ledger.checkpoint()
        return f"models/{model_id}/attachments/{evidence}"

    def require_complete(self) -> None:
        """What an auditor of the destination finds."""
        ledger = Ledger(self.ledger, self.source.ledger.signer)
        report = Audit(self.registry, ledger, ModelCatalog(self.registry, ledger)).everything()
        assert report.problems == ()
        assert report.unlisted == ()
        assert self.registry.objects == self.source.repository.objects
        assert report.versions == len(list(self.source.port.versions()))

    def require_untouched(self) -> None:
        assert self.registry.objects == {}
        assert (self.ledger.existing_origin(), self.ledger.size()) == (None, 0)


@pytest.fixture
def move(tmp_path: Path) -> Move:
    return Move(tmp_path)


def test_a_moved_registry_is_the_same_registry(move: Move) -> None:
    """Models, entries, checkpoints and name are the same; a receipt from before holds against the copy."""
    before = dict(move.source.repository.objects)
    report = move.run()
    assert report.complete
    assert (report.versions, report.copied, report.left_behind) == (2, 2, 0)
    assert report.entries == report.checkpoint == move.source.port.size()
    move.require_complete()
    assert tuple(move.ledger.read(0)) == tuple(move.source.port.read(0))
    assert list(move.ledger.checkpoints()) == list(move.source.port.checkpoints())
    verify_receipt_against(move.ledger, move.source.ledger.signer, move.first.receipt)
    assert move.source.repository.objects == before
    assert report.signer_known


def test_moving_again_copies_nothing_and_then_what_was_registered_meanwhile(move: Move) -> None:
    move.run()
    again = move.run()
    assert (again.complete, again.copied, again.entries) == (True, 0, 0)
    move.source.register(recipe=3, text="third")
    grown = move.run()
    assert (grown.complete, grown.copied, grown.entries) == (True, 1, 1)
    move.require_complete()


def test_entries_that_nothing_signs_yet_are_left_for_the_next_time(move: Move) -> None:
    """The copy ends at a checkpoint and says so; a signature at the source lets the rest follow."""
    size = move.source.port.size()
    move.source.ledger.commit(lambda view: (refused(1),))
    report = move.run()
    assert (report.complete, report.checkpoint, report.left_behind) == (True, size, 1)
    assert move.ledger.size() == size
    move.source.ledger.checkpoint()
    assert move.run().left_behind == 0
    assert move.ledger.size() == size + 1


def test_versions_and_evidence_that_nothing_signs_yet_are_not_copied(move: Move) -> None:
    """The copy is the source as it was when it was signed, whatever of it is there already."""
    size = move.source.port.size()
    third = move.source.register(recipe=3, text="third")
    evidence = move.evaluate(1)
    for unsigned in [note for note in move.source.port._checkpoints if note > size]:
        del move.source.port._checkpoints[unsigned]
    report = move.run()
    assert (report.complete, report.versions, report.left_behind) == (True, 2, 2)
    assert evidence not in move.registry.objects
    assert not [key for key in move.registry.objects if third.model_id in key]
    move.source.ledger.checkpoint()
    assert move.run().copied == 2
    move.require_complete()


def test_a_source_that_grows_while_it_is_copied_is_copied_up_to_where_it_was(move: Move) -> None:
    grown = False

    def grow(step: str, *_: object) -> None:
        nonlocal grown
        if step == "copying" and not grown:
            grown = True
            move.source.register(recipe=3, text="third")

    report = move.moving().run(grow)
    assert (report.complete, report.versions, report.left_behind) == (True, 2, 1)
    assert move.run().copied == 1
    move.require_complete()


def test_evidence_of_a_later_evaluation_moves_too(move: Move) -> None:
    """With its model, or after it, when the version is at the destination already."""
    move.run()
    place = move.evaluate(1)
    report = move.run()
    assert (report.complete, report.copied, report.entries) == (True, 1, 1)
    assert move.registry.objects[place] == EVALUATION
    move.require_complete()


def test_missing_evidence_is_named(move: Move) -> None:
    del move.source.repository.objects[move.evaluate(2)]
    report = move.run()
    assert [problem.object for problem in report.problems] == ["volatility@2 at the source"]
    assert move.ledger.existing_origin() is None


def test_a_version_that_is_evaluated_while_it_is_copied_is_copied_as_it_was(move: Move) -> None:
    """What the source's ledger got meanwhile is neither asked for nor copied."""
    evaluated = False

    def evaluate(step: str, *_: object) -> None:
        nonlocal evaluated
        if step == "copying" and not evaluated:
            evaluated = True
            move.evaluate(2)

    report = move.moving().run(evaluate)
    assert (report.complete, report.versions, report.left_behind) == (True, 2, 1)
    assert move.run().complete
    move.require_complete()


def test_what_no_entry_names_stays_behind(move: Move) -> None:
    """Leftovers of registrations that were cut off, and attachments that nobody refers to."""
    model_id = move.first.model_id
    garbage = move.source.repository.attach(model_id, b"nobody named this")
    move.source.repository.objects[f"models/{'0' * 64}/artifact/model.txt"] = b"cut off"
    move.run()
    assert f"models/{model_id}/attachments/{garbage}" not in move.registry.objects
    assert not [key for key in move.registry.objects if "0" * 64 in key]


def test_the_copy_belongs_to_the_ledger_from_the_first_model_on(move: Move) -> None:
    """So that gc under another ledger keeps its hands off what no ledger there lists yet."""
    marks: list[LedgerMark | None] = []
    move.moving().run(lambda step, *_: marks.append(read_mark(move.registry)) if step == "copying" else None)
    assert marks == [LedgerMark(move.source.port.origin())] * 2


def test_a_registry_of_another_ledger_is_refused(move: Move) -> None:
    move.registry.set_ledger_mark(LedgerMark(FakeLedger().origin()).to_bytes())
    before = dict(move.registry.objects)
    with pytest.raises(InvalidInput, match="the registry belongs to the ledger"):
        move.run()
    assert move.registry.objects == before
    assert move.ledger.existing_origin() is None


def test_a_registry_that_does_not_say_whose_it_is_is_not_mixed_into(move: Move) -> None:
    """Under the one ledger, gc would delete the models of the other."""
    move.registry.objects[f"models/{'0' * 64}/metadata.json"] = b"another ledger's"
    before = dict(move.registry.objects)
    with pytest.raises(InvalidInput, match=f"it holds model {'0' * 64}, .*: give an empty place"):
        move.run()
    assert move.registry.objects == before
    assert move.ledger.existing_origin() is None


def test_a_registry_of_the_same_models_gets_the_mark(move: Move) -> None:
    """A copy from before there were marks goes on as the registry of its ledger."""
    move.moving(ledger_stays=True).run()
    del move.registry.objects["ledger.json"]
    move.source.register(recipe=3, text="third")
    assert move.run().copied == 1
    assert read_mark(move.registry) == LedgerMark(move.source.port.origin())
    move.require_complete()


@pytest.mark.parametrize("part", ["artifact/model.txt", "attachments/", "metadata.json"])
def test_a_damaged_object_is_named_and_the_destination_lists_nothing(move: Move, part: str) -> None:
    """The other versions are copied all the same, so that everything wrong is known after one run."""
    objects = move.source.repository.objects
    damaged = next(key for key in sorted(objects) if move.first.model_id in key and part in key)
    good = objects[damaged]
    objects[damaged] = good + b" "
    report = move.run()
    assert not report.complete
    assert [problem.object for problem in report.problems] == ["volatility@1 at the source"]
    assert (report.copied, report.entries) == (1, 0)
    assert move.ledger.existing_origin() is None
    objects[damaged] = good
    assert move.run().copied == 1
    move.require_complete()


def test_a_missing_model_is_named(move: Move) -> None:
    objects = move.source.repository.objects
    for key in [key for key in objects if move.second.model_id in key]:
        del objects[key]
    report = move.run()
    assert "is not stored" in str(report.problems[0])
    assert move.ledger.size() == 0


def test_a_write_that_the_destination_garbles_is_found_before_the_ledger_is_copied(move: Move) -> None:
    class Garbling(FakeModelRegistry):
        def _put(self, key: str, content: bytes) -> None:
            super()._put(key, content)
            if key.endswith("model.txt"):
                self.objects[key] = content[:-1] + b"?"

    move.registry = Garbling()
    report = move.run()
    assert str(report.problems[0]).startswith("file model.txt of volatility@1")
    assert "at the destination" in str(report.problems[0])
    assert move.ledger.existing_origin() is None


def test_a_damaged_ledger_is_refused_before_anything_is_copied(move: Move) -> None:
    entry = move.source.port._entries[1]
    move.source.port._entries[1] = type(entry)(entry.index, entry.key, entry.data + b" ", entry.leaf_hash)
    with pytest.raises(IntegrityError, match="the source's ledger does not verify, ledger entry 1"):
        move.run()
    move.require_untouched()


def test_an_empty_or_unsigned_source_is_refused(move: Move) -> None:
    move.source.port._checkpoints.clear()
    with pytest.raises(NotVerified, match="run veritas ledger checkpoint"):
        move.run()
    move.source.port = FakeLedger()
    with pytest.raises(NotFound, match="there is nothing to move"):
        move.run()
    move.require_untouched()


def test_checkpoints_by_an_unknown_key_are_refused(move: Move, tmp_path: Path) -> None:
    """Whoever moves needs the public keys; without them nothing could be verified."""
    move.source.ledger.signer = LocalSigner(tmp_path / "others")
    with pytest.raises(NotVerified, match="not a known key"):
        move.run()
    move.require_untouched()


def test_another_ledger_at_the_destination_is_refused(move: Move) -> None:
    name = move.ledger.origin()
    with pytest.raises(
        IntegrityError, match=f"it is the ledger {name}, the source is .*: give an empty place"
    ):
        move.run()
    assert move.registry.objects == {}


def test_a_copy_that_went_on_by_itself_is_refused(move: Move) -> None:
    move.run()
    before = dict(move.registry.objects)
    Ledger(move.ledger, move.source.ledger.signer).commit(lambda view: (refused(1),))
    with pytest.raises(IntegrityError, match="it was written to since it was copied"):
        move.run()
    move.source.register(recipe=3, text="third")
    with pytest.raises(IntegrityError, match="its entry 4 is not the source's"):
        move.run()
    assert move.registry.objects == before


def test_a_copy_that_was_signed_otherwise_is_refused(move: Move) -> None:
    move.run()
    size = move.ledger.size()
    move.ledger._checkpoints[size] = StoredCheckpoint(size, b"another note")
    with pytest.raises(IntegrityError, match=f"its checkpoint of size {size} is not the source's"):
        move.run()


@pytest.mark.parametrize(
    ("place", "content"),
    [("artifact/model.txt", b"other"), ("artifact/other.txt", b"first"), ("metadata.json", b"{}")],
)
def test_another_artifact_under_an_id_is_refused_and_nothing_is_changed(
    move: Move, place: str, content: bytes
) -> None:
    """Also that of the last version, before the first one is copied."""
    move.registry.objects[f"models/{move.second.model_id}/{place}"] = content
    before = dict(move.registry.objects)
    with pytest.raises(IntegrityError, match=f"{place}.* at the destination, .*; nothing was changed"):
        move.run()
    assert move.registry.objects == before
    assert move.ledger.existing_origin() is None


def test_a_model_that_was_damaged_after_it_was_copied_is_refused(move: Move) -> None:
    move.run()
    key = f"models/{move.first.model_id}/artifact/model.txt"
    move.registry.objects[key] = b"f1rst"
    with pytest.raises(IntegrityError, match=r"file model.txt of volatility@1 .* at the destination"):
        move.run()


def test_entries_that_the_checkpoint_does_not_sign_are_not_adopted(move: Move) -> None:
    """The copied entries themselves have to give the signed root, or there is no ledger afterwards."""
    head = head_of(move.source.port, move.source.ledger.signer)
    with pytest.raises(IntegrityError, match="are not those that its checkpoint signs"):
        adopt(move.source.port, move.ledger, replace(head, root=bytes(32)))
    assert move.ledger.existing_origin() is None


def test_models_can_move_alone(move: Move) -> None:
    """A ledger that stays lists the same versions, and finds them at the new place."""
    report = move.moving(ledger_stays=True).run()
    assert (report.complete, report.copied, report.entries) == (True, 2, 0)
    assert move.registry.objects == move.source.repository.objects
    assert move.ledger.existing_origin() is None


def test_models_that_move_alone_are_incomplete_as_long_as_the_ledger_lists_more(move: Move) -> None:
    """The ledger that stays lists the third version already, and nobody finds it at the new place."""
    grown = False

    def grow(step: str, *_: object) -> None:
        nonlocal grown
        if step == "copying" and not grown:
            grown = True
            move.source.register(recipe=3, text="third")

    report = move.moving(ledger_stays=True).run(grow)
    assert (report.complete, report.left_behind, report.problems) == (False, 1, ())
    again = move.moving(ledger_stays=True).run()
    assert (again.complete, again.copied, again.left_behind) == (True, 1, 0)


@pytest.mark.parametrize("instead", [False, True], ids=["beside", "instead"])
def test_a_copy_that_somebody_writes_to_at_the_last_moment_is_not_taken_for_the_source(
    move: Move, instead: bool
) -> None:
    """After it was compared somebody wrote to it: more than the source has, or something else as much."""
    move.run()
    signer, head = move.source.ledger.signer, head_of(move.source.port, move.source.ledger.signer)
    if instead:
        other = FakeLedger()
        Ledger(other, signer).commit(lambda view: [refused(number) for number in range(head.size)])
        move.ledger._entries[:] = other._entries
    else:
        Ledger(move.ledger, signer).commit(lambda view: (refused(1),))
    with pytest.raises(IntegrityError if instead else LedgerConflict, match="the destination's ledger"):
        adopt(move.source.port, move.ledger, head)
