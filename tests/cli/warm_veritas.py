"""Processes of the command `veritas` that need not import everything anew: each is forked from a warm one.

The warm process has imported what commands import and run none of them. A fork of it has the directory, the
environment and the outputs that it is given, runs the console script's function, and ends as a process does.
Whether a new interpreter starts quickly and imports only what it needs is for tests/cli/test_startup.py.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import IO, Any

# Compiled once for all commands, wherever the sources may be read-only.
BYTECODE = tempfile.TemporaryDirectory(prefix="veritas-bytecode-")
_ROOT = Path(__file__).parents[2]
_LONGEST = 2**20
_IMPORTED = (
    "veritasvault.adapters.local_signer",
    "veritasvault.adapters.sql_ledger",
    "veritasvault.bootstrap",
)


class WarmVeritas:
    """The warm process, from the side of the tests."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.cli.warm_veritas", str(theirs.fileno())],
                cwd=_ROOT,
                env={**kept, "PYTHONPYCACHEPREFIX": BYTECODE.name},
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                process_group=0,
            )

    def run(
        self,
        arguments: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        drop: Sequence[int] = (),
        *,
        patience: float,
    ) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of a command.

        Args:
            drop: capabilities that the command does without, see capabilities(7).
            patience: seconds it may take.

        Raises:
            TimeoutError: it took longer.
        """
        asked = {
            "arguments": list(arguments),
            "directory": str(directory),
            "environment": dict(environment),
            "drop": list(drop),
        }
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            socket.send_fds(self._socket, [json.dumps(asked).encode()], [out.fileno(), err.fileno()])
            self._socket.settimeout(patience)
            try:
                code = int(self._socket.recv(64))
            except TimeoutError:
                self._begin_anew()
                raise
            return code, _written(out), _written(err)

    def _begin_anew(self) -> None:
        """End what hangs; its answer would be taken for the next one's."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._socket.close()
        self._begin()


def _written(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def serve(connection: socket.socket) -> dict[str, Any] | None:
    """Fork for each request, and report the exit code. Returns the request in a fork, None at the end."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(connection, _LONGEST, 2)
        if not data:
            return None
        child = os.fork()
        if not child:
            connection.close()
            for place, descriptor in enumerate(descriptors, start=1):
                os.dup2(descriptor, place)
                os.close(descriptor)
            found: dict[str, Any] = json.loads(data)
            return found
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())


def become(request: Mapping[str, Any]) -> None:
    """Take on what a new process of the command would have been given."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["directory"])
    script = Path(sys.executable).parent / "veritas"
    sys.path[0] = str(script.parent)
    sys.argv = [str(script), *request["arguments"]]
    read_at_start = {name for name in os.environ if name.startswith("PYTHON")} - {"PYTHONPYCACHEPREFIX"}
    if request["drop"] or read_at_start:
        _begin_anew_without(request["drop"])


def _begin_anew_without(capabilities: Sequence[int]) -> None:
    """Run the console script itself, in a new interpreter.

    Variables of Python's are read by nobody else, and root's capabilities are only dropped for what it
    executes.
    """
    import ctypes

    drop_from_bounding_set = 24  # PR_CAPBSET_DROP, see prctl(2)
    for capability in capabilities:
        assert ctypes.CDLL(None).prctl(drop_from_bounding_set, capability) == 0
    os.execv(sys.argv[0], sys.argv)


def warm_up() -> None:
    """Import the commands and what most of them open; nothing that starts threads."""
    import veritasvault.cli as commands

    for module in iter_modules(commands.__path__, "veritasvault.cli."):
        if not module.name.endswith("__main__"):
            import_module(module.name)
    for name in _IMPORTED:
        import_module(name)


if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as served:
        warm_up()
        asked = serve(served)
    if asked is not None:
        from veritasvault.cli.app import main

        become(asked)
        main()
