"""Witnessed checkpoints find what a ledger cannot find by itself: that it was replaced as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from domain.registry.errors import IntegrityError, NotVerified
from domain.registry.events import DomainEvent
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.remembered_witness import RememberedWitness
from domain.registry.ledger.verification import verify_ledger
from domain.registry.ledger.witness import losses, require_continued, verify_witnessed, witness
from domain.registry.ports import StoredCheckpoint, WitnessPort
from tests.fakes.events import refused
from tests.fakes.ledger import FakeLedger
from veritasvault.adapters.file_witness import FileWitness
from veritasvault.adapters.local_signer import LocalSigner

ORIGIN = "veritasvault/ledger/00112233445566778899aabbccddeeff"


def ledger_of(directory: Path, events: Sequence[DomainEvent], origin: str = ORIGIN) -> Ledger:
    """A whole, signed ledger in itself; every one of a test is signed with the same keys."""
    port = FakeLedger()
    port._origin = origin
    ledger = Ledger(port, LocalSigner(directory / "keys"))
    for event in events:
        ledger.commit(lambda view, event=event: [event])  # type: ignore[misc]
    ledger.checkpoint()
    return ledger


def remembered(directory: Path) -> RememberedWitness:
    return RememberedWitness(FileWitness(directory / "witness"), FileWitness(directory / "memory"))


def reasons(ledger: Ledger, place: WitnessPort) -> list[str]:
    return [problem.reason for problem in verify_witnessed(ledger.port, ledger.signer, [place]).problems]


@pytest.fixture
def place(tmp_path: Path) -> RememberedWitness:
    """A witness that has seen three and five entries."""
    place = remembered(tmp_path)
    for size in (3, 5):
        witness(ledger_of(tmp_path, [refused(number) for number in range(size)]), place, new=size == 3)
    return place


def test_a_ledger_that_goes_on_continues_what_was_witnessed(tmp_path: Path, place: RememberedWitness) -> None:
    longer = ledger_of(tmp_path, [refused(number) for number in range(8)])
    report = verify_witnessed(longer.port, longer.signer, [place, place])
    assert (report.checkpoints, report.problems) == (4, ())
    assert [witness(longer, place).size, witness(longer, place).size] == [8, 8]
    assert [kept.size for kept in place.all()] == [3, 5, 8]


@pytest.mark.parametrize(
    ("numbers", "origin", "reason", "found"),
    [
        ([0, 1, 2, 3, 99, 5], ORIGIN, "first 5 entries are not those it signs", 1),
        ([99, 1, 2, 3, 4, 5], ORIGIN, "history was rewritten", 2),
        ([0, 1, 2, 3], ORIGIN, "the ledger has only 4 entries, its end was cut off", 1),
        ([0, 1, 2, 3, 4], ORIGIN[:-1] + "0", "this one is", 2),
    ],
)
def test_a_replaced_ledger_is_found_though_it_is_whole_and_signed_by_the_same_key(
    tmp_path: Path, place: RememberedWitness, numbers: list[int], origin: str, reason: str, found: int
) -> None:
    """And nothing of it is handed to the witness."""
    replaced = ledger_of(tmp_path, [refused(number) for number in numbers], origin)
    assert verify_ledger(replaced.port, replaced.signer).verified
    problems = reasons(replaced, place)
    assert len(problems) == found
    assert all(reason in each for each in problems), problems
    with pytest.raises(IntegrityError, match="nothing was handed to the witness"):
        witness(replaced, place)
    assert [kept.size for kept in place.all()] == [3, 5]


def test_a_ledger_with_other_keys_is_found(tmp_path: Path, place: RememberedWitness) -> None:
    other = ledger_of(tmp_path / "other", [refused(number) for number in range(8)])
    assert all("not a known key" in reason for reason in reasons(other, place))
    assert len(reasons(other, place)) == 2


def test_a_witness_that_has_lost_what_it_was_given_is_found_and_can_be_started_anew(
    tmp_path: Path, place: RememberedWitness
) -> None:
    """One checkpoint, or all: nothing is handed over before somebody says so, and then all of it."""
    ledger = ledger_of(tmp_path, [refused(number) for number in range(8)])
    assert list(losses(place)) == []
    for lost, said in ((5, "5"), (3, "3, 5")):
        (tmp_path / "witness" / f"{lost:019d}.checkpoint").unlink()
        assert [problem.reason.partition(":")[0] for problem in losses(place)] == [
            f"it has lost what it was given, of size {said}"
        ]
        with pytest.raises(IntegrityError, match="nothing was handed to the witness"):
            witness(ledger, place)
        assert 8 not in place.sizes()
    assert witness(ledger, place, new=True).size == 8
    assert (list(place.sizes()), list(losses(place))) == ([3, 5, 8], [])


def test_an_empty_place_is_a_problem_also_where_nothing_is_remembered(tmp_path: Path) -> None:
    """A mistyped address or a share that is not mounted would otherwise pass for a witness."""
    ledger = ledger_of(tmp_path, [refused(0)])
    place = remembered(tmp_path)
    assert "it has no checkpoint: correct its address" in next(losses(place)).reason
    with pytest.raises(IntegrityError, match="--new"):
        witness(ledger, place)
    witness(ledger, place, new=True)
    assert list(losses(place)) == []


def test_what_was_lost_is_not_handed_over_again_by_a_rewritten_ledger(
    tmp_path: Path, place: RememberedWitness
) -> None:
    """What the place still has stands against it, and what is remembered, also when it is started anew."""
    rewritten = ledger_of(tmp_path, [refused(number) for number in (0, 1, 2, 3, 99, 5)])
    for left in ([5], []):
        (tmp_path / "witness" / f"{3 if left else 5:019d}.checkpoint").unlink()
        with pytest.raises(IntegrityError, match="history was rewritten"):
            witness(rewritten, place, new=True)
        assert list(place.sizes()) == left


@pytest.mark.parametrize(
    ("numbers", "origin", "reason"),
    [
        ([0, 1, 2, 3, 99, 5], ORIGIN, "history was rewritten"),
        ([0, 1, 2, 3], ORIGIN, "the ledger has only 4 entries"),
        ([0, 1, 2, 3, 4], ORIGIN[:-1] + "0", "this one is"),
    ],
)
def test_one_checkpoint_is_enough_to_find_a_replaced_ledger(
    tmp_path: Path, place: RememberedWitness, numbers: list[int], origin: str, reason: str
) -> None:
    """What the doctor asks, without reading the entries; and the proof of one entry under it."""
    longer = ledger_of(tmp_path, [refused(number) for number in range(8)])
    require_continued(longer.port, longer.signer, place.read(5))
    assert longer.prove(1, place.read(5)).index == 1
    replaced = ledger_of(tmp_path, [refused(number) for number in numbers], origin)
    with pytest.raises(NotVerified, match=reason):
        require_continued(replaced.port, replaced.signer, place.read(5))
    with pytest.raises(IntegrityError):
        replaced.prove(1, place.read(5))


def test_a_note_under_another_size_is_found(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, [refused(0), refused(1)])
    place = FileWitness(tmp_path / "witness")
    place.put(StoredCheckpoint(1, ledger.checkpoint().note))
    assert reasons(ledger, place) == ["it is signed for the size 2"]
