"""The rows of one partition as vectors: what kernels see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.registry.errors import InvalidInput
from domain.risk.features.windows import Floats, lagged, log

Integers = NDArray[np.int32]


@dataclass(frozen=True)
class Panel:
    """Rows of assets, one asset after the other, each in the order of dates; vectors of shape (n,).

    A panel may begin long after an asset's first row and end long before its last. Kernels are told nothing
    of what lies beyond, as a value has to be the same wherever the rows are cut.

    Attributes:
        date: days since 1970-01-01.
        position: how many rows of the same asset come before, in this panel.
        close: closing prices; NaN for the market, which has returns but no price.
        returns: log returns since the asset's row before; meaningless where position is 0.
        measures: further columns of the rows by name, those that features declare to need.
    """

    date: Integers
    position: Integers
    close: Floats
    returns: Floats
    measures: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def of_prices(
        cls,
        asset: NDArray[Any],
        date: Integers,
        close: Floats,
        measures: Mapping[str, Floats] | None = None,
    ) -> Panel:
        """A partition's rows, sorted by (asset, date); `asset` holds any code that tells assets apart."""
        return cls(date, positions(asset), close, log(close / lagged(close, 1)), measures or {})

    @classmethod
    def of_market(cls, date: Integers, returns: Floats) -> Panel:
        """The market as if it were one asset. Position counts from 1: its first return is a real one."""
        position = np.arange(1, len(date) + 1, dtype=np.int32)
        return cls(date, position, np.full(len(date), np.nan), returns)

    def __len__(self) -> int:
        return len(self.date)

    def measure(self, name: str) -> Floats:
        """A column of the rows beside the price, shape (n,).

        Raises:
            InvalidInput: no feature or target of the definition declares that it needs it.
        """
        if name not in self.measures:
            raise InvalidInput("measures", name, f'declare what a kernel needs: measures=("{name}",)')
        return self.measures[name]

    @cached_property
    def squared(self) -> Floats:
        """Squared log returns; many kernels start from them."""
        return self.returns * self.returns


def positions(asset: NDArray[Any]) -> Integers:
    """For each row, sorted by asset, how many rows of its asset come before."""
    starts = np.append(0, np.flatnonzero(asset[1:] != asset[:-1]) + 1).astype(np.int32)
    rows = np.arange(len(asset), dtype=np.int32)
    return rows - np.repeat(starts, np.diff(starts, append=len(asset)))
