"""Preparation of ever larger panels: time and memory by engine, workers and size, beside plain Polars.

Each preparation runs in a process of its own, whose whole family is watched; what it tells is the time from
rows on disk to features on disk, without the engine's start, and the most memory of all its processes at
once. Polars computes the same columns with its own expressions, in memory, on as many threads: the time to
beat, with one table of everything in memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.panels import make_panel
from benchmarks.report import seconds
from domain.risk.dataset import Dataset
from domain.risk.features import feature_definition
from domain.risk.ports import PrepEnginePort
from domain.risk.preparation import prepare

COLUMNS = (
    "log_return",
    "rv_1",
    "rv_5",
    "rv_21",
    "rv_63",
    "rsv_21",
    "momentum_21",
    "drawdown_252",
    "market_vol_21",
)
TARGET = "realised_volatility_5_ahead"
POLARS = "polars"
WAYS: tuple[tuple[str, int], ...] = (
    (POLARS, 2),
    ("inline", 1),
    ("dask", 1),
    ("dask", 2),
    ("spark", 1),
    ("spark", 2),
    ("ray", 1),
    ("ray", 2),
)
"""Engines and how many processes or threads each has."""
PICTURE = Path(__file__).parents[1] / "docs" / "images" / "scale.svg"


@dataclass(frozen=True, slots=True)
class Measured:
    """One preparation: seconds, MiB of all its processes together at most, and what came of it."""

    engine: str
    workers: int
    rows: int
    seconds: float
    memory: float
    digest: str

    @property
    def label(self) -> str:
        return f"{self.engine}, {self.workers}"


def main(arguments: argparse.Namespace) -> int:
    """Measure every way on every size, print the table and draw it; 1 if two engines gave different bytes."""
    measured: list[Measured] = []
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="veritas-scale-") as directory:
        for rows in arguments.rows:
            root = Path(directory) / f"panel-{rows}"
            print(f"generating {rows:,} rows", flush=True)
            panel = make_panel(root, rows, arguments.assets)
            for engine, workers in WAYS:
                found = _watched(engine, workers, root, panel.rows, Path(directory) / "features")
                print(f"{found.label}: {found.seconds:.1f} s, {found.memory:,.0f} MiB", flush=True)
                measured.append(found)
    _show(measured)
    if arguments.picture:
        draw(measured, PICTURE)
    different = _different(measured)
    for rows in different:
        print(f"the engines gave different features of {rows:,} rows", file=sys.stderr)
    return 1 if different else 0


def _watched(engine: str, workers: int, panel: Path, rows: int, out: Path) -> Measured:
    """Measure in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.scale", "--one", engine, str(workers), str(panel), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, _peak(process.pid) as peak:
        assert process.stdout is not None
        answer = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{engine} with {workers} could not prepare {rows:,} rows")
    found = json.loads(answer.splitlines()[-1])
    return Measured(engine, workers, rows, found["seconds"], peak[0], found["digest"])


@contextmanager
def _peak(pid: int) -> Iterator[list[float]]:
    """The largest sum of a process family's memory, in MiB; what they share counts once."""
    stop, peak = threading.Event(), [0.0]

    def watch() -> None:
        while not stop.wait(0.5):
            try:
                family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            peak[0] = max(peak[0], sum(map(_memory, family)) / 2**20)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        stop.set()
        watcher.join()


def _memory(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


def one(engine: str, workers: int, panel: Path, out: Path) -> dict[str, Any]:
    """Prepare once; `digest` is empty for Polars, whose bytes are others."""
    rows = Dataset.open(panel)
    if engine == POLARS:
        return {"seconds": seconds(lambda: plain_polars(rows, out.with_suffix(".parquet"))), "digest": ""}
    definition = feature_definition(COLUMNS, TARGET)
    digests: list[str] = []
    with tempfile.TemporaryDirectory(dir=out.parent) as place, _engine(engine, workers) as running:
        running.map(abs, list(range(4 * workers)))  # so that workers have started
        destination = Path(place) / "features"
        took = seconds(lambda: digests.append(prepare(rows, definition, running, destination).dataset.digest))
    return {"seconds": took, "digest": digests[0]}


def _engine(name: str, workers: int) -> PrepEnginePort:
    from veritasvault.adapters.dask_prep import DaskPrepEngine
    from veritasvault.adapters.inline_prep import InlinePrepEngine
    from veritasvault.adapters.ray_prep import RayPrepEngine
    from veritasvault.adapters.spark_prep import SparkPrepEngine

    made: Mapping[str, Callable[[], PrepEnginePort]] = {
        "inline": InlinePrepEngine,
        "dask": lambda: DaskPrepEngine(workers=workers),
        "spark": lambda: SparkPrepEngine(f"local[{workers}]"),
        "ray": lambda: RayPrepEngine(workers=workers),
    }
    return made[name]()


def plain_polars(rows: Dataset, out: Path) -> None:
    """The same columns by Polars' expressions: everything in memory, as one would write it in a notebook."""
    import polars as pl

    of_asset = {"partition_by": "asset", "order_by": "date"}
    squares = pl.col("r") ** 2

    def volatility(of: pl.Expr, window: int) -> pl.Expr:
        return (252 * of.rolling_mean(window)).sqrt().over(**of_asset)

    close, r = pl.col("close"), pl.col("r")
    priced = (
        pl.read_parquet(rows.paths)
        .with_columns(close.log().diff().over(**of_asset).alias("r"))
        .with_columns(pl.int_range(pl.len()).over(**of_asset).alias("number"))
    )
    market = (
        priced.group_by("date")
        .agg(r.mean().alias("m"))
        .sort("date")
        .select("date", (252 * (pl.col("m") ** 2).rolling_mean(21)).sqrt().alias("market_vol_21"))
    )
    features = priced.select(
        "asset",
        "date",
        "number",
        r.alias("log_return"),
        (252 * squares).sqrt().alias("rv_1"),
        volatility(squares, 5).alias("rv_5"),
        volatility(squares, 21).alias("rv_21"),
        volatility(squares, 63).alias("rv_63"),
        volatility(r.clip(upper_bound=0) ** 2, 21).alias("rsv_21"),
        close.log().diff(21).over(**of_asset).alias("momentum_21"),
        (close / close.rolling_max(252).over(**of_asset) - 1).alias("drawdown_252"),
        (252 * squares.rolling_mean(5).shift(-5)).sqrt().over(**of_asset).alias("target"),
    )
    kept = features.filter(pl.col("number") >= 252).join(market, on="date", how="left")
    kept.drop("number").write_parquet(out)


def _show(measured: Sequence[Measured]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Preparation by size")
    for heading in ("engine, workers", "rows", "seconds", "/ Polars", "peak memory, MiB"):
        table.add_column(heading, justify="left" if heading.startswith("engine") else "right")
    limits = {found.rows: found.seconds for found in measured if found.engine == POLARS}
    for found in measured:
        ratio = f"{found.seconds / limits[found.rows]:.2f}"
        table.add_row(found.label, f"{found.rows:,}", f"{found.seconds:.1f}", ratio, f"{found.memory:,.0f}")
    Console().print(table)


def _different(measured: Sequence[Measured]) -> list[int]:
    """Sizes of which not all engines gave the same bytes."""
    digests: dict[int, set[str]] = {}
    for found in measured:
        if found.digest:
            digests.setdefault(found.rows, set()).add(found.digest)
    return [rows for rows, of_size in digests.items() if len(of_size) > 1]


def draw(measured: Sequence[Measured], picture: Path) -> None:
    """Seconds and memory over rows, both logarithmic, a line for each way."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    lines: dict[str, list[Measured]] = {}
    for found in measured:
        lines.setdefault(found.label, []).append(found)
    with mpl.rc_context({"svg.hashsalt": "veritasvault", "svg.fonttype": "none"}):
        figure = Figure(figsize=(10, 4), layout="constrained")
        for axes, of, title in zip(
            figure.subplots(1, 2),
            (lambda one: one.seconds, lambda one: one.memory),
            ("seconds", "peak memory of all processes, MiB"),
            strict=True,
        ):
            for label, found in lines.items():
                style = {"color": "black", "linestyle": "--"} if label.startswith(POLARS) else {}
                axes.loglog(
                    [one.rows for one in found], [of(one) for one in found], marker="o", label=label, **style
                )
            axes.set(title=title, xlabel="rows")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(LogLocator(subs=(1, 3)))
                axis.set_major_formatter("{x:,.0f}")
                axis.set_minor_locator(NullLocator())
            axes.grid(alpha=0.3)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", title="engine, workers")
        figure.savefig(picture, metadata={"Date": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[10**6, 3 * 10**6, 10**7, 3 * 10**7], metavar="N"
    )
    parser.add_argument(
        "--assets", type=int, help="how many assets, 20 to 20,000; default: each has 5,000 days"
    )
    parser.add_argument("--picture", action="store_true", help=f"draw {PICTURE.name} anew")
    parser.add_argument("--directory", help="where panels and features go, for a while")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        name, count, rows_at, features_at = given.one
        print(json.dumps(one(name, int(count), Path(rows_at), Path(features_at))))
        sys.exit(0)
    sys.exit(main(given))
