"""Market regimes: calm, normal and stressed sessions, by what was known when a forecast was made."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from domain.risk.dataset import Dataset
from domain.risk.features.library import market_vol_21
from domain.risk.features.market import MarketFactors, MarketSums
from domain.risk.history import all_rows
from domain.risk.training_set import Days, Floats

REGIMES = ("calm", "normal", "stressed")
"""The thirds of the tested sessions by market volatility, the lowest first."""


@dataclass(frozen=True, slots=True)
class MarketVolatility:
    """Realised volatility over 21 days of the mean return of all assets, by session.

    Attributes:
        dates: ascending, shape (n,), datetime64[D].
        values: annualised decimals, shape (n,); NaN where the 21 days are not complete.
    """

    dates: Days
    values: Floats

    @classmethod
    def of(cls, rows: Dataset) -> MarketVolatility:
        """From the canonical rows that a run may see.

        Raises:
            IntegrityError: a part of the rows changed since it was sealed.
            InvalidInput: a return is out of range.
        """
        sums = MarketSums.of_panel(all_rows(rows).panel)
        factors = MarketFactors.of(sums, [market_vol_21])
        return cls(factors.date.astype("datetime64[D]"), factors.values[market_vol_21.name])

    def at(self, dates: Days) -> Floats:
        """The values at the dates, shape as theirs; NaN at dates without one."""
        if not self.dates.size:
            return np.full(dates.shape, np.nan)
        place = np.minimum(np.searchsorted(self.dates, dates), self.dates.size - 1)
        return np.where(self.dates[place] == dates, self.values[place], np.nan)


def regime_of(dates: Days, market: MarketVolatility) -> Floats:
    """For each row its place in `REGIMES`, shape as that of `dates`; NaN where the volatility is not known.

    The volatility is the one of the forecast's own session. Only where the thirds are cut is known
    afterwards: at the terciles of the sessions among `dates`, each counted once.
    """
    volatility = market.at(dates)
    of_sessions = market.at(np.unique(dates))
    known = of_sessions[np.isfinite(of_sessions)]
    if not known.size:
        return np.full(dates.shape, np.nan)
    cuts = np.quantile(known, [1 / 3, 2 / 3])
    return np.where(np.isfinite(volatility), np.searchsorted(cuts, volatility), np.nan)
