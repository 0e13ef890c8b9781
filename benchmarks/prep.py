"""Preparing 10 million rows: Dask and Spark against a plain pool, and Spark against Spark SQL.

All engines are started and warmed up before anything is measured, and then take turns; each ratio is the
median of its rounds. Spark SQL computes the same columns but for the exponentially weighted volatility, which
it cannot express with a window, and writes Parquet too; it runs in the same Spark session.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import psutil
import pyarrow.compute as pc
import pyarrow.dataset as ds

from benchmarks.panels import make_panel
from benchmarks.report import Line, show
from domain.risk.dataset import Dataset
from domain.risk.feature_set import feature_table
from domain.risk.features import FeatureDefinition, feature_definition
from domain.risk.ports import PrepEnginePort
from domain.risk.preparation import prepare
from veritasvault.adapters.dask_prep import DaskPrepEngine
from veritasvault.adapters.spark_prep import SparkPrepEngine

DASK_LIMIT, SPARK_LIMIT, SQL_LIMIT = 1.5, 3.0, 0.25
ROUNDS = 3
WARM_PARTS = 12
PROCESSES = {"pool": "spawn_main", "dask": "dask worker", "spark": "java", "spark sql": "java"}
TARGET = "realised_volatility_5_ahead"
IN_SQL = (
    *("log_return", "rv_1", "rv_5", "rv_21", "rv_63", "rsv_21"),
    *("momentum_21", "drawdown_252", "market_vol_21"),
)
COLUMNS = (*IN_SQL, "ewma_vol")
OF_ASSET = "PARTITION BY asset ORDER BY date"
AHEAD = f"OVER ({OF_ASSET} ROWS BETWEEN 1 FOLLOWING AND 5 FOLLOWING)"


def _last(rows: int) -> str:
    return f"OVER ({OF_ASSET} ROWS BETWEEN {rows - 1} PRECEDING AND CURRENT ROW)"


SQL = f"""
WITH priced AS (
    SELECT asset, date, close, ln(close / lag(close) OVER ({OF_ASSET})) AS r,
        row_number() OVER ({OF_ASSET}) AS number
    FROM panel
), market AS (
    SELECT date, avg(r) AS m FROM priced WHERE r IS NOT NULL GROUP BY date
), market_vol AS (
    SELECT date, sqrt(252 * avg(m * m) OVER (ORDER BY date ROWS 20 PRECEDING)) AS market_vol_21 FROM market
), windows AS (
    SELECT asset, date, number, r AS log_return,
        sqrt(252 * r * r) AS rv_1,
        sqrt(252 * avg(r * r) {_last(5)}) AS rv_5,
        sqrt(252 * avg(r * r) {_last(21)}) AS rv_21,
        sqrt(252 * avg(r * r) {_last(63)}) AS rv_63,
        sqrt(252 * avg(least(r, 0) * least(r, 0)) {_last(21)}) AS rsv_21,
        ln(close / lag(close, 21) OVER ({OF_ASSET})) AS momentum_21,
        close / max(close) {_last(252)} - 1 AS drawdown_252,
        CASE WHEN count(*) {AHEAD} = 5 THEN sqrt(252 * avg(r * r) {AHEAD}) END AS target
    FROM priced
)
SELECT * FROM windows JOIN market_vol USING (date) WHERE number >= 252
"""


class PoolEngine:
    """The limit: a plain pool of two processes."""

    name = "pool"

    def __enter__(self) -> Self:
        self._pool = multiprocessing.get_context("spawn").Pool(2)
        return self

    def __exit__(self, *exc: object) -> None:
        self._pool.terminate()
        self._pool.join()

    def map(self, task: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        return self._pool.map(task, items, chunksize=1)


def measure(rows: int) -> list[Line]:
    """Start-up, seconds, memory and ratios for a panel of so many rows."""
    os.environ["PYSPARK_SUBMIT_ARGS"] = "--driver-memory 4g pyspark-shell"  # so that SQL need not spill
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as directory, ExitStack() as stack:
        lines: list[Line] = []
        engines: list[PrepEnginePort] = []
        for engine in (PoolEngine(), DaskPrepEngine(workers=2), SparkPrepEngine("local[2]")):
            start_up = _seconds(partial(stack.enter_context, engine))
            lines.append(Line(f"{engine.name}: start-up, s", start_up, None))
            engines.append(engine)
        panel = make_panel(Path(directory) / "panel", rows)
        definition = feature_definition(COLUMNS, TARGET)
        run = partial(_prepared, panel, definition, Path(directory) / "features")
        warm = Dataset(panel.root, panel.parts[:WARM_PARTS])
        for engine in engines:
            first = _seconds(partial(_prepared, warm, definition, Path(directory) / "features", engine))
            lines.append(Line(f"{engine.name}: first preparation, of {warm.rows} rows, s", first, None))
        seconds: dict[str, list[float]] = {engine.name: [] for engine in engines}
        memory: dict[str, float] = {}
        digests = set()
        for _ in range(ROUNDS):
            for engine in engines:
                with _peak_memory(memory, engine.name):
                    began = time.perf_counter()
                    digests.add(run(engine))
                    seconds[engine.name].append(time.perf_counter() - began)
        print("seconds of each round:", seconds, flush=True)
        if len(digests) != 1:
            raise SystemExit(f"the engines gave different feature sets: {digests}")
        with _peak_memory(memory, "spark sql"):
            sql = _spark_sql(engines[-1], panel, definition, Path(directory))
        lines += [
            Line(f"{name}: {panel.rows} rows, s", statistics.median(s), None) for name, s in seconds.items()
        ]
        lines.append(Line(f"spark sql: {panel.rows} rows, s", sql, None))
        lines += [
            Line(f"{name}: peak memory of its processes, MiB", peak, None) for name, peak in memory.items()
        ]
        lines.append(Line("dask / pool", _ratio(seconds["dask"], seconds["pool"]), DASK_LIMIT))
        lines.append(Line("spark / pool", _ratio(seconds["spark"], seconds["pool"]), SPARK_LIMIT))
        lines.append(Line("spark / spark sql", statistics.median(seconds["spark"]) / sql, SQL_LIMIT))
        return lines


def _prepared(rows: Dataset, definition: FeatureDefinition, destination: Path, engine: PrepEnginePort) -> str:
    shutil.rmtree(destination, ignore_errors=True)
    return prepare(rows, definition, engine, destination).dataset.digest


def _spark_sql(engine: Any, panel: Dataset, definition: FeatureDefinition, directory: Path) -> float:
    """Seconds of the same windows in Spark SQL, after a warm-up; the values are checked against ours."""
    session = engine._session
    session.conf.set("spark.sql.adaptive.enabled", "true")
    session.conf.set("spark.sql.shuffle.partitions", "16")
    session.conf.set("spark.sql.parquet.compression.codec", "zstd")

    def write(paths: list[str]) -> None:
        session.read.parquet(*paths).createOrReplaceTempView("panel")
        session.sql(SQL).write.mode("overwrite").parquet(str(directory / "sql"))

    write([str(path) for path in panel.paths[:WARM_PARTS]])
    seconds = _seconds(lambda: write([str(path) for path in panel.paths]))
    _require_same(directory, definition)
    return seconds


def _require_same(directory: Path, definition: FeatureDefinition) -> None:
    """Both ways have to have done the same work: the same rows, and equal values up to rounding."""
    theirs = ds.dataset(directory / "sql", format="parquet")
    ours = feature_table(Dataset.open(directory / "features"))
    if theirs.count_rows() != ours.num_rows:
        raise SystemExit(f"spark sql gave {theirs.count_rows()} rows, we {ours.num_rows}")
    chosen = pc.field("asset") == "A00003"
    one = [theirs.to_table(filter=chosen).sort_by("date"), ours.filter(chosen)]
    for theirs_name, name in [*((column, column) for column in IN_SQL), ("target", definition.target)]:
        values = [
            table.column(column).to_numpy() for table, column in zip(one, (theirs_name, name), strict=True)
        ]
        np.testing.assert_allclose(*values, rtol=1e-6, atol=1e-9, err_msg=name)


def _ratio(ours: list[float], limit: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, limit, strict=True))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@contextmanager
def _peak_memory(peaks: dict[str, float], name: str) -> Iterator[None]:
    """Largest sum of resident memory of an engine's processes, which their command lines tell apart."""
    stop = threading.Event()
    roots = [
        process for process in psutil.Process().children() if PROCESSES[name] in " ".join(process.cmdline())
    ]

    def watch() -> None:
        while not stop.wait(0.2):
            family = [member for root in roots for member in (root, *root.children(recursive=True))]
            peaks[name] = max(peaks.get(name, 0.0), sum(map(_resident, family)) / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=10_000_000, help="rows of the panel (default: 10 million)"
    )
    sys.exit(show("Preparation", measure(parser.parse_args().rows)))
