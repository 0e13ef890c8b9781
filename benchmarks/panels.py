"""Generated panels: random walks, the same for the same sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from domain.risk.dataset import Dataset
from domain.risk.history import RowVectors
from domain.risk.row_blocks import write_blocks

DAYS = 5_000


def make_panel(root: Path, rows: int, assets: int | None = None) -> Dataset:
    """Daily closes of random walks.

    Args:
        rows: how many, about; each asset has the same number of days.
        assets: how many; as many as have 5,000 days if None.
    """
    width = max(1, round(rows / DAYS)) if assets is None else assets
    days = max(1, round(rows / width))
    moves = np.random.default_rng(0).normal(0.0002, 0.015, (width, days))
    names = tuple(f"A{number:05d}" for number in range(width))
    codes = np.repeat(np.arange(width, dtype=np.int32), days)
    dates = np.tile(np.arange(days, dtype=np.int32), width)
    np.cumsum(moves, axis=1, out=moves)
    np.exp(moves, out=moves)
    return write_blocks(RowVectors(names, codes, dates, 100 * moves.ravel()), root)
