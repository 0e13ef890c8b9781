"""A panel several times as large as a worker's memory, prepared by Dask's workers.

Each worker has a limit, at 95 % of which Dask ends it. A task whose worker was ended several times fails the
preparation; the exit code is 0 only where none was. The panel's size is that of its rows, features and
labels as columns in memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.panels import make_panel
from benchmarks.report import seconds
from benchmarks.scale import COLUMNS, TARGET
from domain.risk.dataset import Dataset
from domain.risk.feature_set import feature_parts, label_parts
from domain.risk.features import feature_definition
from domain.risk.preparation import prepare
from veritasvault.adapters.dask_prep import DaskPrepEngine

WORKERS = 2
TIMES = 5
_ROW = 4 + 4 + 8
"""Bytes of an asset's number, a date and one figure."""


def main(arguments: argparse.Namespace) -> int:
    """Prepare, and say how large the panel was beside the limit; 1 if it was not `TIMES` as large."""
    from distributed import LocalCluster

    definition, made = feature_definition(COLUMNS, TARGET), list[Dataset]()
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="veritas-bounded-") as directory:
        print(f"generating {arguments.rows:,} rows", flush=True)
        rows = make_panel(Path(directory) / "rows", arguments.rows)
        with (
            LocalCluster(
                n_workers=WORKERS,
                threads_per_worker=1,
                memory_limit=arguments.limit << 20,
                host="127.0.0.1",
                dashboard_address=None,
            ) as cluster,
            DaskPrepEngine(cluster.scheduler_address) as engine,
        ):
            destination, began = (
                Path(directory) / "features",
                [nanny.pid for nanny in cluster.workers.values()],
            )
            took = seconds(lambda: made.append(prepare(rows, definition, engine, destination).dataset))
            same = began == [nanny.pid for nanny in cluster.workers.values()]
        size = (_in_memory(rows, made[0]) >> 20) / arguments.limit
    print(f"{rows.rows:,} rows in {took:.0f} s; {size:.1f} times the {arguments.limit} MiB of a worker")
    if not same:
        print("a worker was ended for its memory", file=sys.stderr)
    return 0 if size >= TIMES and same else 1


def _in_memory(rows: Dataset, features: Dataset) -> int:
    """Bytes of rows, features and labels as columns."""
    wide = _ROW + 8 * (len(COLUMNS) - 1)
    return _ROW * (rows.rows + label_parts(features).rows) + wide * feature_parts(features).rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=30_000_000, metavar="N")
    parser.add_argument("--limit", type=int, default=512, metavar="MIB", help="memory of each worker")
    parser.add_argument("--directory", help="where panel and features go, for a while")
    sys.exit(main(parser.parse_args()))
