"""The project's own code on a Dask cluster, whose scheduler and workers outlive whoever connects to them."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

from domain.registry.errors import InvalidInput
from veritasvault.adapters.prep_outcome import Outcome, attempt
from veritasvault.adapters.shipped_code import code_archive

_NAME = "veritas-code"


def give_code(client: Any) -> str:
    """Give the workers, and those that join later, our code; its archive's name.

    A worker that has it writes nothing. One that joins later gets what was given last.
    """
    with code_archive() as archive:
        for plugin in _plugins(archive):
            client.register_plugin(plugin, name=_NAME)
        return archive.name


def attempt_packed(archive: str | None, packed: bytes) -> Outcome[Any]:
    """Run in a worker: a task and its item, by the code of an archive; None takes whatever is installed.

    Packed, since the scheduler unpacks what is not, by whatever code it imported first.
    """
    if archive is not None and archive not in __file__:
        return Outcome(
            None,
            InvalidInput(
                "dask workers",
                archive,
                "restart them, they have imported another version of the project's code",
            ),
        )
    task, item = pickle.loads(packed)  # noqa: S301 - the caller's own
    return attempt(task, item)


def _plugins(archive: Path) -> tuple[Any, Any]:
    """Put the archive into scheduler and workers; pickled by value, for neither has our code yet."""
    from distributed import SchedulerPlugin, WorkerPlugin

    name, content = archive.name, archive.read_bytes()

    def take(directory: str) -> None:
        place = Path(directory) / name
        if not place.exists():
            # Whole at once: a task may import from it.
            made = place.with_suffix(f".{os.getpid()}")
            made.write_bytes(content)
            made.replace(place)
        if str(place) not in sys.path:
            sys.path.insert(0, str(place))

    class CodeOfScheduler(SchedulerPlugin):  # type: ignore[misc]
        async def start(self, scheduler: Any) -> None:
            take(scheduler.local_directory)

    class CodeOfWorker(WorkerPlugin):  # type: ignore[misc]
        def setup(self, worker: Any) -> None:
            take(worker.local_directory)

    return CodeOfScheduler(), CodeOfWorker()
