"""Small price panels for tests."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl

FIRST = dt.date(2020, 1, 1)


def walk(assets: int = 20, days: int = 60, seed: int = 0) -> pl.DataFrame:
    """Long rows asset, date, close of independent random walks on consecutive days from `FIRST`."""
    moves = np.random.default_rng(seed).normal(0.0, 0.01, (assets, days))
    closes = 100.0 * np.exp(moves.cumsum(axis=1))
    return pl.DataFrame(
        {
            "asset": np.repeat([f"A{number:02d}" for number in range(assets)], days),
            "date": [FIRST + dt.timedelta(day) for day in range(days)] * assets,
            "close": closes.ravel(),
        }
    )


def day(number: int) -> dt.date:
    """The date of a panel's row by its number, from 0."""
    return FIRST + dt.timedelta(number)


def parquet(frame: pl.DataFrame, path: Path) -> Path:
    """The frame as a Parquet file."""
    frame.write_parquet(path)
    return path


def csv(frame: pl.DataFrame, path: Path) -> Path:
    """The frame as a CSV file."""
    frame.write_csv(path)
    return path
