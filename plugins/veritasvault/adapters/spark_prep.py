"""Spark: preparation on this machine, on a standalone cluster, or through Spark Connect."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import socket
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pyarrow as pa

from domain.registry.errors import DomainException, InvalidInput, Unavailable
from domain.risk.ports import Item, Result
from veritasvault.adapters.prep_outcome import attempt, require_packages, results
from veritasvault.adapters.shipped_code import code_archive

_LOOPBACK = "127.0.0.1"
_MASTERS = "use local[n], spark://host:port or sc://host:port"
_COLUMNS = "place long, payload binary"
_QUIET = """\
appender.console.type = Console
appender.console.name = console
rootLogger.level = off
rootLogger.appenderRef.console.ref = console
"""
_FOR_CONNECT = ("pandas", "grpc", "grpc_status", "zstandard")
_CONNECT_MODE = "SPARK_CONNECT_MODE_ENABLED"
"""Opening a session of Spark Connect sets it, and this process could then open no other kind."""
_TRIES = 4
_POLL_SECONDS = 0.2
_SLICES_PER_CORE = 4
"""A Spark task costs 0.1 s of CPU before it does anything, so items share tasks."""


class SparkPrepEngine:
    """Distributes tasks over a Spark cluster as rows that hold pickles; Spark never looks at the data.

    To a cluster the project's own code is sent along, so its executors need what it is made of, in the
    versions that are here, and not the project.

    Args:
        master: `local[n]`, `spark://host:port`, or `sc://host:port` of a Spark Connect server. Executors
            reach the same paths.
        timeout: seconds to wait for a cluster's port to answer, and for a first executor to appear.
    """

    name = "spark"

    def __init__(self, master: str = "local[2]", *, timeout: float = 60.0) -> None:
        if not re.fullmatch(r"local(\[[^]]+\])?|spark://[^:/,]+:\d+|sc://[^:/,]+:\d+(/.*)?", master):
            raise InvalidInput("spark master", master, _MASTERS)
        self._master = master
        self._timeout = timeout
        self._stack = ExitStack()
        self._session: Any = None
        self._slices = 2 * _SLICES_PER_CORE

    def __enter__(self) -> Self:
        """Open a session.

        Raises:
            InvalidInput: Java, pyspark or what Spark Connect needs is not installed.
            Unavailable: the cluster does not answer, refuses the session, or has no executor in time.
        """
        require_packages(self.name, "pyspark")
        with ExitStack() as stack:
            if "://" in self._master:
                _require_listening(self._master, self._timeout)
            self._session = self._connect() if self._master.startswith("sc://") else self._launch(stack)
            stack.callback(self._session.stop)
            if "://" in self._master:
                self._ship(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._session = None
        self._stack.close()

    def map(self, task: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Results in the order of the items.

        Raises:
            DomainException: what the first failing task raised; `Unavailable` for a foreign exception.
            Unavailable: the cluster failed, or was lost.
        """
        from pyspark import cloudpickle

        if not items:
            return []
        payloads = pa.table(
            {"place": range(len(items)), "payload": [cloudpickle.dumps((task, item)) for item in items]}
        )
        with _translated("finish the preparation"), _without_pandas_warning():
            spread = self._session.createDataFrame(payloads).repartition(min(len(items), self._slices))
            rows = spread.mapInArrow(_attempt_all, _COLUMNS).collect()
        rows.sort(key=lambda row: row.place)
        return results(pickle.loads(row.payload) for row in rows)  # noqa: S301 - our own workers wrote them

    def _ship(self, stack: ExitStack) -> None:
        """Give the session's Python workers our own code, before what is installed there."""
        archive = stack.enter_context(code_archive())  # executors fetch it when they start
        with _translated("take the project's code"):
            self._session.addArtifacts(str(archive), pyfile=True)

    def _connect(self) -> Any:
        require_packages(self.name, *_FOR_CONNECT)
        from pyspark.sql import SparkSession

        opening = _translated(f"open a session on {self._master}")
        with _restored(_CONNECT_MODE), opening, _without_pandas_warning():
            return SparkSession.builder.remote(self._master).create()

    def _launch(self, stack: ExitStack) -> Any:
        """A session whose driver is a Java process beside this one."""
        _require_java()
        from pyspark.sql import SparkSession

        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="veritas-spark-")))
        (scratch / "log4j2.properties").write_text(_QUIET)
        builder = SparkSession.builder.master(_retrying(self._master)).appName("veritasvault")
        for name, value in _settings(self._master, scratch).items():
            builder = builder.config(name, value)
        environment = {"PYSPARK_PYTHON": sys.executable, "SPARK_CONF_DIR": str(scratch)}
        with _defaults(environment), _translated(f"start on {self._master}"), _without_pandas_warning():
            session = builder.getOrCreate()
            session.sparkContext.setLogLevel("OFF")
            if "://" in self._master:
                self._wait_for_executor(session)
            self._slices = _SLICES_PER_CORE * session.sparkContext.defaultParallelism
        return session

    def _wait_for_executor(self, session: Any) -> None:
        """Without any worker Spark would wait for ever."""
        context = session.sparkContext
        if context.getConf().get("spark.dynamicAllocation.enabled") == "true":
            return  # executors come with the work
        deadline = time.monotonic() + self._timeout
        # The driver is one of them.
        while context._jsc.sc().getExecutorMemoryStatus().size() < 2:
            if time.monotonic() > deadline:
                session.stop()
                raise Unavailable(
                    f"spark cluster {self._master} had no executor for {self._timeout:g} s: start workers, "
                    "or wait until some are free, then retry"
                )
            time.sleep(_POLL_SECONDS)


def _attempt_all(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Run in a worker: each row's task, one result at a time."""
    for batch in batches:
        for row in batch.to_pylist():
            task, item = pickle.loads(row["payload"])  # noqa: S301 - the driver's own
            outcome = pickle.dumps(attempt(task, item))
            yield pa.RecordBatch.from_pylist([{"place": row["place"], "payload": outcome}])


def _settings(master: str, scratch: Path) -> dict[str, str]:
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        # It would merge the small tasks into one.
        "spark.sql.adaptive.enabled": "false",
    }
    if master.startswith("local") or urlsplit(master).hostname in (_LOOPBACK, "localhost"):
        settings |= {"spark.driver.host": _LOOPBACK, "spark.driver.bindAddress": _LOOPBACK}
    return settings


def _retrying(master: str) -> str:
    """Local mode gives up at the first lost worker, unless the master says otherwise."""
    return re.sub(r"^local\[(\d+|\*)\]$", rf"local[\1,{_TRIES}]", master)


def _require_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if not shutil.which("java", path=f"{home}/bin" if home else None):
        raise InvalidInput(
            "engine", "spark", "install Java 17 or newer and set JAVA_HOME or PATH to it, or choose dask"
        )


def _require_listening(master: str, timeout: float) -> None:
    """Spark itself would try for a minute, and then say little."""
    place = urlsplit(master)
    try:
        socket.create_connection((place.hostname or "", place.port or 0), timeout).close()
    except OSError as error:
        raise Unavailable(
            f"spark cluster {master} does not answer ({error}): start it, or correct the address"
        ) from error


@contextmanager
def _defaults(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables that are not set, while Spark starts and reads them."""
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]


@contextmanager
def _restored(name: str) -> Iterator[None]:
    """Give an environment variable the value it had, whatever happens to it meanwhile."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


@contextmanager
def _translated(what: str) -> Iterator[None]:
    """Spark, py4j and gRPC each raise their own."""
    try:
        yield
    except DomainException:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unavailable(f"spark could not {what}: {reason}") from error


@contextmanager
def _without_pandas_warning() -> Iterator[None]:
    """Spark warns of pandas 3 although only Arrow is used here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas")
        yield
