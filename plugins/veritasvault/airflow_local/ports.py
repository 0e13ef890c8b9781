"""A TCP port of loopback for the API server, which two Airflows that start at once do not both take."""

from __future__ import annotations

import fcntl
import getpass
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from domain.registry.errors import InvalidInput

USUAL_PORT = 8080
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class ReservedPort:
    """A free port, and the lock that keeps others of our kind away while no server listens on it yet."""

    number: int
    lock: IO[bytes]

    def release(self) -> None:
        self.lock.close()


def reserve_port(wanted: int | None) -> ReservedPort:
    """The wanted port, or else the usual one, or else any free one.

    Raises:
        InvalidInput: the wanted one is taken.
    """
    for port in (wanted,) if wanted is not None else (USUAL_PORT, *[0] * _ATTEMPTS):
        if (number := _free(port)) is not None and (lock := _lock(number)) is not None:
            return ReservedPort(number, lock)
    raise InvalidInput(
        "AIRFLOW__API__PORT", wanted, "another program uses this port, choose a free one or unset it"
    )


def _free(port: int) -> int | None:
    with socket.socket() as probe:
        # As servers do: connections that ended a moment ago do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        return int(probe.getsockname()[1])


def _lock(port: int) -> IO[bytes] | None:
    """The API server listens half a minute after its port was found free: until then only this tells."""
    path = Path(tempfile.gettempdir(), f"veritasvault-{getpass.getuser()}-port-{port}.lock")
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
