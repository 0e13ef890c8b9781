"""Imports in the scheduler what tasks will need: they are forked from it, and have it for nothing.

Packages of others stay until the scheduler restarts. The project's own code may change meanwhile: whoever is
forked after it did forgets what was imported, and reads it anew. What starts threads when imported (ONNX
Runtime) is left out.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "SCARF_ANALYTICS": "false",
}
"""Nothing of a user's work leaves the machine unasked; read by packages when they are imported."""

MODULES = (
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "matplotlib.pyplot",
    "onnx",
    "dask.distributed",
    "dvc.api",
    "exchange_calendars",
    "pyarrow.parquet",
)
"""What the steps of a pipeline import, beside Great Expectations and MLflow."""
OWN = ("domain", "veritasvault.adapters")
"""The packages of the project of which every module is imported."""
_PYTHONS_OWN = (700, 10, 10)
"""How often Python collects garbage unless it is told otherwise."""


def is_scheduler() -> bool:
    """Whether this is the process of `airflow scheduler`, or was forked from it."""
    return "scheduler" in sys.argv[1:2]


def preload() -> None:
    """Import what is installed of what tasks need; what is not is left to whoever needs it."""
    for name, value in {**NO_TELEMETRY, "MPLBACKEND": "Agg", "OPENBLAS_NUM_THREADS": "1"}.items():
        os.environ.setdefault(name, value)
    before, sources = set(sys.modules), Sources.now()
    others: list[Callable[[], object]] = [partial(importlib.import_module, name) for name in MODULES]
    for load in (_great_expectations, _mlflow, *others):
        with suppress(ImportError):
            load()
    for package in OWN:
        _every_module(package)
    own = [name for name in set(sys.modules) - before if name.partition(".")[0] in {"domain", "veritasvault"}]
    os.register_at_fork(after_in_child=partial(_forget_changed, own, sources))
    # What was imported stays: without this each task looks through all of it whenever it collects garbage.
    gc.collect()
    gc.freeze()
    # A server looks for garbage rarely. A task holds large arrays, which are to go soon: as Python does it.
    gc.set_threshold(*_PYTHONS_OWN)


@dataclass(frozen=True, slots=True)
class Sources:
    """The project's source files, and when each changed; looking at all of them takes milliseconds."""

    roots: tuple[Path, ...]
    changed: frozenset[tuple[str, int]]

    @classmethod
    def now(cls) -> Self:
        domain = importlib.util.find_spec("domain")
        found = list(domain.submodule_search_locations or ()) if domain is not None else []
        return cls._of((Path(__file__).parent, *map(Path, found)))

    def again(self) -> Self:
        """The same as they are now."""
        return self._of(self.roots)

    @classmethod
    def _of(cls, roots: tuple[Path, ...]) -> Self:
        times = set()
        for path in (path for root in roots for path in root.rglob("*.py")):
            with suppress(FileNotFoundError):  # an editor replaces it
                times.add((str(path), path.stat().st_mtime_ns))
        return cls(roots, frozenset(times))


def _forget_changed(own: Sequence[str], sources: Sources) -> None:
    """In a process that was just forked: what is imported from now on is read from changed files."""
    if sources.again() != sources:
        for name in own:
            sys.modules.pop(name, None)


def _every_module(package: str) -> None:
    """Import a package of the project, but for modules whose framework is not installed."""
    for found in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
        with suppress(ImportError):
            importlib.import_module(found.name)


def _great_expectations() -> None:
    from veritasvault.adapters.gx_import import great_expectations

    great_expectations()


def _mlflow() -> None:
    from veritasvault.adapters.mlflow_client import import_mlflow

    import_mlflow(embedded=True)
