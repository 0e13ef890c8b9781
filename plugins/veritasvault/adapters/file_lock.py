"""A lock between processes of one machine, held on a file and released by the kernel when its holder dies."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.registry.errors import Contended

POLL = 0.05


@contextmanager
def file_lock(path: Path, what: str, deadline: float = 600.0) -> Iterator[None]:
    """Hold an exclusive lock on the file, made if missing, for the length of the block.

    Args:
        what: what the lock guards, for the error.
        deadline: seconds to wait for it.

    Raises:
        Contended: others held it until the deadline.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    give_up = time.monotonic() + deadline
    with path.open("ab") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise Contended(f"{what} was busy for {deadline:.0f} s: retry later") from None
                time.sleep(POLL)
        yield
