"""A feature set of the sample panel, computed here with plain numpy: an oracle of the tests' own."""

from __future__ import annotations

import gzip
import io
from functools import cache
from importlib import resources

import numpy as np
import polars as pl
from numpy.typing import NDArray

from domain.risk.training_set import TrainingSet, label_ends

HORIZON = 5
DECAY, TERMS = 0.94, 126
Floats = NDArray[np.float64]


@cache
def prices() -> pl.DataFrame:
    """Closing prices of 20 stocks of the S&P 500, 1990 to 2022: Date, and one column for each stock."""
    packed = resources.files("skfolio.datasets") / "data" / "sp500_dataset.csv.gz"
    return pl.read_csv(io.BytesIO(gzip.decompress(packed.read_bytes())), try_parse_dates=True)


@cache
def real_training_set() -> TrainingSet:
    """The whole panel as a training set."""
    table = prices()
    days = table["Date"].to_numpy().astype("datetime64[D]")
    stocks = sorted(table.columns[1:])
    close = table.select(stocks).to_numpy().astype(np.float64)
    return training_set(stocks, days, close)


def training_set(stocks: list[str], days: NDArray[np.datetime64], close: Floats) -> TrainingSet:
    """The training set of prices of shape (days, stocks)."""
    returns = np.log(close[1:] / close[:-1])
    returns = np.vstack([np.full((1, close.shape[1]), np.nan), returns])
    squares = returns**2
    market = np.nanmean(np.nan_to_num(returns), axis=1, keepdims=True) ** 2 * np.ones(close.shape[1])
    decay = (1 - DECAY) * DECAY ** np.arange(TERMS)
    columns = {
        "log_return": returns,
        **{f"rv_{n}": annualised(windowed(squares, np.ones(n) / n)) for n in (1, 5, 21, 63)},
        "ewma_vol": annualised(windowed(squares, decay / decay.sum())),
        "momentum_21": np.log(close / shifted(close, 21)),
        "drawdown_252": close / np.max([shifted(close, k) for k in range(252)], axis=0) - 1,
        "market_vol_21": annualised(windowed(market, np.ones(21) / 21)),
    }
    target = np.full_like(close, np.nan)
    target[:-HORIZON] = columns["rv_5"][HORIZON:]
    kept = np.isfinite(columns["drawdown_252"]).T
    assets = np.repeat(np.arange(len(stocks)), kept.sum(axis=1))
    dates = np.tile(days, (len(stocks), 1))[kept]
    return TrainingSet(
        asset_names=tuple(stocks),
        expected=tuple(stocks),
        names=tuple(columns),
        horizon=HORIZON,
        assets=assets,
        dates=dates,
        label_ends=label_ends(assets, dates, HORIZON),
        features=np.column_stack([values.T[kept] for values in columns.values()]),
        target=target.T[kept],
    )


def shifted(values: Floats, rows: int) -> Floats:
    """Values so many rows earlier; NaN where there are none."""
    moved = np.full_like(values, np.nan)
    moved[rows:] = values[: values.shape[0] - rows]
    return moved


def windowed(values: Floats, weights: Floats) -> Floats:
    """Weighted sum over trailing rows, the latest first."""
    total = np.zeros_like(values)
    for back, weight in enumerate(weights):
        total += weight * shifted(values, back)
    return total


def annualised(variance: Floats) -> Floats:
    return np.sqrt(252 * variance)
