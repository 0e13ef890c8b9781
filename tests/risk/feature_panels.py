"""Panels for tests of features: canonical rows on disk, and the full definition."""

from __future__ import annotations

import gzip
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from domain.risk.dataset import Dataset
from domain.risk.feature_set import feature_table
from domain.risk.features import FeatureDefinition, Panel, feature_definition
from domain.risk.history import RowVectors
from domain.risk.row_blocks import write_blocks

COLUMNS = (
    *("log_return", "rv_1", "rv_5", "rv_21", "rv_63", "rsv_21", "ewma_vol", "momentum_21", "momentum_252"),
    *("drawdown_252", "market_vol_5", "market_vol_21"),
)
TARGET = "realised_volatility_5_ahead"


def full_definition() -> FeatureDefinition:
    return feature_definition(COLUMNS, TARGET)


def walks(assets: int, days: int, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Prices of independent random walks by name."""
    random = np.random.default_rng(seed)
    return {f"A{number:03d}": 50 * np.exp(random.normal(0, 0.02, days).cumsum()) for number in range(assets)}


def panel(close: NDArray[np.float64], first: int = 0) -> Panel:
    """One asset on consecutive days from `first`."""
    days = np.arange(first, first + len(close), dtype=np.int32)
    return Panel.of_prices(np.zeros(len(close), dtype=np.int32), days, close)


def write_rows(
    prices: dict[str, NDArray[np.float64]], root: Path, dates: dict[str, NDArray[np.int32]] | None = None
) -> Dataset:
    """Canonical rows; each asset's dates are consecutive days up to a common last one, unless given."""
    last = max(len(close) for close in prices.values())
    names = tuple(sorted(prices))
    days = [
        dates[name] if dates else np.arange(last - len(prices[name]), last, dtype=np.int32) for name in names
    ]
    assets = np.arange(len(names), dtype=np.int32).repeat([len(prices[name]) for name in names])
    closes = np.concatenate([prices[name] for name in names])
    return write_blocks(RowVectors(names, assets, np.concatenate(days), closes), root)


def sample_rows(root: Path) -> Dataset:
    """The real panel that skfolio ships: 20 stocks, 1990 to 2022."""
    packed = resources.files("skfolio.datasets") / "data" / "sp500_dataset.csv.gz"
    table = pl.read_csv(gzip.decompress(packed.read_bytes()), try_parse_dates=True)
    days = table["Date"].cast(pl.Date).cast(pl.Int32).to_numpy()
    names = table.columns[1:]
    return write_rows({name: table[name].to_numpy() for name in names}, root, dict.fromkeys(names, days))


def values_of(features: Dataset) -> dict[tuple[str, object], tuple[object, ...]]:
    """A feature set's rows by (asset, date), without the target."""
    rows = {}
    for row in feature_table(features).to_pylist():
        asset, date, *columns, _ = row.values()
        rows[asset, date] = tuple(columns)
    return rows
