"""A whole Airflow on this machine: PostgreSQL, API server, scheduler, DAG processor and triggerer."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO, Self

from domain.registry.errors import InvalidInput, Unavailable
from veritasvault.airflow_local.client import AirflowClient
from veritasvault.airflow_local.environment import (
    USER,
    base_environment,
    passwords,
    plugins_folder,
    server_environment,
)
from veritasvault.airflow_local.ports import ReservedPort, reserve_port
from veritasvault.airflow_local.postgres import EmbeddedPostgres
from veritasvault.airflow_local.processes import Component, end_leftovers, members, remember, stop_all

_CONNECTION = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"
_PATIENCE = 300.0
# The log servers would listen on every address of the machine, and the files are at hand.
_SERVERS = {
    "scheduler": ["scheduler", "--skip-serve-logs"],
    "dag-processor": ["dag-processor"],
    "triggerer": ["triggerer", "--skip-serve-logs"],
}
_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


def _nothing(_: str) -> None:
    """Progress that nobody watches."""


class LocalAirflow:
    """Airflow's servers, started and stopped together; a context manager.

    Attributes:
        home: AIRFLOW_HOME.
        url: where the UI and the REST API are, on loopback.
        user, password: who may do everything there.
        environment: what the `airflow` command needs to talk to this Airflow.
        client: the REST API.
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        plugins: Path | None = None,
        port: int | None = None,
        parallelism: int = 4,
        given: Mapping[str, str] | None = None,
        progress: Callable[[str], None] = _nothing,
    ) -> None:
        """Nothing runs yet.

        Args:
            home: AIRFLOW_HOME, kept from one start to the next.
            dags: folder of the DAG files.
            plugins: folder of the plugin file; None for the project's.
            port: TCP port of the API server; None for the usual one, or a free one where that is taken.
            parallelism: how many tasks run at once.
            given: environment to start from, with the user's own settings; None for the process's.
            progress: is told each step in a few words once it is done.
        """
        self.home = home.absolute()
        self.user = USER
        self.password = ""
        self.url = ""
        self.environment: dict[str, str] = {}
        self._dags = dags.absolute()
        self._plugins = plugins or plugins_folder()
        self._port = port
        self._parallelism = parallelism
        self._given = dict(os.environ if given is None else given)
        self._progress = progress
        self._postgres: EmbeddedPostgres | None = None
        self._components: list[Component] = []
        self._client: AirflowClient | None = None
        self._lock: IO[bytes] | None = None
        self._reserved: ReservedPort | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def client(self) -> AirflowClient:
        if self._client is None:
            raise Unavailable(f"Airflow in {self.home} is not running: start it first")
        return self._client

    @property
    def logs(self) -> Path:
        """Where each server's log file is."""
        return self.home / "logs" / "servers"

    def start(self) -> None:
        """Start everything and return once all of it is healthy and has read the DAGs.

        Raises:
            InvalidInput: the port is taken, or somebody else runs Airflow in this home.
            Unavailable: a server ended or did not become healthy; names its log.
        """
        self._lock_home()
        try:
            # First: an API server that a killed supervisor left still has the port.
            end_leftovers(self._leftovers)
            self._reserved = reserve_port(self._port)
            port = self._reserved.number
            base = base_environment(self.home, self._dags, self._plugins, self._database(), self._given)
            self.environment = server_environment(base, port, self._parallelism)
            self.password = passwords(self.environment).get(self.user, "")
            self.url = f"http://127.0.0.1:{port}"
            self._migrate()
            self._start_servers(port)
            self._wait_until_healthy()
            self._wait_for_dags()
        except BaseException:
            self.stop()
            raise

    def stop(self, grace: float = 5.0) -> None:
        """Stop everything and leave no process; tasks that run have `grace` seconds to end."""
        if self._client is not None:
            self._client.close()
            self._client = None
        # Tasks report to the API server: it goes last.
        stop_all([part for part in self._components if part.name != "api-server"], grace)
        stop_all([part for part in self._components if part.name == "api-server"], grace)
        self._components = []
        self._leftovers.unlink(missing_ok=True)
        if self._postgres is not None:
            self._postgres.stop()
            self._postgres = None
        if self._reserved is not None:
            self._reserved.release()
            self._reserved = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def failed(self) -> Component | None:
        """A server that ended by itself, if there is one."""
        return next((part for part in self._components if not part.alive), None)

    def cli(self, *arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run the real `airflow` command, whatever it exits with."""
        return subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def backfill(
        self, dag_id: str, start: str, end: str, *options: str, seconds: float = 600
    ) -> dict[str, str]:
        """Run `airflow backfill create` and wait for its end.

        Args:
            dag_id: the DAG.
            start, end: first and last date, both included.
            options: more of the command's options, such as "--max-active-runs", "4".
            seconds: how long to wait.

        Returns:
            The states of the DAG's backfilled runs, these and earlier ones, by run id.

        Raises:
            Unavailable: the command failed, or the backfill did not end in time.
        """
        dates = ("--dag-id", dag_id, "--from-date", start, "--to-date", end)
        command = self.cli("backfill", "create", *dates, *options)
        if command.returncode != 0:
            raise Unavailable(f"airflow backfill create failed: {command.stdout}{command.stderr}")
        newest = max(backfill["id"] for backfill in self.client.backfills(dag_id))
        self.client.wait_for_backfill(newest, seconds)
        runs = self.client.runs(dag_id, run_type="backfill")
        return {run["dag_run_id"]: run["state"] for run in runs}

    def task_cpu_seconds(self) -> float:
        """User and system time of all task processes that have ended, with what they started."""
        import psutil  # type: ignore[import-untyped, unused-ignore]

        scheduler = next(part for part in self._components if part.name == "scheduler")
        # Each worker of the executor forks its tasks and waits for them.
        workers = [worker.cpu_times() for worker in psutil.Process(scheduler.process.pid).children()]
        return float(sum(times.children_user + times.children_system for times in workers))

    def cpu_seconds(self) -> float:
        """User and system time of Airflow's servers and all that they started, without PostgreSQL."""
        import psutil

        spent = 0.0
        for pid in members([part.process.pid for part in self._components]):
            # One that ends meanwhile is in its parent's children.
            with suppress(psutil.NoSuchProcess):
                spent += sum(psutil.Process(pid).cpu_times()[:4])
        return spent

    def database(self, name: str) -> str:
        """SQLAlchemy URL of a database of the embedded server, made if it is new; a ledger's, for one."""
        if self._postgres is None:
            raise Unavailable("This Airflow uses a PostgreSQL of the user's own: make a database there")
        return self._postgres.url(name)

    def write_shell_file(self) -> Path:
        """Write what a shell must source so that its `airflow` command talks to this Airflow."""
        path = self.home / "environment.sh"
        names = [name for name in self.environment if name.startswith(("AIRFLOW", "VERITAS"))]
        lines = [f"export {name}={shlex.quote(self.environment[name])}\n" for name in sorted(names)]
        path.touch(mode=0o600)
        path.write_text(
            "".join(lines) + f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"\n'
        )
        return path

    @property
    def _leftovers(self) -> Path:
        return self.home / "servers.json"

    def _lock_home(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        lock = (self.home / "lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise InvalidInput(
                "AIRFLOW_HOME", str(self.home), "Airflow already runs there, stop it or set VERITAS_HOME"
            ) from None
        self._lock = lock

    def _database(self) -> str:
        """The user's own metadata database, or one of an embedded server."""
        if own := self._given.get(_CONNECTION):
            return own
        self._postgres = EmbeddedPostgres(self.home / "postgres")
        self._postgres.start()
        self._progress("PostgreSQL is up")
        return self._postgres.url("airflow")

    def _migrate(self) -> None:
        """Bring the metadata to this Airflow's schema; only once a version, for it takes a while."""
        done = self.home / "migrated"
        # Only compared: the URL has a password in it.
        place = hashlib.sha256(self.environment[_CONNECTION].encode()).hexdigest()
        wanted = f"{version('apache-airflow')} {place}"
        if self._postgres is not None and done.is_file() and done.read_text() == wanted:
            return
        log = self.logs / "migration.log"
        migration = Component.start("migration", ["db", "migrate"], self.environment, log)
        self._components = [migration]
        if migration.process.wait() != 0:
            raise Unavailable(f"Airflow's database was not migrated: see {log}")
        self._components = []
        done.touch(mode=0o600)
        done.write_text(wanted)
        self._progress("metadata database is migrated")

    def _start_servers(self, port: int) -> None:
        api_server = ["api-server", "--host", "127.0.0.1", "--port", str(port)]
        for name, command in {"api-server": api_server, **_SERVERS}.items():
            log = self.logs / f"{name}.log"
            self._components.append(Component.start(name, command, self.environment, log))
        remember(self._leftovers, self._components)
        self._client = AirflowClient(self.url, self.user, self.password)

    def _wait_until_healthy(self) -> None:
        healthy: set[str] = set()

        def all_are() -> bool:
            states = self.client.health()
            for name in _COMPONENTS:
                if states.get(name) == "healthy" and name not in healthy:
                    healthy.add(name)
                    self._progress(f"{name.replace('_', ' ')} is healthy")
            return len(healthy) == len(_COMPONENTS)

        self._wait(all_are, "become healthy")

    def _wait_for_dags(self) -> None:
        if not any(self._dags.glob("*.py")):
            return
        self._wait(lambda: bool(self.client.dags() or self.client.import_errors()), "read the DAGs")
        self._progress("DAGs are loaded")

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            if (ended := self.failed()) is not None:
                raise Unavailable(f"Airflow's {ended.name} ended while starting: see {ended.log}")
            if time.monotonic() > deadline:
                raise Unavailable(f"Airflow did not {what} in {_PATIENCE:g} s: see the logs in {self.logs}")
            time.sleep(0.2)
