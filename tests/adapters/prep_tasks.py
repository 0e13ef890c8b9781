"""Tasks that workers can import."""

from __future__ import annotations

import os
import signal
from pathlib import Path


def die_once(marks: Path, item: int) -> int:
    """Kill the worker that takes item 0 the first time; otherwise return the process id."""
    if item == 0 and not (marks / "died").exists():
        (marks / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die(item: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
