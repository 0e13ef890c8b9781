"""Tampering: any changed bit, row or order in a ledger is found, and the object is named."""

from __future__ import annotations

import random
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.registry.ledger.checkpoint import sign_checkpoint
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.merkle import Frontier, leaf_hash
from domain.registry.ledger.verification import LedgerReport, verify_ledger
from domain.registry.ports import LedgerPort, StoredCheckpoint
from tests.fakes.events import next_registered, refused
from tests.fakes.ledger import FakeLedger
from veritasvault.adapters.local_signer import LocalSigner
from veritasvault.adapters.sql_ledger import SqlLedger

ENTRIES = 23
TABLES = {
    "ledger": ("id", "schema_version", "origin"),
    "entries": ("idx", "key", "data", "leaf_hash"),
    "nodes": ("level", "idx", "hash"),
    "versions": ("idx", "name", "version", "model_id", "recipe", "as_of", "artifact_digest"),
    "checkpoints": ("size", "note"),
}
KEY_COLUMNS = {"ledger": 1, "entries": 1, "nodes": 2, "versions": 1, "checkpoints": 1}


def fill(ledger: Ledger) -> None:
    """Registrations under two names, refusals, and a checkpoint now and then, the last at the end."""
    for number in range(ENTRIES):
        name = "ab"[number % 2]
        if number % 5 == 4:
            ledger.commit(lambda view, number=number: [refused(number)])  # type: ignore[misc]
        else:
            ledger.commit(lambda view, number=number, name=name: [next_registered(view, number, name)])  # type: ignore[misc]
        if number % 7 == 3:
            ledger.checkpoint()
    ledger.checkpoint()


@dataclass(frozen=True)
class Original:
    """A sound SQLite ledger, to be copied and damaged."""

    file: Path
    keys: Path

    def verified(self, damaged: Path) -> LedgerReport:
        return verify_ledger(SqlLedger(f"sqlite:///{damaged}"), LocalSigner(self.keys))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Original:
    directory = tmp_path_factory.mktemp("original")
    original = Original(directory / "ledger.db", directory / "keys")
    fill(Ledger(SqlLedger(f"sqlite:///{original.file}"), LocalSigner(original.keys)))
    report = original.verified(original.file)
    assert report == LedgerReport((), ENTRIES, 0)
    return original


@pytest.fixture
def copy(original: Original, tmp_path: Path) -> Path:
    return Path(shutil.copyfile(original.file, tmp_path / "ledger.db"))


def run(file: Path, *statements: str) -> None:
    """Change a ledger's file behind its back."""
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            connection.execute(statement)


def named(report: LedgerReport) -> str:
    return "\n".join(str(problem) for problem in report.problems)


def expected_name(table: str, key: tuple[int, ...], column: str) -> str:
    """A pattern for the object that a changed cell belongs to."""
    match table:
        case "ledger":
            # An origin that was changed into another possible one is told by what was signed under it.
            return r"ledger row|signed for the ledger"
        case "entries":
            return rf"ledger (entry {key[0]}\b|entries from {key[0]}\b)"
        case "nodes":
            return rf"ledger node \(level {key[0]}, index {key[1]}\)"
        case "versions":
            return rf"versions row of ledger entry {key[0]}\b"
        case _:
            return rf"checkpoint of size {key[0]}\b|signed for the size {key[0]}\b"


def flip(file: Path, chance: random.Random) -> tuple[str, tuple[int, ...], str, str]:
    """Flip one random bit of one random cell; return table, key, column and a description.

    A flip that the database itself refuses, because the key is taken, is drawn again.
    """
    with closing(sqlite3.connect(file)) as connection:
        connection.text_factory = bytes
        connection.execute("PRAGMA ignore_check_constraints = ON")
        while True:
            table = chance.choice(sorted(TABLES))
            columns = TABLES[table]
            row = chance.choice(connection.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall())
            place = chance.randrange(len(columns))
            value, column = row[place], columns[place]
            if value is None:
                continue
            if isinstance(value, int):
                bit = chance.randrange(64)
                changed: object = (value ^ 1 << bit) if bit < 63 else value - 2**63
            else:
                bit = chance.randrange(len(value) * 8)
                data = bytearray(value)
                data[bit // 8] ^= 1 << bit % 8
                changed = bytes(data)
            text = isinstance(value, bytes) and column not in ("data", "leaf_hash", "hash", "note")
            new = "CAST(? AS TEXT)" if text else "?"
            keys = columns[: KEY_COLUMNS[table]]
            where = " AND ".join(f"{key} = ?" for key in keys)
            key = tuple(row[: len(keys)])
            try:
                with connection:
                    connection.execute(f"UPDATE {table} SET {column} = {new} WHERE {where}", [changed, *key])
            except sqlite3.IntegrityError:
                continue
            return table, key, column, f"{table}.{column} of {key}, bit {bit}: {value!r} to {changed!r}"


@pytest.mark.parametrize("seed", range(40))
def test_any_flipped_bit_of_any_cell_is_found_and_its_object_named(
    original: Original, tmp_path: Path, seed: int
) -> None:
    """1,000 random flips in all, none missed."""
    chance = random.Random(seed)
    for number in range(25):
        damaged = Path(shutil.copyfile(original.file, tmp_path / f"{number}.db"))
        table, key, column, change = flip(damaged, chance)
        report = original.verified(damaged)
        assert not report.verified, change
        assert re.search(expected_name(table, key, column), named(report)), (change, named(report))
        damaged.unlink()


@pytest.mark.parametrize("seed", range(10))
def test_any_flipped_bit_of_the_file_that_changes_what_it_says_is_found(
    original: Original, tmp_path: Path, seed: int
) -> None:
    """The bits that nothing is read from, such as free space in a page, are the only ones that may pass."""
    chance = random.Random(seed)
    whole = original.file.read_bytes()
    expected = contents(original.file)
    for number in range(25):
        damaged = tmp_path / f"{number}.db"
        changed = bytearray(whole)
        bit = chance.randrange(len(whole) * 8)
        changed[bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(changed)
        report = original.verified(damaged)
        if report.verified:
            assert contents(damaged) == expected, f"bit {bit} of the file"
        damaged.unlink()


def contents(file: Path) -> list[list[tuple[object, ...]]]:
    """All rows of all tables."""
    with closing(sqlite3.connect(file)) as connection:
        connection.text_factory = bytes
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in sorted(TABLES)
        ]


def swap(table: str, key: str, column: str, a: int, b: int) -> list[str]:
    """Statements that exchange a column of two rows; an UPDATE alone would read what it has just written."""
    rows = f"FROM {table} WHERE {key} IN ({a}, {b})"
    other = f"(SELECT {column} FROM held WHERE held.{key} = {a + b} - {table}.{key})"
    return [
        f"CREATE TEMP TABLE held AS SELECT {key}, {column} {rows}",
        f"UPDATE {table} SET {column} = {other} WHERE {key} IN ({a}, {b})",
    ]


@pytest.mark.parametrize(
    ("statements", "names"),
    [
        (["DELETE FROM entries WHERE idx = 22"], ["checkpoint of size 23", "its end was cut off"]),
        (
            ["DELETE FROM entries WHERE idx >= 9"],
            ["checkpoint of size 11", "versions row of ledger entry 10"],
        ),
        (["DELETE FROM entries WHERE idx = 9"], ["ledger entry 9: missing"]),
        (["DELETE FROM entries WHERE idx IN (9, 10)"], ["ledger entries from 9: missing"]),
        (["DELETE FROM entries WHERE idx = 0"], ["ledger entry 0: missing"]),
        (["DELETE FROM entries"], ["checkpoint of size 4", "versions row of ledger entry 0"]),
        (["DELETE FROM nodes WHERE level = 2 AND idx = 1"], [r"ledger node \(level 2, index 1\): missing"]),
        (["DELETE FROM nodes WHERE level = 4"], [r"ledger node \(level 4, index 0\): missing"]),
        (["DELETE FROM nodes"], [r"ledger node \(level 1, index 0\): missing"]),
        (
            ["INSERT INTO nodes VALUES (1, 11, zeroblob(32))"],
            [r"ledger node \(level 1, index 11\): it is not"],
        ),
        (["INSERT INTO nodes VALUES (7, 0, zeroblob(32))"], [r"ledger node \(level 7, index 0\): it is not"]),
        (["INSERT INTO nodes VALUES (0, 0, zeroblob(32))"], [r"ledger node \(level 0, index 0\): it is not"]),
        (
            ["INSERT INTO nodes VALUES (1, -1, zeroblob(32))"],
            [r"ledger node \(level 1, index -1\): it is not"],
        ),
        (["DELETE FROM versions WHERE idx = 5"], ["versions row of ledger entry 5: missing"]),
        (["DELETE FROM versions"], ["versions row of ledger entry 0: missing"]),
        (["UPDATE versions SET idx = 4 WHERE idx = 5"], ["entry 4: its entry registers", "entry 5: missing"]),
        (["UPDATE versions SET idx = 99 WHERE idx = 5"], ["entry 99: the ledger has no", "entry 5: missing"]),
        (["UPDATE versions SET recipe = NULL WHERE idx = 5"], ["entry 5: recipe is None, its entry has"]),
        (
            ["UPDATE versions SET name = 'b', version = 99 WHERE idx = 0"],
            ["entry 0: name is 'b'.*version is 99"],
        ),
        (["UPDATE versions SET as_of = '20200101' WHERE idx = 0"], ["versions row of ledger entry 0: as_of"]),
        (["DELETE FROM ledger"], ["ledger row"]),
        (["INSERT INTO ledger VALUES (2, 1, 'x')"], ["ledger row"]),
        (["UPDATE entries SET data = CAST(data AS TEXT) WHERE idx = 3"], ["ledger entry 3: data holds str"]),
        (["UPDATE entries SET idx = -1 WHERE idx = 22"], ["ledger entry -1", "checkpoint of size 23"]),
        (["DROP TABLE nodes"], ["nodes"]),
        (["DROP TABLE versions"], ["versions"]),
        (["DROP INDEX versions_model_id", "DROP TABLE checkpoints"], ["checkpoints"]),
        (["UPDATE checkpoints SET note = zeroblob(10)"], ["checkpoint of size 4", "checkpoint of size 23"]),
        (
            swap("entries", "idx", "data", 3, 12),
            ["ledger entry 3", "ledger entry 12"],
        ),
        (
            swap("entries", "idx", "leaf_hash", 3, 12),
            ["ledger entry 3", "ledger entry 12"],
        ),
        (
            swap("checkpoints", "size", "note", 4, 11),
            ["checkpoint of size 4: it is signed for the size 11", "checkpoint of size 11"],
        ),
        (
            [
                "UPDATE entries SET idx = 99 WHERE idx = 3",
                "UPDATE entries SET idx = 3 WHERE idx = 12",
                "UPDATE entries SET idx = 12 WHERE idx = 99",
            ],
            [r"ledger node \(level 1, index 1\)", "ledger entries 0 to 3: not what the checkpoint of size 4"],
        ),
    ],
)
def test_rows_removed_added_moved_or_replaced_are_found(
    original: Original, copy: Path, statements: list[str], names: list[str]
) -> None:
    run(copy, *statements)
    report = original.verified(copy)
    for name in names:
        assert re.search(name, named(report)), named(report)


def test_one_changed_object_is_reported_alone(original: Original, copy: Path) -> None:
    """A reader is not sent through all that was computed from what was changed."""
    run(copy, "UPDATE entries SET data = CAST(replace(data, 'run-6', 'run-7') AS BLOB) WHERE idx = 6")
    assert [problem.object for problem in original.verified(copy).problems] == ["ledger entry 6"]
    run(copy, "UPDATE nodes SET hash = zeroblob(32) WHERE level = 3 AND idx = 0")
    names = [problem.object for problem in original.verified(copy).problems]
    assert names == ["ledger entry 6", "ledger node (level 3, index 0)"]


def test_history_rewritten_with_all_its_hashes_is_found_by_the_signatures(tmp_path: Path) -> None:
    """Whoever can write the database can recompute every hash, but not sign."""
    port, signer = FakeLedger(), LocalSigner(tmp_path)
    ledger = Ledger(port, signer)
    fill(ledger)
    forged = FakeLedger()
    forged._origin = port.origin()
    forger = Ledger(forged, signer)
    for index, event in ledger.events():
        forger.commit(lambda view, index=index, event=event: [refused(400) if index == 9 else event])  # type: ignore[misc]
    forged._checkpoints = port._checkpoints
    (problem,) = verify_ledger(forged, signer).problems
    assert str(problem) == (
        "ledger entries 4 to 10: not what the checkpoint of size 11 signs; no later one was compared"
    )


def test_a_checkpoint_signed_over_another_tree_is_found(tmp_path: Path) -> None:
    port, signer = FakeLedger(), LocalSigner(tmp_path)
    fill(Ledger(port, signer))
    other = FakeLedger()
    Ledger(other, signer).checkpoint()
    port._checkpoints[0] = next(other.checkpoints())
    (problem,) = verify_ledger(port, signer).problems
    assert str(problem).startswith(f"checkpoint of size 0: it is signed for the ledger {other.origin()}")


def test_a_key_that_is_not_ours_signs_nothing(original: Original, tmp_path: Path) -> None:
    stranger = LocalSigner(tmp_path / "keys")
    report = verify_ledger(SqlLedger(f"sqlite:///{original.file}"), stranger)
    assert [problem.object for problem in report.problems] == [
        f"checkpoint of size {size}" for size in (4, 11, 18, 23)
    ]
    assert report.pending == ENTRIES


def test_entries_behind_the_last_checkpoint_are_pending_and_still_checked(tmp_path: Path) -> None:
    ledger = Ledger(FakeLedger(), LocalSigner(tmp_path))
    assert verify_ledger(ledger.port, ledger.signer) == LedgerReport((), 0, 0)
    ledger.commit(lambda view: [refused(1)])
    assert verify_ledger(ledger.port, ledger.signer) == LedgerReport((), 1, 1)
    ledger.checkpoint()
    ledger.commit(lambda view: [refused(2), refused(3)])
    assert verify_ledger(ledger.port, ledger.signer) == LedgerReport((), 3, 2)


class Growing(FakeLedger):
    """A ledger that another process appends to and signs while it is verified."""

    grow: Callable[[], object] | None = None

    def read(self, start: int, stop: int | None = None):  # type: ignore[no-untyped-def]
        if self.grow is not None and start == 0:
            grow, self.grow = self.grow, None
            grow()
        return super().read(start, stop)


def test_a_ledger_that_grows_meanwhile_is_verified_as_it_was(tmp_path: Path) -> None:
    port, signer = Growing(), LocalSigner(tmp_path)
    ledger = Ledger(port, signer)
    fill(ledger)

    def grow() -> None:
        ledger.commit(lambda view: [next_registered(view, number + 50, f"n{number}") for number in range(20)])
        ledger.checkpoint()

    port.grow = grow
    report = verify_ledger(port, signer)
    assert port.size() == ENTRIES + 20
    assert report == LedgerReport((), ENTRIES, 0)


def test_versions_that_skip_a_number_are_found(tmp_path: Path) -> None:
    """Written by other software than this, with a tree and a signature that hold."""
    port, signer = FakeLedger(), LocalSigner(tmp_path)
    ledger = Ledger(port, signer)
    batches = []
    for version in (1, 3):
        from tests.contracts.test_ledger_contract import batch_of
        from tests.fakes.events import registered

        batches.append(batch_of(port, registered(version, version)))
        port.append(port.size(), batches[-1])
    ledger.checkpoint()
    (problem,) = verify_ledger(port, signer).problems
    assert str(problem) == "ledger entry 1: it registers version 3 of volatility, the next one is 2"


def test_an_index_that_disagrees_with_its_table_is_found(original: Original, copy: Path) -> None:
    """A damaged index hides rows from look-ups without changing them; SQLite's own check tells."""
    run(
        copy,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = replace(sql, 'model_id, idx', 'recipe, idx') "
        "WHERE name = 'versions_model_id'",
    )
    assert re.search("ledger file: .*versions_model_id", named(original.verified(copy)))


def memory_of(port: LedgerPort, signer: LocalSigner) -> int:
    """Peak bytes that a verification allocates."""
    import tracemalloc

    tracemalloc.start()
    assert verify_ledger(port, signer).verified
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_verification_keeps_hashes_and_not_entries(tmp_path: Path) -> None:
    """2,000 entries of 4 kB are verified in less than half of what they would take."""
    ledger = Ledger(SqlLedger(f"sqlite:///{tmp_path}/ledger.db"), LocalSigner(tmp_path))
    import dataclasses

    padding = {"note": "x" * 4000}
    events = [dataclasses.replace(refused(number), provenance=padding) for number in range(2000)]
    ledger.commit(lambda view: events)
    assert memory_of(ledger.port, LocalSigner(tmp_path)) < 4_000_000


def test_frontier_and_checkpoint_helpers_agree_with_a_forged_root(tmp_path: Path) -> None:
    """A signed checkpoint over a wrong root is found though its signature holds."""
    port, signer = FakeLedger(), LocalSigner(tmp_path)
    ledger = Ledger(port, signer)
    ledger.commit(lambda view: [refused(1), refused(2)])
    from domain.registry.ledger.checkpoint import Checkpoint

    frontier = Frontier()
    frontier.append(leaf_hash(b"something else"))
    forged = Checkpoint(port.origin(), 1, frontier.root())
    port.add_checkpoint(StoredCheckpoint(1, sign_checkpoint(forged, signer)))
    (problem,) = verify_ledger(port, signer).problems
    assert problem.object == "ledger entries 0 to 0"
