"""Dask: preparation on worker processes of this machine, or on a running scheduler."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

from domain.registry.errors import DomainException, Unavailable
from domain.risk.ports import Item, Result
from veritasvault.adapters.dask_code import attempt_packed, give_code
from veritasvault.adapters.prep_outcome import require_packages, results

_LOOPBACK = "127.0.0.1"
_STOP_SECONDS = 10.0
_POLL_SECONDS = 1.0


class DaskPrepEngine:
    """Distributes tasks over Dask workers; a task whose worker dies runs again on another.

    To a running scheduler the project's own code is sent along, so its workers need what it is made of, in
    the versions that are here, and not the project.

    Args:
        address: a running scheduler (`tcp://host:port`); None starts one here, for this engine alone, which
            listens on loopback only.
        workers: worker processes to start; ignored with an address.
        threads: threads of each worker to start; ignored with an address.
        timeout: seconds to wait for the scheduler, and for a first worker to appear.
    """

    name = "dask"

    def __init__(
        self, address: str | None = None, *, workers: int = 2, threads: int = 1, timeout: float = 60.0
    ) -> None:
        self._address = address
        self._workers = workers
        self._threads = threads
        self._timeout = timeout
        self._stack = ExitStack()
        self._client: Any = None
        self._code: str | None = None

    def __enter__(self) -> Self:
        """Connect, and start workers if needed.

        Raises:
            InvalidInput: Dask is not installed.
            Unavailable: no scheduler answers at the address, or no worker appeared in time.
        """
        require_packages(self.name, "dask", "distributed")
        with ExitStack() as stack:
            address = self._address or self._start_cluster(stack)
            self._client = self._connect(address, stack)
            self._wait_for_workers(address, 1 if self._address else self._workers)
            if self._address:
                self._code = self._ship()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._client = None
        self._stack.close()

    def map(self, task: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Results in the order of the items.

        Raises:
            DomainException: what the first failing task raised; `Unavailable` for a foreign exception.
            Unavailable: all workers are gone, or tasks keep killing them.
        """
        import cloudpickle

        packed = [cloudpickle.dumps((task, item)) for item in items]
        run = partial(attempt_packed, self._code)
        futures = self._client.map(run, packed, pure=False, key=f"prep-{os.urandom(6).hex()}")
        try:
            self._wait(futures)
            return results(self._client.gather(futures))
        except DomainException:
            raise
        except Exception as error:  # Dask raises KilledWorker, CommClosedError, CancelledError and others
            raise Unavailable(f"dask could not finish the preparation: {error}") from error
        finally:
            self._client.cancel(futures)

    def _wait(self, futures: list[Any]) -> None:
        """Without any worker Dask would wait for ever."""
        from distributed import wait

        while True:
            try:
                with self._client.as_current():
                    wait(futures, timeout=_POLL_SECONDS)
                return
            except TimeoutError:
                if not self._client.nthreads():
                    self._wait_for_workers(self._client.scheduler.address)

    def _wait_for_workers(self, address: str, number: int = 1) -> None:
        try:
            self._client.wait_for_workers(number, timeout=self._timeout)
        except TimeoutError as error:
            raise Unavailable(
                f"dask scheduler {address} had fewer than {number} worker(s) for {self._timeout:g} s: "
                "start workers, then retry"
            ) from error

    def _connect(self, address: str, stack: ExitStack) -> Any:
        from distributed import Client

        try:
            client = Client(address, timeout=self._timeout, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise Unavailable(
                f"dask scheduler {address} does not answer: start it, or correct the address"
            ) from error
        stack.callback(client.close)
        return client

    def _ship(self) -> str:
        try:
            return give_code(self._client)
        except Exception as error:  # what a worker raised, or Dask's own
            raise Unavailable(f"dask workers could not take the project's code: {error}") from error

    def _start_cluster(self, stack: ExitStack) -> str:
        """A scheduler in this process, and workers as processes of their own.

        Not as children by `multiprocessing`, as Dask does it: these import the program's main module again
        (seconds of Airflow) and cannot be started from daemonic processes.
        """
        from distributed import LocalCluster

        cluster = LocalCluster(
            n_workers=0,
            processes=False,
            protocol="tcp://",
            host=_LOOPBACK,
            dashboard_address=f"{_LOOPBACK}:0",
            silence_logs=logging.CRITICAL,
        )
        stack.callback(cluster.close)
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="veritas-dask-")))
        address: str = cluster.scheduler_address
        started: list[subprocess.Popen[bytes]] = []
        stack.callback(_stop, started)
        started.extend(self._start_worker(address, scratch, number) for number in range(self._workers))
        return address

    def _start_worker(self, address: str, scratch: Path, number: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address]
        command += ["--nworkers", "1", "--nthreads", str(self._threads), "--memory-limit", "0", "--no-nanny"]
        command += ["--no-dashboard", "--dashboard-address", f"{_LOOPBACK}:0", "--host", _LOOPBACK]
        command += ["--death-timeout", f"{self._timeout:g}", "--local-directory", str(scratch)]
        with (scratch / f"worker-{number}.log").open("wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _stop(workers: list[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        try:
            worker.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
