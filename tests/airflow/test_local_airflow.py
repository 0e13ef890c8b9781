"""A whole Airflow on this machine: it runs what it is given, and leaves nothing behind when it stops."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from domain.registry.errors import InvalidInput
from tests.airflow.platform import clean_environment
from tests.places import open_to_others
from veritasvault.airflow_local.processes import members
from veritasvault.airflow_local.supervisor import LocalAirflow

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(1200)]
PATIENCE = 240.0
"""Seconds; other tests run beside these."""

DOUBLES = """
import datetime as dt

from airflow.sdk import Param, dag, task


@dag(
    schedule="@daily",
    start_date=dt.datetime(2024, 1, 1, tzinfo=dt.UTC),
    end_date=dt.datetime(2024, 1, 31, tzinfo=dt.UTC),
    catchup=False,
    params={"number": Param(1, type="integer")},
)
def doubles():
    @task
    def given(params=None):
        return params["number"]

    @task
    def doubled(number):
        print("doubling", number)
        assert number >= 0
        return 2 * number

    doubled(given())


doubles()
"""


@pytest.fixture(scope="module")
def airflow() -> Iterator[LocalAirflow]:
    """A running Airflow with one small DAG."""
    with open_to_others() as directory:
        dags = directory / "dags"
        dags.mkdir()
        (dags / "doubles.py").write_text(DOUBLES)
        with LocalAirflow(directory / "home", dags, given=clean_environment()) as running:
            yield running


def test_a_manual_run_computes_from_its_parameters(airflow: LocalAirflow) -> None:
    """What a run is triggered with reaches its tasks, and what they return and log can be read."""
    run = airflow.client.trigger("doubles", {"number": 21})
    assert airflow.client.wait("doubles", run) == "success"
    assert airflow.client.xcom("doubles", run, "doubled") == 42
    assert "doubling 21" in airflow.client.log("doubles", run, "doubled")


def test_a_cleared_task_is_done_again(airflow: LocalAirflow) -> None:
    """Clearing one task of a run that has ended runs that one, and no other, a second time."""
    run = airflow.client.trigger("doubles", {"number": 2})
    airflow.client.wait("doubles", run)
    airflow.client.clear("doubles", run, ["doubled"])
    assert airflow.client.wait("doubles", run) == "success"
    tasks = airflow.client.tasks("doubles", run)
    assert {name: task["try_number"] for name, task in tasks.items()} == {"given": 1, "doubled": 2}


def test_a_backfill_by_the_command_runs_every_date(airflow: LocalAirflow) -> None:
    """`airflow backfill create` gives one run for each date, both ends included."""
    states = airflow.backfill("doubles", "2024-01-10", "2024-01-12", "--max-active-runs", "2")
    assert states == {f"backfill__2024-01-{day}T00:00:00+00:00": "success" for day in (10, 11, 12)}


def veritas(airflow: LocalAirflow, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The console command in a shell that has sourced what `make up` names."""
    return subprocess.run(
        [sys.executable, "-m", "veritasvault.cli", *arguments],
        env={**airflow.environment, **settings},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize(("day", "number", "code"), [(15, 1, 0), (18, -1, 1)])
def test_a_backfill_is_watched_to_its_end(airflow: LocalAirflow, day: int, number: int, code: int) -> None:
    """It ends with the last run, says what became of all, and exits 1 if one failed."""
    for known in airflow.client.backfills("doubles"):
        # Airflow refuses a second one until it has noticed that the first has ended.
        airflow.client.wait_for_backfill(known["id"])
    wanted = {
        "dag_id": "doubles",
        "from_date": f"2024-01-{day}T00:00:00Z",
        "to_date": f"2024-01-{day + 1}T00:00:00Z",
        "dag_run_conf": {"number": number},
    }
    backfill = airflow.client.ask("POST", "/api/v2/backfills", json=wanted)["id"]
    watched = veritas(airflow, "backfill", "watch", str(backfill))
    assert (watched.returncode, watched.stderr) == (code, "")
    *before, counted = [line for line in watched.stdout.splitlines() if " done, " in line]
    assert all(" of 2 done, " in line for line in before)
    end = "failed 2 of 2 done, 0 running, 2 failed" if code else "succeeded 2 of 2 done, 0 running, 0 failed"
    assert counted.rstrip() == f"doubles: {end}"
    runs = [f"backfill__2024-01-{day + more}T00:00:00+00:00" for more in (0, 1)]
    assert [line for line in watched.stdout.splitlines() if line.startswith("failed ")] == [
        f"failed {run}" for run in runs if code
    ]
    said = veritas(airflow, "backfill", "status", str(backfill), "--json")
    assert said.returncode == code
    document = json.loads(said.stdout)
    assert document["failed"] == (runs if code else [])
    assert (document["total"], document["ended"], document["seconds_left"]) == (2, True, 0.0)


def test_a_backfill_that_is_not_there_and_a_token_that_is_refused_are_one_sentence_each(
    airflow: LocalAirflow,
) -> None:
    missing = veritas(airflow, "backfill", "status", "999")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("veritas: GET /api/v2/backfills/999 gave 404")
    refused = veritas(airflow, "backfill", "watch", "1", AIRFLOW_CLI_TOKEN="not a token")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("veritas: GET /api/v2/backfills/1 gave 403")
    assert "not a token" not in refused.stderr


def test_the_shell_file_lets_the_command_find_this_airflow(airflow: LocalAirflow) -> None:
    """Once it is sourced, the plain `airflow` command talks to this Airflow; only the owner may read it."""
    file = airflow.write_shell_file()
    command = f". {file} && airflow dags list --output json"
    listed = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert [dag["dag_id"] for dag in json.loads(listed.stdout.splitlines()[-1])] == ["doubles"]
    assert file.stat().st_mode & 0o077 == 0


def test_two_airflows_do_not_share_a_home(airflow: LocalAirflow, tmp_path: Path) -> None:
    """A second start in a home that is in use is refused in one sentence, and disturbs nothing."""
    with pytest.raises(InvalidInput, match=r"^AIRFLOW_HOME is .*: Airflow already runs there"):
        LocalAirflow(airflow.home, tmp_path, given=clean_environment()).start()
    assert airflow.failed() is None


def test_servers_listen_on_loopback_only(airflow: LocalAirflow) -> None:
    """No process of this Airflow, PostgreSQL included, can be reached from another machine."""
    leaders = [int(pid) for pid in json.loads((airflow.home / "servers.json").read_text())]
    processes = [psutil.Process(pid) for pid in [*members(leaders), *postgres_of(airflow.home)]]
    addresses = {
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert addresses == {"127.0.0.1"}


def test_ctrl_c_stops_all_of_up(tmp_path: Path) -> None:
    """`make up` prints where it is; SIGINT, sent as a terminal does, ends it well and leaves no process."""
    with Up(tmp_path) as up:
        up.wait_for_line("Airflow is up", 300)
        leaders = [int(pid) for pid in json.loads((up.home / "servers.json").read_text())]
        assert len(members(leaders)) >= 4
        assert postgres_of(up.home)
        began = time.monotonic()
        up.process.send_signal(signal.SIGINT)
        assert up.process.wait(PATIENCE) == 0
        assert time.monotonic() - began < 30
        assert members(leaders) == []
        assert postgres_of(up.home) == []
        text = up.output.read_text()
    assert "http://127.0.0.1:" in text
    assert "password" in text


def test_sigterm_stops_up_while_it_starts(tmp_path: Path) -> None:
    """Stopped before anything is healthy, it leaves no process either."""
    with Up(tmp_path) as up:
        up.wait_for_line("PostgreSQL is up", PATIENCE)
        up.process.send_signal(signal.SIGTERM)
        assert up.process.wait(PATIENCE) == 0
        assert postgres_of(up.home) == []
        assert [one for one in psutil.process_iter(["cmdline"]) if belongs_to(one, tmp_path)] == []


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    """The configured port is refused before anything starts when another program has it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment = {**up_environment(tmp_path), "AIRFLOW__API__PORT": str(port)}
        command = [sys.executable, "-m", "veritasvault.airflow_local", "up"]
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"AIRFLOW__API__PORT is {port}: another program uses this port, choose a free one or unset it"
    ]
    assert not (tmp_path / "airflow" / "postgres").exists()


class Up:
    """`python -m veritasvault.airflow_local up` in a child, with its output in a file."""

    def __init__(self, directory: Path) -> None:
        self.home = directory / "airflow"
        self.output = directory / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "veritasvault.airflow_local", "up"],
                env=up_environment(directory),
                stdout=output,
                stderr=subprocess.STDOUT,
                # As a shell does for what it starts in the background.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
            )

    def __enter__(self) -> Up:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(120)

    def wait_for_line(self, text: str, seconds: float) -> None:
        until(lambda: text in self.output.read_text() or self.process.poll() is not None, seconds)
        assert text in self.output.read_text()


def up_environment(home: Path) -> dict[str, str]:
    # Paused, so that what is tested is starting and stopping, on any date.
    return {
        **clean_environment(),
        "VERITAS_HOME": str(home),
        "COLUMNS": "200",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    }


def postgres_of(home: Path) -> list[int]:
    """The PostgreSQL servers on the data of a home."""
    directory = str(home / "postgres")
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if directory in (process.info["cmdline"] or []) and process.status() != psutil.STATUS_ZOMBIE
    ]


def belongs_to(process: psutil.Process, home: Path) -> bool:
    """Whether a process was started for a home, by its environment."""
    try:
        return process.environ().get("VERITAS_HOME") == str(home)
    except psutil.Error:
        return False


def until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"nothing happened in {seconds:g} s"
        time.sleep(0.1)
