"""`make demo`: one run of a pipeline through Airflow, in one process of its own, with its progress shown."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.registry.errors import Unavailable
from veritasvault.airflow_local.environment import base_environment, dags_folder, plugins_folder
from veritasvault.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

_SIGNS = {"success": "[green]✓[/]", "failed": "[red]✗[/]"}
# Somebody watches: what may work on a second try is tried again soon.
_RETRY_SECONDS = "5"


def run_demo(dag_id: str, as_of: str) -> int:
    """Run a DAG for a date, show each task, and end with the summary; the exit code.

    Raises:
        Unavailable: Airflow itself failed; names its log.
    """
    from rich.console import Console

    console = Console(highlight=False)
    settings = Settings.read()
    home = settings.home / "airflow-demo"
    log = home / "logs" / f"{dag_id}.log"
    given = {
        "VERITAS_RETRY_SECONDS": _RETRY_SECONDS,
        **os.environ,
        "VERITAS_HOME": str(settings.home),
        "PYTHONWARNINGS": "ignore",
    }
    # The run has its own metadata: a database of the user's own is not for a demo's runs.
    given.pop("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", None)
    environment = base_environment(
        home, dags_folder(), plugins_folder(), f"sqlite:///{home / 'airflow.db'}", given
    )
    console.print(f"Running [bold]{dag_id}[/] as of {as_of} through Airflow (about a minute)")
    last = _show(console, _events(dag_id, {"as_of": as_of}, environment, log))
    if last is None:
        raise Unavailable(f"The run ended before its tasks did: see {log}")
    if last["state"] != "success":
        console.print(f"[red]The run failed.[/] {last['error']}\nThe whole log is in {log}", soft_wrap=True)
        return 1
    verified = _summarise(last["results"]["register"])
    console.print(f"[dim]log: {log}[/]", soft_wrap=True)
    return 0 if verified else 1


def _summarise(registered: Mapping[str, Any]) -> bool:
    """Show the version that the register task answered with; whether it verifies."""
    from veritasvault.bootstrap import bootstrap
    from veritasvault.cli.summary import print_summary, registered_summary

    summary = registered_summary(
        bootstrap(), registered["reference"], registered["outcome"], registered["report"]
    )
    print_summary(summary)
    return summary.audit.verified


def _show(console: Console, events: Iterator[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Print a line for each task that ended, and what is under way; return the last event, if any."""
    began = time.monotonic()
    with console.status("starting Python") as status:
        for event in events:
            if "step" in event:
                status.update(event["step"])
            elif event.get("state") == "running":
                status.update(event["task"])
            elif "task" in event:
                sign = _SIGNS.get(event["state"], "·")
                console.print(f"{sign} {event['task']} [dim]{event['seconds']:.1f} s[/]")
            elif "tasks" in event:
                ready = time.monotonic() - began
                console.print(
                    f"[green]✓[/] Airflow is ready, {len(event['tasks'])} tasks [dim]{ready:.1f} s[/]"
                )
            elif "results" in event:
                return event
    return None


def _events(
    dag_id: str, params: Mapping[str, Any], environment: Mapping[str, str], log: Path
) -> Iterator[Mapping[str, Any]]:
    """Run the DAG in a child whose output goes to `log`, and yield what it tells."""
    with _child(dag_id, params, environment, log) as reading, os.fdopen(reading) as lines:
        for line in lines:
            yield json.loads(line)


@contextmanager
def _child(
    dag_id: str, params: Mapping[str, Any], environment: Mapping[str, str], log: Path
) -> Iterator[int]:
    """A child process that ends with the block, and the descriptor to read its events from."""
    log.parent.mkdir(parents=True, exist_ok=True)
    reading, writing = os.pipe()
    module = "veritasvault.airflow_local.one_run"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, dag_id, json.dumps(params), str(writing)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=[writing],
        )
    os.close(writing)
    try:
        yield reading
    finally:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            process.wait()
