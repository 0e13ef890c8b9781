"""Imports Great Expectations quietly: no telemetry, no log lines, and without the Spark it would pull in."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def great_expectations() -> Any:
    """Return the package, imported on first use; it costs seconds."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    for name in ("great_expectations", "great_expectations._docs_decorators"):
        logging.getLogger(name).setLevel(logging.WARNING)
    with warnings.catch_warnings(), _without_spark():
        warnings.simplefilter("ignore")
        import great_expectations
        import great_expectations.expectations
    return great_expectations


@contextmanager
def _without_spark() -> Iterator[None]:
    """Let imports of Spark fail as if it were not installed, unless something else has imported it.

    `pyspark.sql.connect` ends the process with exit code 0 when the main module has no file, as under
    `python -c`: it takes that for a doctest. Great Expectations works without it.
    """
    masked = [name for name in ("pyspark", "pyspark.sql.connect") if name not in sys.modules]
    for name in masked:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in masked:
            if sys.modules.get(name) is None:
                sys.modules.pop(name, None)
