"""Blocks: how rows are cut along time, so that as-of dates share the history they have in common.

A block is twelve weeks, counted from a Monday and fixed for ever: neither a new day, nor a new asset, nor a
row that was inserted moves the border of a block.
"""

from __future__ import annotations

import datetime as dt

import numpy as np
from numpy.typing import NDArray

BLOCK_DAYS = 84
"""Calendar days of a block: 60 sessions of a stock exchange. Shorter ones cost more files, longer ones more
recomputed rows in the block that grows; the warm-up of 252 rows weighs more than either."""

SUFFIX = ".parquet"
FEATURES, LABELS = "features-", "labels-"
"""What the names of a feature set's parts begin with; rows have one part per block and no prefix."""

_EPOCH = dt.date(1970, 1, 1)
_MONDAY = 3  # 1970-01-01 was a Thursday.

Days = NDArray[np.int32]


def block_of(date: Days) -> Days:
    """The first day of the block of each date; days since 1970-01-01, shape as given."""
    return (date + _MONDAY) // BLOCK_DAYS * BLOCK_DAYS - _MONDAY


def part_name(block: int, prefix: str = "") -> str:
    """The file name of a block's part, such as `features-2022-11-28.parquet`; names sort by time."""
    return f"{prefix}{iso(block)}{SUFFIX}"


def block_named(name: str) -> int:
    """The first day of the block that a part's name says."""
    return (dt.date.fromisoformat(name.removesuffix(SUFFIX)[-10:]) - _EPOCH).days


def iso(day: int) -> str:
    """A day since 1970-01-01 as YYYY-MM-DD."""
    return (_EPOCH + dt.timedelta(days=day)).isoformat()
