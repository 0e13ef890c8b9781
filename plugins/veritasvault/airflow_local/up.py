"""`make up`: Airflow on loopback in the foreground, until Ctrl-C or SIGTERM stops all of it."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType

from domain.registry.errors import InvalidInput, Unavailable
from veritasvault.airflow_local.environment import dags_folder
from veritasvault.airflow_local.supervisor import LocalAirflow
from veritasvault.settings import Settings


class _Stop(Exception):
    """Somebody asked for the end while everything was still starting."""


def run_until_stopped() -> int:
    """Start Airflow, say where it is, and keep it up until a signal; the exit code.

    Raises:
        InvalidInput: the port is taken or not a port, or Airflow already runs in this home.
        Unavailable: a server does not start, or ended by itself.
    """
    from rich.console import Console

    console = Console(highlight=False)
    settings = Settings.read()
    began = time.monotonic()
    stopping = threading.Event()
    starting = True

    def stop(_number: int, _frame: FrameType | None) -> None:
        first, again = not stopping.is_set(), starting
        stopping.set()
        if first and again:
            raise _Stop

    # Also where the parent had them ignored, as a shell does for what it runs in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)

    airflow = LocalAirflow(
        settings.home / "airflow",
        dags_folder(),
        port=_port(),
        given={**os.environ, "VERITAS_HOME": str(settings.home)},
        progress=lambda step: console.print(f"[green]✓[/] {step} [dim]{time.monotonic() - began:.0f} s[/]"),
    )
    try:
        console.print(f"Starting Airflow in {airflow.home} (about half a minute, Ctrl-C stops it)")
        airflow.start()
        starting = False
        _say_where(console, airflow)
        _watch(airflow, stopping)
    except _Stop:
        pass
    finally:
        starting = False
        console.print("Stopping …")
        airflow.stop()
        console.print("[green]✓[/] everything is stopped")
    return 0


def _watch(airflow: LocalAirflow, stopping: threading.Event) -> None:
    while not stopping.wait(0.5):
        if (ended := airflow.failed()) is not None:
            raise Unavailable(f"Airflow's {ended.name} ended by itself: see {ended.log}")


def _say_where(console: object, airflow: LocalAirflow) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.panel import Panel
    from rich.table import Table

    assert isinstance(console, Console)
    table = Table.grid(padding=(0, 2))
    table.add_row("UI", f"[bold]{airflow.url}[/]")
    table.add_row("user", airflow.user)
    table.add_row("password", escape(airflow.password))
    table.add_row("DAGs", ", ".join(sorted(airflow.client.dags())) or "none yet")
    table.add_row("airflow command", f"first: source {airflow.write_shell_file()}")
    table.add_row("logs", str(airflow.logs))
    console.print(Panel(table, title="Airflow is up", expand=False))
    for file, trace in airflow.client.import_errors().items():
        console.print(f"[red]{escape(file)} was not read:[/] {escape(trace.strip().splitlines()[-1])}")


def _port() -> int | None:
    """The port the user chose in Airflow's own variable."""
    given = os.environ.get("AIRFLOW__API__PORT")
    if given is None:
        return None
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise InvalidInput("AIRFLOW__API__PORT", given, "give a TCP port from 1 to 65535")
    return int(given)
