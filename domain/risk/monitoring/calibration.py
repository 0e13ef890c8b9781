"""What a statistic is worth: compared with the largest values that each year of the history had.

Values of successive sessions, of features and of assets depend on each other so much that no table of a
distribution holds for them. What is used here instead is that years are alike: if the coming 250 sessions
are exchangeable with those of the history, the largest value of the coming ones is as likely to take any
place among theirs. So it exceeds all of n years with a probability of 1 / (n + 1) at most, whatever the
distribution is and however many sessions, features and kinds of drift are looked at. See docs/adr/0021.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from domain.registry.errors import InvalidInput
from domain.risk.training_set import Floats

YEAR = 250
"""Sessions for which a rate of false alarms is stated."""

_TRIMMED = 0.1
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Calibration:
    """How several statistics behaved together in the years of a history.

    Attributes:
        centre, scale: mean and standard deviation of each statistic's yearly largest but for the highest
            tenth of them, shape (k,). So no extreme year has a say in the units that it is measured in;
            otherwise it would be less extreme while it belongs to the history than when it comes.
        largest: each year's largest standardised value of any statistic, ascending, shape (n,).
    """

    centre: Floats
    scale: Floats
    largest: Floats

    @classmethod
    def of(cls, history: Floats) -> Self:
        """Calibrate on the years of a history, counted back from its end.

        Args:
            history: the statistics of each session, shape (s, k), more for more drift; NaN in the first
                sessions, whose windows are not complete. These belong to no year.

        Raises:
            InvalidInput: not one year is complete.
        """
        complete = history[np.all(np.isfinite(history), axis=1)]
        years = len(complete) // YEAR
        if years == 0:
            raise InvalidInput(
                "monitoring.window_sessions",
                len(history),
                f"give a reference of at least {YEAR} sessions with complete windows, "
                f"this one has {len(complete)}",
            )
        blocks = complete[len(complete) - years * YEAR :].reshape(years, YEAR, -1)
        maxima = blocks.max(axis=1)
        usual = np.sort(maxima, axis=0)[: max(1, years - math.ceil(years * _TRIMMED))]
        centre, scale = usual.mean(axis=0), usual.std(axis=0)
        units = cls(centre, np.where(scale > 0.0, scale, np.maximum(np.abs(centre), _TINY)), np.zeros(0))
        return cls(units.centre, units.scale, np.sort(units.standardised(maxima).max(axis=1)))

    @property
    def years(self) -> int:
        return int(self.largest.size)

    def standardised(self, values: Floats) -> Floats:
        """Statistics in units that make their yearly largest values comparable, shape as given (..., k)."""
        found: Floats = (values - self.centre) / self.scale
        return found

    def p_values(self, values: Floats) -> Floats:
        """The probability that 250 sessions without drift have any statistic so large, shape as given.

        Corrected for all statistics and sessions at once by the distribution of the largest one: Westfall
        and Young (1993), "Resampling-Based Multiple Testing", single-step maxT.
        """
        reached = self.years - np.searchsorted(self.largest, self.standardised(values), "left")
        p_values: Floats = np.asarray((1.0 + reached) / (self.years + 1.0), dtype=np.float64)
        return p_values

    def rate(self, wanted: float) -> float:
        """The rate of false alarms that is kept: the wanted one, or the lowest that so few years can tell."""
        return max(wanted, 1.0 / (self.years + 1.0))

    def years_for(self, rate: float) -> int:
        """How many years of history a rate needs."""
        return math.ceil(1.0 / rate - 1.0)
