"""The cross-section: the market's mean log return of each date, exact in any order of parts.

Floating-point sums depend on their order, hence on partitions and workers. Returns are therefore rounded to
fixed point, 2**-44 (6e-14), and added as integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.registry.errors import InvalidInput
from domain.risk.features.declare import Feature
from domain.risk.features.panel import Integers, Panel
from domain.risk.features.windows import Floats

_SCALE = float(1 << 44)
_HEADROOM = 1 << 62


@dataclass(frozen=True, slots=True)
class MarketSums:
    """Per date: the sum of the assets' fixed-point log returns and their number; dates ascend.

    Attributes:
        largest: a bound of each return's size in fixed point, to know that no sum over several parts
            overflows; 0 once nothing is left to be added on these dates.
    """

    date: Integers
    total: NDArray[np.int64]
    count: NDArray[np.int64]
    largest: int = 0

    @classmethod
    def of_panel(cls, panel: Panel) -> MarketSums:
        """Sums over the assets of one panel.

        Raises:
            InvalidInput: a return is not finite, or so large that a sum could overflow.
        """
        counted = panel.position > 0
        return cls.of_returns(panel.date[counted], panel.returns[counted])

    @classmethod
    def of_returns(cls, date: Integers, returns: Floats) -> MarketSums:
        """Sums over log returns, in any order; both of shape (n,).

        Raises:
            InvalidInput: a return is not finite, or so large that a sum could overflow.
        """
        fixed = np.rint(returns * _SCALE)
        largest = float(np.max(np.abs(fixed), initial=0.0))
        if not largest < _HEADROOM:
            raise InvalidInput("close", largest / _SCALE, "correct the prices, a log return is out of range")
        ones = np.ones(len(fixed), dtype=np.int64)
        return _added(date, fixed.astype(np.int64), ones, int(largest))

    @classmethod
    def successive(cls, blocks: Sequence[MarketSums]) -> MarketSums:
        """The sums of blocks that follow each other in time, at least one."""
        return cls(
            np.concatenate([block.date for block in blocks]),
            np.concatenate([block.total for block in blocks]),
            np.concatenate([block.count for block in blocks]),
        )

    @classmethod
    def merged(cls, parts: Sequence[MarketSums]) -> MarketSums:
        """The sums of several parts, in any order.

        Raises:
            InvalidInput: a sum could overflow.
        """
        return _added(
            np.concatenate([part.date for part in parts]),
            np.concatenate([part.total for part in parts]),
            np.concatenate([part.count for part in parts]),
            max(part.largest for part in parts),
        )

    def last(self, dates: int) -> MarketSums:
        """Those of the last so many dates."""
        start = max(0, len(self.date) - dates)
        return MarketSums(self.date[start:], self.total[start:], self.count[start:])

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; sums as text, since they can be greater than what JSON numbers hold exactly."""
        return {
            "date": self.date.tolist(),
            "total": [str(total) for total in self.total.tolist()],
            "count": self.count.tolist(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> MarketSums:
        """Read what `to_json` gives."""
        total = np.array([int(total) for total in value["total"]], dtype=np.int64)
        date = np.array(value["date"], dtype=np.int32)
        return cls(date, total, np.array(value["count"], dtype=np.int64))

    def panel(self) -> Panel:
        """The market as one asset: its mean log return on each date that has one."""
        return Panel.of_market(self.date, self.total / self.count / _SCALE)


_NONE = np.empty(0, dtype=np.int64)
NO_SUMS = MarketSums(_NONE.astype(np.int32), _NONE, _NONE)
"""Of no dates."""


def _added(date: Integers, total: NDArray[np.int64], count: NDArray[np.int64], largest: int) -> MarketSums:
    dates, place = np.unique(date, return_inverse=True)
    counts = np.zeros(len(dates), dtype=np.int64)
    np.add.at(counts, place, count)
    if largest * int(np.max(counts, initial=0)) >= _HEADROOM:
        raise InvalidInput("close", largest / _SCALE, "correct the prices, the sum of log returns overflows")
    totals = np.zeros(len(dates), dtype=np.int64)
    np.add.at(totals, place, total)
    return MarketSums(dates, totals, counts, largest)


@dataclass(frozen=True, slots=True)
class MarketFactors:
    """The cross-sectional features by date, dates ascending; NaN where their window is not complete."""

    date: Integers
    values: Mapping[str, Floats]

    @classmethod
    def of(cls, sums: MarketSums, features: Sequence[Feature]) -> MarketFactors:
        """Compute the features on the market's series.

        Raises:
            InvalidInput: a feature uses prices, which the market does not have.
        """
        panel = sums.panel()
        values = {}
        for feature in features:
            computed = feature(panel)
            complete = panel.position >= feature.rows - 1
            if np.any(np.isnan(computed[complete])):
                raise InvalidInput(f"features.{feature.name}", "NaN", "a market feature may use returns only")
            values[feature.name] = np.where(complete, computed, np.nan)
        return cls(panel.date, values)

    def since(self, start: int) -> MarketFactors:
        """Those of the dates from an index on."""
        return MarketFactors(
            self.date[start:], {name: values[start:] for name, values in self.values.items()}
        )

    def at(self, name: str, date: Integers) -> Floats:
        """A feature's values at the dates; NaN at dates the market has no value for."""
        if not len(self.date):
            return np.full(len(date), np.nan)
        place = np.minimum(np.searchsorted(self.date, date), len(self.date) - 1)
        return np.where(self.date[place] == date, self.values[name][place], np.nan)


NO_FACTORS = MarketFactors(np.empty(0, dtype=np.int32), {})
"""For definitions without cross-sectional features."""
