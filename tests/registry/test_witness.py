"""Witnessed checkpoints find what a ledger cannot find by itself: that it was replaced as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from domain.registry.errors import IntegrityError
from domain.registry.events import DomainEvent
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.verification import verify_ledger
from domain.registry.ledger.witness import verify_witnessed, witness
from domain.registry.ports import StoredCheckpoint
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


def reasons(ledger: Ledger, place: FileWitness) -> list[str]:
    return [problem.reason for problem in verify_witnessed(ledger.port, ledger.signer, [place]).problems]


@pytest.fixture
def place(tmp_path: Path) -> FileWitness:
    """A witness that has seen three and five entries."""
    place = FileWitness(tmp_path / "witness")
    for size in (3, 5):
        witness(ledger_of(tmp_path, [refused(number) for number in range(size)]), place)
    return place


def test_a_ledger_that_goes_on_continues_what_was_witnessed(tmp_path: Path, place: FileWitness) -> None:
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
    tmp_path: Path, place: FileWitness, numbers: list[int], origin: str, reason: str, found: int
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


def test_a_ledger_with_other_keys_is_found(tmp_path: Path, place: FileWitness) -> None:
    other = ledger_of(tmp_path / "other", [refused(number) for number in range(8)])
    assert all("not a known key" in reason for reason in reasons(other, place))
    assert len(reasons(other, place)) == 2


def test_a_note_under_another_size_is_found(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, [refused(0), refused(1)])
    place = FileWitness(tmp_path / "witness")
    place.put(StoredCheckpoint(1, ledger.checkpoint().note))
    assert reasons(ledger, place) == ["it is signed for the size 2"]
