"""The ledger in a SQL database: SQLite for one machine, PostgreSQL for many."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.exc import IntegrityError as ConstraintViolated

from domain.registry.errors import DomainException, IntegrityError, InvalidInput, LedgerConflict
from domain.registry.manifest import ModelId
from domain.registry.ports import Batch, Entry, Node, StoredCheckpoint, VersionRow
from domain.registry.redaction import shown_address
from veritasvault.adapters import sql_ledger_tables as tables
from veritasvault.adapters.sql_ledger_errors import is_duplicate, translated

_PAGE = 500
_BUSY_SECONDS = 30
_CREATION_LOCK = 0x76657269746173  # an arbitrary number of our own for PostgreSQL's advisory lock


class SqlLedger:
    """A `LedgerPort` on SQLAlchemy Core.

    SQLite runs with a rollback journal (TRUNCATE) and synchronous=FULL: each COMMIT is durable, the
    ledger is one file that can be copied, and it can be verified from read-only media, none of which holds
    for a write-ahead log and its two side files. Writers take the lock with BEGIN IMMEDIATE, so that
    nobody fails halfway through. PostgreSQL runs at READ COMMITTED with synchronous_commit on; its primary
    key on the index lets one of two racing appends win.

    Connecting happens at first use, once for each process, so that an instance may be carried across a fork.
    Tables are made by the first write; until then, reads are of an empty ledger in memory.
    """

    def __init__(self, url: str) -> None:
        """`url` is sqlite:///path or postgresql://user:password@host/database.

        Raises:
            InvalidInput: it is neither.
        """
        self._url = _parsed(url)
        self._sqlite = self._url.get_backend_name() == "sqlite"
        # A password may also be among the options.
        self._shown = shown_address(self._url.render_as_string(hide_password=True))
        self._connected: tuple[int, Engine] | None = None
        self._origin: str | None = None
        self._exists = False

    def origin(self) -> str:
        if self._origin is None:
            with self._translating():
                self._origin = _origin(self._engine(), self._shown)
            self._exists = True
        return self._origin

    def size(self) -> int:
        with self._reading() as connection:
            return _size(connection)

    def append(self, expected_size: int, batch: Batch) -> None:
        with self._writing() as connection:
            _require_size(connection, expected_size)
            self._write(connection, batch)

    def existing_origin(self) -> str | None:
        with self._translating():
            self._readable()
        return self.origin() if self._exists else None

    def adopt(
        self,
        origin: str,
        expected_size: int,
        batches: Iterable[Batch],
        checkpoints: Iterable[StoredCheckpoint],
    ) -> None:
        with self._transaction() as connection:
            _create_if_missing(connection, origin)
            found = tables.origin_of(connection.execute(sa.select(tables.ledger)).all(), self._shown)
            if found != origin:
                raise LedgerConflict(
                    f"the ledger {self._shown} is {found}, not {origin}: give an empty place"
                )
            _require_size(connection, expected_size)
            for batch in batches:
                self._write(connection, batch)
            rows = [{"size": checkpoint.size, "note": checkpoint.note} for checkpoint in checkpoints]
            _insert(connection, tables.checkpoints, rows)

    def _write(self, connection: Connection, batch: Batch) -> None:
        """All rows of a batch, in the transaction that found the ledger at the batch's place."""
        try:
            _insert(connection, tables.entries, [tables.from_entry(entry) for entry in batch.entries])
        except ConstraintViolated as error:
            if is_duplicate(error):
                raise LedgerConflict("the ledger has one of the entries already: read it again") from error
            raise
        # Whoever may write these entries is alone, so a row in the way of the rest was put there by hand.
        try:
            _insert(connection, tables.nodes, [tables.from_node(node) for node in batch.nodes])
            _insert(connection, tables.versions, [tables.from_version(row) for row in batch.versions])
        except ConstraintViolated as error:
            raise IntegrityError(
                f"the ledger {self._shown} holds subtree hashes or versions of entries that it does not "
                "have: run verify, and restore it from a backup"
            ) from error

    def find(self, key: str) -> Entry | None:
        return self.find_each((key,)).get(key)

    def find_each(self, keys: Sequence[str]) -> dict[str, Entry]:
        rows = self._fetch(sa.select(tables.entries).where(tables.entries.c.key.in_(keys)))
        return {entry.key: entry for entry in map(tables.to_entry, rows)}

    def read(self, start: int, stop: int | None = None) -> Iterator[Entry]:
        index = tables.entries.c.idx

        def page(after: int | None) -> sa.Select[Any]:
            found = sa.select(tables.entries).where(index >= start if after is None else index > after)
            return (found if stop is None else found.where(index < stop)).order_by(index)

        return self._pages(page, tables.to_entry, lambda entry: entry.index)

    def nodes(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        leaves = [index for level, index in wanted if level == 0]
        inner = [coordinate for coordinate in wanted if coordinate[0] > 0]
        found: dict[tuple[int, int], bytes] = {}
        with self._reading() as connection:
            if leaves:
                entries = tables.entries.c
                rows = connection.execute(
                    sa.select(entries.idx, entries.leaf_hash).where(entries.idx.in_(leaves))
                )
                found.update({(0, row.idx): tables.leaf_hash_of(row) for row in rows})
            if inner:
                columns = sa.tuple_(tables.nodes.c.level, tables.nodes.c.idx)
                stored = map(
                    tables.to_node, connection.execute(sa.select(tables.nodes).where(columns.in_(inner)))
                )
                found.update({(node.level, node.index): node.hash for node in stored})
        return found

    def all_nodes(self) -> Iterator[Node]:
        place = sa.tuple_(tables.nodes.c.level, tables.nodes.c.idx)

        def page(after: tuple[int, int] | None) -> sa.Select[Any]:
            found = sa.select(tables.nodes).order_by(tables.nodes.c.level, tables.nodes.c.idx)
            return found if after is None else found.where(place > after)

        return self._pages(page, tables.to_node, lambda node: (node.level, node.index))

    def versions(
        self,
        name: str | None = None,
        *,
        as_of: dt.date | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[VersionRow]:
        columns = tables.versions.c

        def page(after: int | None) -> sa.Select[Any]:
            found = sa.select(tables.versions).order_by(columns.idx.desc())
            if name is not None:
                found = found.where(columns.name == name)
            if as_of is not None:
                found = found.where(columns.as_of == as_of.isoformat())
            bounds = [bound for bound in (before, after) if bound is not None]
            return found.where(columns.idx < min(bounds)) if bounds else found

        return self._pages(page, tables.to_version, lambda row: row.index, limit, falling=True)

    def models(
        self,
        *,
        containing: str = "",
        after: str | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[VersionRow]:
        newest = _newest(containing, before).subquery()
        name = self._bytewise(newest.c.name)

        def page(last: str | None) -> sa.Select[Any]:
            found = sa.select(tables.versions).join(newest, newest.c.idx == tables.versions.c.idx)
            start = after if last is None else last
            return (found if start is None else found.where(name > start)).order_by(name)

        return self._pages(page, tables.to_version, lambda row: row.name, limit)

    def count_models(self, *, containing: str = "", before: int | None = None) -> int:
        rows = self._fetch(sa.select(sa.func.count()).select_from(_newest(containing, before).subquery()))
        return int(rows[0][0])

    def dated(
        self, name: str, *, later_than: dt.date | None = None, before: int | None = None
    ) -> Iterator[VersionRow]:
        columns = tables.versions.c
        place = sa.tuple_(columns.as_of, columns.idx)

        def page(after: tuple[str, int] | None) -> sa.Select[Any]:
            found = sa.select(tables.versions).where(columns.name == name, columns.as_of.is_not(None))
            if later_than is not None:
                found = found.where(columns.as_of > later_than.isoformat())
            if before is not None:
                found = found.where(columns.idx < before)
            if after is not None:
                found = found.where(place < after)
            return found.order_by(columns.as_of.desc(), columns.idx.desc())

        return self._pages(
            page, tables.to_version, lambda row: (row.as_of.isoformat(), row.index), falling=True
        )

    def mentioning(self, text: bytes, *, before: int | None = None) -> Iterator[Entry]:
        columns = tables.entries.c
        wanted = sa.literal(text, sa.LargeBinary())
        # `position` is written with an infix IN, which SQLite does not know.
        found_at = (
            sa.func.instr(columns.data, wanted)
            if self._sqlite
            else sa.func.position(wanted.op("IN")(columns.data))
        )
        contained = found_at > 0

        def page(after: int | None) -> sa.Select[Any]:
            found = sa.select(tables.entries).where(contained).order_by(columns.idx.desc())
            bounds = [bound for bound in (before, after) if bound is not None]
            return found.where(columns.idx < min(bounds)) if bounds else found

        return self._pages(page, tables.to_entry, lambda entry: entry.index, falling=True)

    def _bytewise(self, name: Any) -> Any:
        """A name that is ordered by its bytes; PostgreSQL would order it by the database's language."""
        return name if self._sqlite else sa.collate(name, "C")

    def version(self, name: str, version: int) -> VersionRow | None:
        columns = tables.versions.c
        rows = self._fetch(sa.select(tables.versions).where(columns.name == name, columns.version == version))
        return tables.to_version(rows[0]) if rows else None

    def by_model_id(self, model_id: ModelId) -> VersionRow | None:
        columns = tables.versions.c
        first = sa.select(tables.versions).where(columns.model_id == model_id).order_by(columns.idx).limit(1)
        rows = self._fetch(first)
        return tables.to_version(rows[0]) if rows else None

    def add_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        try:
            with self._writing() as connection:
                _insert(connection, tables.checkpoints, [{"size": checkpoint.size, "note": checkpoint.note}])
        except LedgerConflict:
            rows = self._fetch(
                sa.select(tables.checkpoints).where(tables.checkpoints.c.size == checkpoint.size)
            )
            if not rows or tables.to_checkpoint(rows[0]) != checkpoint:
                raise

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        size = tables.checkpoints.c.size

        def page(after: int | None) -> sa.Select[Any]:
            found = sa.select(tables.checkpoints).order_by(size)
            return found if after is None else found.where(size > after)

        return self._pages(page, tables.to_checkpoint, lambda checkpoint: checkpoint.size)

    def last_checkpoint(self) -> StoredCheckpoint | None:
        newest = sa.select(tables.checkpoints).order_by(tables.checkpoints.c.size.desc()).limit(1)
        rows = self._fetch(newest)
        return tables.to_checkpoint(rows[0]) if rows else None

    def self_check(self) -> Iterator[str]:
        # PostgreSQL checks its indexes only with an extension, and its pages with checksums as they are read.
        if not self._sqlite:
            return iter(())
        with self._reading() as connection:
            findings = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
        return (f"the file of {self._shown}: {finding}" for finding in findings if finding != "ok")

    def close(self) -> None:
        """Close this process's connections; the next use opens new ones."""
        if self._connected is not None and self._connected[0] == os.getpid():
            self._connected[1].dispose()
        self._connected = None

    def _fetch(self, statement: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with self._reading() as connection:
            return connection.execute(statement).all()

    def _pages(
        self,
        page: Callable[[Any], sa.Select[Any]],
        parse: Callable[[sa.Row[Any]], Any],
        place: Callable[[Any], Any],
        limit: int | None = None,
        *,
        falling: bool = False,
    ) -> Iterator[Any]:
        """Rows by keyset, a page at a time, so that no connection or lock is held while the caller works."""
        after, left = None, limit
        while left is None or left > 0:
            wanted = _PAGE if left is None else min(_PAGE, left)
            count = 0
            # Not kept in a variable: one page would be held while the next is fetched.
            for row in self._fetch(page(after).limit(wanted)):
                count += 1
                item = parse(row)
                if after is not None and (place(item) >= after if falling else place(item) <= after):
                    raise IntegrityError(f"the ledger {self._shown} gives its rows out of order: run verify")
                after = place(item)
                yield item
            if count < wanted:
                return
            left = None if left is None else left - count

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translating(), self._readable().connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self.origin()
        with self._transaction() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A durable transaction that writes, also where there are no tables yet."""
        with self._translating():
            _make_directory(self._url)
        with (
            self._translating(),
            self._engine().connect() as connection,
            connection.execution_options(writing=True).begin(),
        ):
            if not self._sqlite:
                connection.exec_driver_sql("SET LOCAL synchronous_commit TO on")
            yield connection

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except DomainException:
            raise
        except (SQLAlchemyError, sqlite3.Error, OSError, UnicodeError) as error:
            raise translated(error, self._shown) from error

    def _engine(self) -> Engine:
        """The engine of this process."""
        if self._connected is None or self._connected[0] != os.getpid():
            if self._connected is not None:
                # The parent's connections: forget them, without closing what the parent still uses.
                self._connected[1].dispose(close=False)
            engine = _sqlite_engine(self._url) if self._sqlite else _postgres_engine(self._url)
            self._connected = (os.getpid(), engine)
        return self._connected[1]

    def _readable(self) -> Engine:
        """The engine to read with: an empty ledger's while there is no other."""
        self._exists = self._exists or (self._has_file() and _has_tables(self._engine()))
        return self._engine() if self._exists else _nothing()

    def _has_file(self) -> bool:
        """Whether connecting would find a file; SQLite would make one."""
        database = self._url.database or ""
        return not self._sqlite or database.startswith("file:") or Path(database).exists()


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Their messages may quote a piece of an unescaped password, so they are no cause.
        raise InvalidInput("ledger URL", url, "use sqlite:///path or postgresql://host/database") from None
    backend = parsed.get_backend_name()
    if backend == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    if backend in ("postgresql", "postgres"):
        # Without a driver's name SQLAlchemy 2.1 takes psycopg 3, which is not installed.
        return parsed.set(drivername="postgresql+psycopg2")
    raise InvalidInput("ledger URL", url, "use sqlite:///path or postgresql://host/database")


def _sqlite_engine(url: URL) -> Engine:
    # No pool: an open SQLite connection must not be carried across a fork, not even to be closed there.
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": _BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        # What was damaged shall be compared, not fail to decode.
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA journal_mode=TRUNCATE").fetchall()

    @sa.event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _make_directory(url: URL) -> None:
    """Of a SQLite file; PostgreSQL has none of ours."""
    database = url.database or ""
    if url.get_backend_name() == "sqlite" and not database.startswith("file:"):
        Path(database).parent.mkdir(parents=True, exist_ok=True)


def _postgres_engine(url: URL) -> Engine:
    return sa.create_engine(
        url,
        pool_size=1,
        max_overflow=20,
        pool_pre_ping=True,
        isolation_level="READ COMMITTED",
        # A standby may lag behind what was committed; only the primary knows.
        connect_args={"target_session_attrs": "primary", "connect_timeout": 10},
    )


def _nothing() -> Engine:
    """An empty ledger in memory."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    tables.metadata.create_all(engine)
    return engine


def _has_tables(engine: Engine) -> bool:
    with engine.connect() as connection:
        return sa.inspect(connection).has_table(tables.ledger.name)


def _origin(engine: Engine, shown: str) -> str:
    """Read the ledger's name; create the tables and the name if the database has none yet."""
    _make_directory(engine.url)
    if not _has_tables(engine):
        with engine.connect() as connection, connection.execution_options(writing=True).begin():
            _create_if_missing(connection, f"{tables.ORIGIN_PREFIX}{secrets.token_hex(16)}")
    with engine.connect() as connection:
        return tables.origin_of(connection.execute(sa.select(tables.ledger)).all(), shown)


def _create_if_missing(connection: Connection, origin: str) -> None:
    """Make the tables, and the ledger's name in them, unless another process has."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATION_LOCK)))
    if not sa.inspect(connection).has_table(tables.ledger.name):
        tables.metadata.create_all(connection, checkfirst=False)
        _insert(
            connection, tables.ledger, [{"id": 1, "schema_version": tables.SCHEMA_VERSION, "origin": origin}]
        )


def _newest(containing: str, before: int | None) -> sa.Select[Any]:
    """Name and greatest index of each name's versions."""
    columns = tables.versions.c
    found = sa.select(columns.name, sa.func.max(columns.idx).label("idx")).group_by(columns.name)
    if containing:
        found = found.where(columns.name.contains(containing, autoescape=True))
    return found if before is None else found.where(columns.idx < before)


def _require_size(connection: Connection, expected: int) -> None:
    size = _size(connection)
    if size != expected:
        raise LedgerConflict(f"the ledger has {size} entries, not {expected}: read it again")


def _size(connection: Connection) -> int:
    last = connection.execute(sa.select(sa.func.max(tables.entries.c.idx))).scalar_one()
    return 0 if last is None else int(last) + 1


def _insert(connection: Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        connection.execute(sa.insert(table), rows)
