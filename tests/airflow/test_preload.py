"""The scheduler may import ahead what tasks need, as long as its forks work and read changed code anew."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import domain
import veritasvault
from veritasvault.preload import NO_TELEMETRY

# Two forks deep, as the executor forks its workers and these their tasks; a fork that hangs is killed.
FORKS = """
import gc, os, signal, sys

from veritasvault.preload import preload

gc.set_threshold(50_000, 20, 100)
preload()
print("collects", gc.get_threshold())
print("own", {"domain.risk.pipeline", "veritasvault.adapters.gx_validator"} <= set(sys.modules))
print("threads", "onnxruntime" in sys.modules)
print("loaded", {"great_expectations", "mlflow", "sklearn"} <= set(sys.modules))


def compute():
    import numpy as np
    import onnxruntime
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc
    from sklearn.ensemble import HistGradientBoostingRegressor

    frame = pl.DataFrame({"key": np.arange(100_000) % 7, "value": np.ones(100_000)})
    sums = frame.lazy().group_by("key").agg(pl.col("value").sum()).collect()
    assert sums["value"].sum() == 100_000
    assert pc.sum(pa.chunked_array([pa.array(range(1000))] * 20)).as_py() == 20 * 499_500
    matrix = np.random.default_rng(0).normal(size=(500, 5))
    HistGradientBoostingRegressor(max_iter=3).fit(matrix, matrix[:, 0])


def fork(work):
    if not (pid := os.fork()):
        signal.alarm(60)
        work()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0


for _ in range(12):
    fork(lambda: fork(compute))
print("forks are done", flush=True)
"""


CHANGES = """
import os, sys
from pathlib import Path

from veritasvault.preload import preload

preload()
source = Path(sys.modules["domain.risk.baselines"].__file__)
assert source.is_relative_to(Path.cwd()), "only a copy is changed"


def tell():
    from domain.risk import baselines

    print(getattr(baselines, "CHANGED", "as it was"), flush=True)


def fork(work):
    if not (pid := os.fork()):
        work()
        os._exit(0)
    os.waitpid(pid, 0)


fork(tell)
source.write_text(source.read_text() + "\\nCHANGED = 'anew'\\n")
fork(tell)
fork(lambda: fork(tell))
tell()
"""


def test_forks_of_a_preloaded_process_compute() -> None:
    """Polars, Arrow, BLAS and OpenMP work two forks below, and what starts threads was not imported."""
    lines, errors = _lines(FORKS, {})
    assert lines[-4:] == ["own True", "threads False", "loaded True", "forks are done"], errors
    assert lines[-5] == "collects (700, 10, 10)", "a task's large arrays are to go soon"


def test_a_fork_reads_what_changed_since_the_scheduler_started_and_nothing_else(tmp_path: Path) -> None:
    """Who edits code or checks out another commit need not restart the scheduler."""
    for package in (domain, veritasvault):
        (place,) = package.__path__
        shutil.copytree(place, tmp_path / package.__name__)
    lines, errors = _lines(CHANGES, {"PYTHONPATH": str(tmp_path)}, tmp_path)
    assert lines[-4:] == ["as it was", "anew", "anew", "as it was"], errors


def _lines(program: str, settings: dict[str, str], directory: Path | None = None) -> tuple[list[str], str]:
    """What a program prints, and what it says on standard error."""
    pins = {"OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]}
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, **NO_TELEMETRY, **pins, **settings},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return ended.stdout.splitlines(), ended.stderr
