"""Whatever is changed in a registry, its ledger or its checkpoints, verification finds it and names it."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.exactly_once.candidates import register
from veritasvault.bootstrap import Application, bootstrap

VERSIONS = 6
CASES = 600


@dataclass(frozen=True)
class Copy:
    """A registry to be tampered with: a copy of one that verifies."""

    home: Path

    @property
    def application(self) -> Application:
        return bootstrap({"VERITAS_HOME": str(self.home)})

    @property
    def objects(self) -> list[Path]:
        """Every stored object, sorted: artifact files, manifests, attachments."""
        return sorted(path for path in (self.home / "registry" / "models").rglob("*") if path.is_file())

    def overwrite(self, path: Path, data: bytes) -> None:
        path.unlink()
        path.write_bytes(data)

    def sql(self, statement: str, *values: object) -> int:
        """Change the ledger as who tampers would: checks that the database itself makes are switched off."""
        with sqlite3.connect(self.home / "ledger.db") as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            return connection.execute(statement, values).rowcount

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with sqlite3.connect(self.home / "ledger.db") as connection:
            return connection.execute(statement).fetchall()

    def row(self, table: str, dice: random.Random) -> str:
        """A condition that any one row of a table meets: its primary key, whole numbers all."""
        columns = [column[1] for column in self.rows(f"PRAGMA table_info({table})") if column[5]]
        chosen = dice.choice(
            self.rows(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {', '.join(columns)}")
        )
        return " AND ".join(f"{column} = {value}" for column, value in zip(columns, chosen, strict=True))


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of a few versions, verified."""
    home = tmp_path_factory.mktemp("original")
    application = bootstrap({"VERITAS_HOME": str(home / "home")})
    for candidate in range(VERSIONS):
        register(application, home / "artifacts", candidate)
    assert application.audit.everything().problems == ()
    return home / "home"


@pytest.fixture
def copy(original: Path, tmp_path: Path) -> Copy:
    shutil.copytree(original, tmp_path / "home")
    return Copy(tmp_path / "home")


def _flip_stored_bit(copy: Copy, dice: random.Random) -> str:
    path = dice.choice(copy.objects)
    data = bytearray(path.read_bytes())
    bit = dice.randrange(len(data) * 8)
    data[bit // 8] ^= 1 << bit % 8
    copy.overwrite(path, bytes(data))
    return path.parts[path.parts.index("models") + 1]


def _truncate_stored(copy: Copy, dice: random.Random) -> str:
    path = dice.choice(copy.objects)
    copy.overwrite(path, path.read_bytes()[: -dice.randint(1, 3)])
    return path.parts[path.parts.index("models") + 1]


def _extend_stored(copy: Copy, dice: random.Random) -> str:
    path = dice.choice(copy.objects)
    copy.overwrite(path, path.read_bytes() + dice.randbytes(1))
    return path.parts[path.parts.index("models") + 1]


def _remove_stored(copy: Copy, dice: random.Random) -> str:
    path = dice.choice(copy.objects)
    path.unlink()
    return path.parts[path.parts.index("models") + 1]


def _swap_artifacts(copy: Copy, dice: random.Random) -> str:
    models = sorted((copy.home / "registry" / "models").iterdir())
    one, other = dice.sample(models, 2)
    (one / "artifact").rename(copy.home / "held")
    (other / "artifact").rename(one / "artifact")
    (copy.home / "held").rename(other / "artifact")
    return one.name


def _swap_models(copy: Copy, dice: random.Random) -> str:
    models = sorted((copy.home / "registry" / "models").iterdir())
    one, other = dice.sample(models, 2)
    one.rename(copy.home / "held")
    other.rename(one)
    (copy.home / "held").rename(other)
    return one.name


def _flip_cell_bit(copy: Copy, dice: random.Random) -> str:
    """Change one bit of one cell of one row of the ledger's tables."""
    tables = [
        name for (name,) in copy.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
    ]
    table = dice.choice([name for name in tables if copy.rows(f"SELECT 1 FROM {name} LIMIT 1")])
    columns = [row[1] for row in copy.rows(f"PRAGMA table_info({table})")]
    row = copy.row(table, dice)
    column = dice.choice(columns)
    ((value,),) = copy.rows(f"SELECT {column} FROM {table} WHERE {row}")
    if value is None:
        changed: object = "2022-12-28"
    elif isinstance(value, int):
        changed = value ^ (1 << dice.randrange(8))
    else:
        data = bytearray(value.encode() if isinstance(value, str) else value)  # type: ignore[attr-defined]
        bit = dice.randrange(len(data) * 8 - 8) if len(data) > 1 else dice.randrange(7)
        if isinstance(value, str):
            bit -= bit % 8 == 7
        data[bit // 8] ^= 1 << bit % 8
        changed = data.decode() if isinstance(value, str) else bytes(data)
    try:
        copy.sql(f"UPDATE {table} SET {column} = ? WHERE {row}", changed)
    except sqlite3.IntegrityError:
        # The changed number is another row's: flip a bit that none of them has.
        assert isinstance(value, int)
        copy.sql(f"UPDATE {table} SET {column} = ? WHERE {row}", value ^ 1 << 12)
    return table


def _delete_row(copy: Copy, dice: random.Random) -> str:
    table = dice.choice(["entries", "nodes", "versions"])
    copy.sql(f"DELETE FROM {table} WHERE {copy.row(table, dice)}")
    return table


def _reorder_entries(copy: Copy, dice: random.Random) -> str:
    one, other = dice.sample(range(VERSIONS), 2)
    for old, new in ((one, -1), (other, one), (-1, other)):
        copy.sql("UPDATE entries SET idx = ? WHERE idx = ?", new, old)
    return "entries"


WAYS: list[Callable[[Copy, random.Random], str]] = [
    _flip_stored_bit,
    _flip_cell_bit,
    _flip_stored_bit,
    _flip_cell_bit,
    _truncate_stored,
    _extend_stored,
    _remove_stored,
    _swap_artifacts,
    _swap_models,
    _delete_row,
    _reorder_entries,
]


def test_no_change_of_any_kind_is_missed(original: Path, tmp_path: Path) -> None:
    """600 seeded changes: each is found, and a problem in a stored object names the model it is in."""
    missed = []
    for case in range(CASES):
        dice = random.Random(case)
        home = tmp_path / "home"
        shutil.copytree(original, home)
        way = WAYS[case % len(WAYS)]
        touched = way(Copy(home), dice)
        try:
            problems = [f"{p.object} {p.reason}" for p in Copy(home).application.audit.everything().problems]
        except Exception as error:
            problems = []
            missed.append((case, way.__name__, f"{type(error).__name__}: {error}"))
        named = len(touched) != 64 or any(touched in problem for problem in problems)
        if not problems or not named:
            missed.append((case, way.__name__, touched, problems))
        shutil.rmtree(home)
    assert missed == [], "\n".join(map(str, missed))


def test_an_untouched_copy_verifies(copy: Copy) -> None:
    """The tampering tests start from something that verifies, so what they find is what they changed."""
    report = copy.application.audit.everything()
    assert (report.problems, report.versions, report.pending, report.unlisted) == ((), VERSIONS, 0, ())


def test_cutting_off_the_end_with_its_checkpoints_is_found_by_a_kept_receipt(copy: Copy) -> None:
    """A ledger and its checkpoints cut back together look fine, but not to who kept a later receipt."""
    from domain.registry.errors import DomainException
    from domain.registry.ledger.verification import verify_receipt_against

    last = next(copy.application.catalog.versions())
    receipt = copy.application.catalog.receipt(f"{last.name}@{last.version}")
    copy.sql("DELETE FROM entries WHERE idx = ?", last.index)
    copy.sql("DELETE FROM versions WHERE idx = ?", last.index)
    copy.sql("DELETE FROM checkpoints WHERE size > ?", last.index)
    for level in range(1, 4):
        copy.sql("DELETE FROM nodes WHERE level = ? AND ((idx + 1) << ?) > ?", level, level, last.index)
    assert copy.application.audit.everything().problems == ()
    ledger = copy.application.ledger
    with pytest.raises(DomainException, match=r"receipt|ledger"):
        verify_receipt_against(ledger.port, ledger.signer, receipt)
