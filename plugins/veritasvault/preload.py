"""Imports in the scheduler what tasks will need: they are forked from it, and have it for nothing.

Only packages of others stay: what is imported here is not read again until the scheduler restarts, and
the project's own code may change meanwhile. What starts threads when imported (ONNX Runtime) is left out.
"""

from __future__ import annotations

import gc
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

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


def is_scheduler() -> bool:
    """Whether this is the process of `airflow scheduler`, or was forked from it."""
    return "scheduler" in sys.argv[1:2]


def preload() -> None:
    """Import what is installed of what tasks need; what is not is left to whoever needs it."""
    for name, value in {**NO_TELEMETRY, "MPLBACKEND": "Agg", "OPENBLAS_NUM_THREADS": "1"}.items():
        os.environ.setdefault(name, value)
    before = set(sys.modules)
    plain: list[Callable[[], object]] = [partial(importlib.import_module, name) for name in MODULES]
    for load in (_great_expectations, _mlflow, *plain):
        with suppress(ImportError):
            load()
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in {"domain", "veritasvault"}:
            del sys.modules[name]
    # What was imported stays: without this each task looks through all of it whenever it collects garbage.
    gc.collect()
    gc.freeze()


def _great_expectations() -> None:
    from veritasvault.adapters.gx_import import great_expectations

    great_expectations()


def _mlflow() -> None:
    from veritasvault.adapters.mlflow_client import import_mlflow

    import_mlflow(embedded=True)
