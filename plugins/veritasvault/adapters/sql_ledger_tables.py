"""The tables of the SQL ledger, and the strict reading of their rows."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import sqlalchemy as sa

from domain.registry.canonical import as_digest
from domain.registry.errors import IntegrityError, InvalidInput
from domain.registry.manifest import as_model_id
from domain.registry.ports import Entry, Node, StoredCheckpoint, VersionRow

SCHEMA_VERSION = 1
ORIGIN_PREFIX = "veritasvault/ledger/"
_ORIGIN = re.compile(ORIGIN_PREFIX + r"[0-9a-f]{32}")

metadata = sa.MetaData()

# SQLite keys a table by its row id only if the type is exactly INTEGER.
_Whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _key(name: str) -> sa.Column[int]:
    """A number that we set, never a sequence: a sequence leaves gaps and knows nothing of conflicts."""
    return sa.Column(name, _Whole, primary_key=True, autoincrement=False)


def _column(name: str, kind: Any, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=nullable)


ledger = sa.Table(
    "ledger",
    metadata,
    _key("id"),
    _column("schema_version", sa.Integer()),
    _column("origin", sa.Text()),
    sa.CheckConstraint("id = 1", name="ledger_one_row"),
)

entries = sa.Table(
    "entries",
    metadata,
    _key("idx"),
    _column("key", sa.Text()),
    _column("data", sa.LargeBinary()),
    _column("leaf_hash", sa.LargeBinary()),
    sa.UniqueConstraint("key", name="entries_key"),
)

nodes = sa.Table(
    "nodes", metadata, _key("level"), _key("idx"), _column("hash", sa.LargeBinary()), sqlite_with_rowid=False
)

versions = sa.Table(
    "versions",
    metadata,
    _key("idx"),
    _column("name", sa.Text()),
    _column("version", _Whole),
    _column("model_id", sa.Text()),
    _column("recipe", sa.Text(), nullable=True),
    _column("as_of", sa.Text(), nullable=True),
    _column("artifact_digest", sa.Text()),
    sa.UniqueConstraint("name", "version", name="versions_name_version"),
    sa.Index("versions_name_idx", "name", "idx"),
    sa.Index("versions_model_id", "model_id", "idx"),
)

checkpoints = sa.Table("checkpoints", metadata, _key("size"), _column("note", sa.LargeBinary()))


def from_entry(entry: Entry) -> dict[str, Any]:
    return {"idx": entry.index, "key": entry.key, "data": entry.data, "leaf_hash": entry.leaf_hash}


def from_node(node: Node) -> dict[str, Any]:
    return {"level": node.level, "idx": node.index, "hash": node.hash}


def from_version(row: VersionRow) -> dict[str, Any]:
    return {
        "idx": row.index,
        "name": row.name,
        "version": row.version,
        "model_id": row.model_id,
        "recipe": row.recipe,
        "as_of": None if row.as_of is None else row.as_of.isoformat(),
        "artifact_digest": row.artifact_digest,
    }


def to_entry(row: sa.Row[Any]) -> Entry:
    """Raises IntegrityError for a value of another type, which only SQLite can hold."""
    what = f"ledger entry {row.idx}"
    return Entry(
        _typed(int, row.idx, what, "idx"),
        _typed(str, row.key, what, "key"),
        _typed(bytes, row.data, what, "data"),
        leaf_hash_of(row),
    )


def leaf_hash_of(row: sa.Row[*tuple[Any, ...]]) -> bytes:
    return _typed(bytes, row.leaf_hash, f"ledger entry {row.idx}", "leaf_hash")


def to_node(row: sa.Row[Any]) -> Node:
    what = f"ledger node (level {row.level}, index {row.idx})"
    return Node(
        _typed(int, row.level, what, "level"),
        _typed(int, row.idx, what, "idx"),
        _typed(bytes, row.hash, what, "hash"),
    )


def to_version(row: sa.Row[Any]) -> VersionRow:
    what = f"versions row of ledger entry {row.idx}"
    try:
        return VersionRow(
            _typed(str, row.name, what, "name"),
            _typed(int, row.version, what, "version"),
            as_model_id("model_id", row.model_id),
            None if row.recipe is None else as_digest("recipe", row.recipe),
            None if row.as_of is None else _date(row.as_of, what),
            as_digest("artifact_digest", row.artifact_digest),
            _typed(int, row.idx, what, "idx"),
        )
    except InvalidInput as error:
        raise IntegrityError(f"{what}: {error}") from error


def to_checkpoint(row: sa.Row[Any]) -> StoredCheckpoint:
    what = f"checkpoint of size {row.size}"
    return StoredCheckpoint(_typed(int, row.size, what, "size"), _typed(bytes, row.note, what, "note"))


def origin_of(rows: Sequence[sa.Row[Any]], shown: str) -> str:
    """The origin in the one row of the table `ledger`. Raises IntegrityError for anything else."""
    if len(rows) != 1 or rows[0].id != 1:
        raise IntegrityError(f"ledger row: the table 'ledger' of {shown} has to have one row, with id 1")
    version, origin = rows[0].schema_version, rows[0].origin
    if version != SCHEMA_VERSION:
        raise IntegrityError(
            f"ledger row: {shown} has the schema version {version!r}, this program knows {SCHEMA_VERSION}: "
            "use the program that wrote it, or restore it from a backup"
        )
    if not isinstance(origin, str) or not _ORIGIN.fullmatch(origin):
        raise IntegrityError(f"ledger row: the origin {origin!r} of {shown} is not the name of a ledger")
    return origin


_T = TypeVar("_T")


def _typed(kind: type[_T], value: Any, what: str, column: str) -> _T:
    if type(value) is not kind:
        raise IntegrityError(f"{what}: {column} holds {type(value).__name__}, not {kind.__name__}")
    return value


def _date(value: Any, what: str) -> dt.date:
    try:
        date = dt.date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise IntegrityError(f"{what}: as_of is {value!r}, not a calendar date") from error
    if date.isoformat() != value:
        raise IntegrityError(f"{what}: as_of is {value!r}, not a calendar date as YYYY-MM-DD")
    return date
