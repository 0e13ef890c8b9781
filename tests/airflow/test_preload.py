"""The scheduler may import ahead what its tasks need, as long as forks of it work and read our code anew."""

from __future__ import annotations

import os
import subprocess
import sys

from veritasvault.preload import NO_TELEMETRY

# Two forks deep, as the executor forks its workers and these their tasks; a fork that hangs is killed.
FORKS = """
import os, signal, sys

from veritasvault.preload import preload

preload()
own = [name for name in sys.modules if name.split(".")[0] in ("domain", "veritasvault")]
print("own", sorted(own))
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


def test_forks_of_a_preloaded_process_compute() -> None:
    """Polars, Arrow, BLAS and OpenMP work two forks below, and none of our own modules was kept."""
    pins = {"OMP_NUM_THREADS": "1", "PATH": os.environ["PATH"]}
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS],
        env={**os.environ, **NO_TELEMETRY, **pins},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = ended.stdout.splitlines()
    expected = ["own ['veritasvault', 'veritasvault.preload']", "loaded True", "forks are done"]
    assert lines[-3:] == expected, ended.stderr
