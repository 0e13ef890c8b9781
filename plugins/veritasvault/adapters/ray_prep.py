"""Ray: preparation on worker processes of this machine, or on a running cluster."""

from __future__ import annotations

import logging
import os
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

from domain.registry.errors import DomainException, InvalidInput, Unavailable
from domain.risk.ports import Item, Result
from veritasvault.adapters.prep_outcome import attempt, require_packages, results
from veritasvault.adapters.shipped_code import own_code

_LOOPBACK = "127.0.0.1"
_POLL_SECONDS = 1.0
TRIES = 4
"""How many workers may end with one task, or one trial, before it is given up."""
_STORE_BYTES = 100 << 20
"""Of the object store that Ray starts here: what travels is small, data lies in files."""
_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Read when ray is imported. Without it Ray takes an address that others reach instead of loopback.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    # Ray ends, and this process with it, when a busy machine has not started its agents by then.
    "RAY_agent_register_timeout_ms": "300000",
}
_AUTH = "RAY_AUTH_MODE"
_NOT_CODE = ["**/__pycache__", "**/static"]


class RayPrepEngine:
    """Distributes tasks over Ray workers; a task whose worker dies runs again on another.

    The project's own code travels with the connection, so workers need what it is made of, in the
    versions that are here, and not the project. Ray keeps connections by thread: an engine is entered, used
    and left in one.

    Args:
        address: `ray://host:port` of a running cluster's client server; None starts Ray here, for this engine
            alone, which listens on loopback only. A process has at most one of those at a time.
        workers: processes to start; ignored with an address.
        timeout: seconds to wait for the port to answer, for a connection, and for a first worker to appear.
    """

    name = "ray"

    def __init__(self, address: str | None = None, *, workers: int = 2, timeout: float = 60.0) -> None:
        if address is not None and not re.fullmatch(r"ray://[^:/@]+:\d+", address):
            raise InvalidInput("ray address", address, "use ray://host:port")
        self._address = address
        self._workers = workers
        self._timeout = timeout
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Connect, or start Ray.

        Raises:
            InvalidInput: Ray is not installed.
            Unavailable: no cluster answers at the address, or none of its workers appeared in time.
        """
        require_packages(RayPrepEngine.name, "ray")
        with ExitStack() as stack:
            if self._address is not None:
                _require_listening(self._address, self._timeout)
            stack.enter_context(_environment())
            with translated(f"start on {self._address or 'this machine'}"):
                self._start(stack)
                self.require_workers()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def map(self, task: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Results in the order of the items.

        Raises:
            DomainException: what the first failing task raised; `Unavailable` for a foreign exception.
            Unavailable: all workers are gone, tasks keep killing them, or the cluster was lost.
        """
        import ray

        with translated("finish the preparation"):
            remote = ray.remote(attempt).options(max_retries=TRIES - 1, num_cpus=1)
            shared = ray.put(task)
            references = [remote.remote(shared, item) for item in items]
            # What is left by an error ends with the engine. Ray ends this process when it is told to cancel
            # a task that is just being done.
            self._wait(references)
            return results(ray.get(references))

    def _start(self, stack: ExitStack) -> None:
        import ray

        quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        if self._address is not None:
            code = {"py_modules": [str(place) for place in own_code()], "excludes": _NOT_CODE}
            connection = self._connected(runtime_env=code, **quiet)
            # Where several are allowed, leaving its context does not end a connection.
            stack.callback(connection.disconnect)
            stack.enter_context(connection)
            return
        here = ray.init(
            "local",
            num_cpus=self._workers,
            include_dashboard=False,
            object_store_memory=_STORE_BYTES,
            _node_ip_address=_LOOPBACK,
            **quiet,
        )
        stack.enter_context(here)

    def _connected(self, **settings: Any) -> Any:
        """Try again for a while: a busy head does not start what serves us within Ray's own limit."""
        import ray

        deadline = time.monotonic() + self._timeout
        while True:
            try:
                return ray.init(self._address, allow_multiple=True, **settings)
            except ConnectionAbortedError:
                if time.monotonic() > deadline:
                    raise

    def _wait(self, references: list[Any]) -> None:
        """Without any worker Ray would wait for ever."""
        import ray

        left = references
        while left:
            _, left = ray.wait(left, num_returns=len(left), timeout=_POLL_SECONDS)
            if left:
                self.require_workers()

    def require_workers(self) -> None:
        """Wait a while for a first one. Raises Unavailable if none appears."""
        import ray

        deadline = time.monotonic() + self._timeout
        while not ray.cluster_resources().get("CPU"):
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"ray cluster {self._address} had no worker for {self._timeout:g} s: start workers, then "
                    "retry"
                )
            time.sleep(_POLL_SECONDS)


def _require_listening(address: str, timeout: float) -> None:
    """Ray itself would try for minutes."""
    place = urlsplit(address)
    try:
        socket.create_connection((place.hostname or "", place.port or 0), timeout).close()
    except OSError as error:
        raise Unavailable(
            f"ray cluster {address} does not answer ({error}): start it, or correct the address"
        ) from error


@contextmanager
def _environment() -> Iterator[None]:
    """Ray's settings are variables; Ray sets one itself, so that what it starts wants a token."""
    before = {name: os.environ.get(name) for name in (*_SETTINGS, _AUTH)}
    os.environ.update(_SETTINGS)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Ray raises its own tree of errors, and others' where a connection is lost."""
    try:
        yield
    except DomainException:
        raise
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unavailable(f"ray could not {what}: {reason}") from error
