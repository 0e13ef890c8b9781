"""Preparing 250 daily as-of dates of one history: blocks shared among them, against each date by itself.

Both are measured in CPU seconds of one process without an engine. Full preparations are measured on a sample
of the dates, whose feature sets have to be the same bytes both ways; 250 of them are 250 times their mean.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Line, show
from domain.risk.dataset import Dataset
from domain.risk.features import feature_definition
from domain.risk.history import RowVectors
from domain.risk.preparation import Prepared, prepare, private_store
from domain.risk.row_blocks import write_blocks
from veritasvault.adapters.inline_prep import InlinePrepEngine

LIMIT = 0.03
FLAT_LIMIT = 1.5
DATES, SAMPLED = 250, 5
HISTORY = 5_000
SHORT_HISTORY = 1_250
COLUMNS = (
    *("log_return", "rv_1", "rv_5", "rv_21", "rv_63", "rsv_21", "ewma_vol"),
    *("momentum_21", "drawdown_252", "market_vol_21"),
)
DEFINITION = feature_definition(COLUMNS, "realised_volatility_5_ahead")


@dataclass(frozen=True)
class Walks:
    """Random walks on weekdays; `close` has shape (assets, sessions)."""

    dates: NDArray[np.int32]
    close: NDArray[np.float64]

    @classmethod
    def of(cls, assets: int, sessions: int) -> Walks:
        days = np.arange(7 * sessions // 5 + 7, dtype=np.int32)
        moves = np.random.default_rng(0).normal(0.0002, 0.015, (assets, sessions))
        return cls(days[(days + 3) % 7 < 5][:sessions], 100 * np.exp(moves.cumsum(axis=1)))

    def until(self, sessions: int) -> RowVectors:
        """The rows of the first sessions."""
        assets = len(self.close)
        names = tuple(f"A{number:05d}" for number in range(assets))
        codes = np.repeat(np.arange(assets, dtype=np.int32), sessions)
        return RowVectors(
            names, codes, np.tile(self.dates[:sessions], assets), self.close[:, :sessions].ravel()
        )


@dataclass(frozen=True)
class Backfill:
    """CPU seconds of a backfill's dates, for writing their rows and for preparing their features."""

    rows: list[float]
    features: list[float]
    prepared: list[Prepared]


def backfill(walks: Walks, dates: Sequence[int], home: Path) -> Backfill:
    """Prepare the dates, given as numbers of sessions, in order from an empty store."""
    store = private_store(home / "store")
    found = Backfill([], [], [])
    for sessions in dates:
        visible = walks.until(sessions)
        began = time.process_time()
        rows = write_blocks(visible, home / f"rows-{sessions}", store)
        written = time.process_time()
        destination = home / f"features-{sessions}"
        found.prepared.append(prepare(rows, DEFINITION, InlinePrepEngine(), destination, store=store))
        found.rows.append(written - began)
        found.features.append(time.process_time() - written)
    return found


def alone(rows: Dataset, destination: Path) -> tuple[float, str]:
    """CPU seconds of a preparation that shares nothing, and its digest."""
    began = time.process_time()
    digest = prepare(rows, DEFINITION, InlinePrepEngine(), destination).dataset.digest
    return time.process_time() - began, digest


def measure(rows: int) -> list[Line]:
    """The lines for a panel of so many rows."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as directory:
        home = Path(directory)
        walks = Walks.of(max(1, round(rows / HISTORY)), HISTORY)
        dates = range(HISTORY - DATES + 1, HISTORY + 1)
        alone(write_blocks(walks.until(SHORT_HISTORY), home / "warm-up"), home / "warmed-up")
        shared = backfill(walks, dates, home)
        full = []
        for place in np.linspace(0, DATES - 1, SAMPLED).round().astype(int).tolist():
            seconds, digest = alone(Dataset.open(home / f"rows-{dates[place]}"), home / f"alone-{place}")
            if digest != shared.prepared[place].dataset.digest:
                raise SystemExit(f"date {place} has other bytes by itself than with shared blocks")
            full.append(seconds)
        short = backfill(walks, range(SHORT_HISTORY - 60, SHORT_HISTORY + 1), home / "short").features[1:]
    each, mean = shared.features[1:], statistics.mean(full)
    return [
        Line(f"full preparation of {rows} rows, CPU s (mean of {SAMPLED})", mean, None),
        Line("first date from an empty store, CPU s", shared.features[0], None),
        Line("each further date, CPU s (median)", statistics.median(each), None),
        Line("each further date, rows in blocks, CPU s (median)", statistics.median(shared.rows[1:]), None),
        Line("blocks computed for all dates", sum(one.computed for one in shared.prepared), None),
        Line(f"{DATES} dates shared / {DATES} full", sum(shared.features) / (DATES * mean), LIMIT),
        Line(
            f"a date after {HISTORY} sessions / after {SHORT_HISTORY}",
            statistics.median(each) / statistics.median(short),
            FLAT_LIMIT,
        ),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the panel (default: 1 million)")
    sys.exit(show("Backfill", measure(parser.parse_args().rows)))
