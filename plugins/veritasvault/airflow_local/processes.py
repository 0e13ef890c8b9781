"""Airflow's server processes, each in a session of its own, so that everything it started can be ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_POLL = 0.05


@dataclass(frozen=True, slots=True)
class Component:
    """One running server of Airflow: its name, process and log file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(cls, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Component:
        """Start the `airflow` command, with its output appended to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "veritasvault.airflow_local.server", *command],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # A terminal sends Ctrl-C to a whole process group; we stop ours in order instead.
                start_new_session=True,
            )
        return cls(name, process, log)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


def stop_all(components: Iterable[Component], grace: float) -> None:
    """End the components and all they started.

    Asks the leaders first, waits up to `grace` seconds, then asks what is left, then kills it.
    """
    components = tuple(components)
    leaders = [component.process.pid for component in components]
    for component in components:
        if component.alive:
            component.process.terminate()
    until(lambda: not any(component.alive for component in components), grace)
    end_sessions(leaders)
    for component in components:
        component.process.wait()


def end_sessions(leaders: Sequence[int]) -> None:
    """End every process of the sessions, politely for two seconds."""
    for number, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)):
        for pid in members(leaders):
            _send(pid, number)
        if until(lambda: not members(leaders), patience):
            return


def members(leaders: Sequence[int]) -> list[int]:
    """The living processes whose session one of the leaders began, or that descend from one of those."""
    import psutil  # type: ignore[import-untyped]

    parents: dict[int, int] = {}
    found: set[int] = set()
    for process in psutil.process_iter(["ppid", "status"]):
        if process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        parents[process.pid] = process.info["ppid"]
        with suppress(ProcessLookupError):
            if os.getsid(process.pid) in leaders:
                found.add(process.pid)
    # A child may have begun a session of its own.
    while grown := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= grown
    return sorted(found)


def remember(path: Path, components: Iterable[Component]) -> None:
    """Write down what runs, so that the next start can end what a killed supervisor left."""
    import psutil

    started = {
        component.process.pid: psutil.Process(component.process.pid).create_time()
        for component in components
        if component.alive
    }
    path.write_text(json.dumps(started))


def end_leftovers(path: Path) -> None:
    """End what a supervisor that was killed wrote down, unless the numbers are others' by now."""
    import psutil

    if not path.is_file():
        return
    leaders = []
    for pid, created in json.loads(path.read_text()).items():
        # A number without a process is safe: the kernel reuses none whose session still has members.
        if psutil.pid_exists(int(pid)) and abs(psutil.Process(int(pid)).create_time() - created) > 1:
            continue
        leaders.append(int(pid))
    end_sessions(leaders)
    path.unlink()


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Poll a condition; whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL)
    return True
