"""What every witness has to do: the same suite for directories and buckets."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from domain.registry.errors import DomainException, IntegrityError, NotFound
from domain.registry.ports import StoredCheckpoint, WitnessPort
from veritasvault.adapters.file_witness import FileWitness
from veritasvault.adapters.s3_client import own_client
from veritasvault.adapters.s3_witness import S3Witness


def _file(directory: Path, request: pytest.FixtureRequest) -> Callable[[], WitnessPort]:
    return lambda: FileWitness(directory / "witness")


def _s3(directory: Path, request: pytest.FixtureRequest) -> Callable[[], WitnessPort]:
    server = request.getfixturevalue("s3_server")
    bucket = server.make_bucket()
    keys = {"aws_access_key_id": server.access_key, "aws_secret_access_key": server.secret_key}
    return lambda: S3Witness(bucket, "ledgers/one", own_client(server.endpoint, None, keys))


# A new witness is one line here: from what the fixtures give to a function that opens it anew.
BACKENDS = {"file": _file, "s3": _s3}


@pytest.fixture(params=sorted(BACKENDS))
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], WitnessPort]:
    """Opens the one witness of a test again, as another process would."""
    return BACKENDS[request.param](tmp_path, request)


def note(size: int, text: str = "note") -> StoredCheckpoint:
    return StoredCheckpoint(size, f"{text} of {size}\n".encode())


def test_a_witness_that_was_never_used_has_nothing(reopen: Callable[[], WitnessPort]) -> None:
    assert (list(reopen().sizes()), list(reopen().all())) == ([], [])


def test_notes_come_back_in_the_order_of_sizes(reopen: Callable[[], WitnessPort]) -> None:
    for size in (10, 9, 100, 0):
        reopen().put(note(size))
    reopen().put(note(9))
    assert list(reopen().all()) == [note(size) for size in (0, 9, 10, 100)]


def test_one_note_is_read_by_its_size_and_the_sizes_without_the_notes(
    reopen: Callable[[], WitnessPort],
) -> None:
    for size in (10, 9):
        reopen().put(note(size))
    assert list(reopen().sizes()) == [9, 10]
    assert reopen().read(10) == note(10)
    with pytest.raises(NotFound, match="has no checkpoint of size 11"):
        reopen().read(11)


def test_another_note_of_the_same_size_is_refused_and_the_first_stays(
    reopen: Callable[[], WitnessPort],
) -> None:
    reopen().put(note(7))
    with pytest.raises(IntegrityError, match="another checkpoint of this size"):
        reopen().put(note(7, "other"))
    assert list(reopen().all()) == [note(7)]


def test_of_racing_notes_of_one_size_one_wins(reopen: Callable[[], WitnessPort]) -> None:
    def put(text: str) -> bool:
        try:
            reopen().put(note(3, text))
        except DomainException:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(put, [f"note {number}" for number in range(8)]))
    assert sum(won) == 1
    assert list(reopen().all()) == [note(3, f"note {won.index(True)}")]
