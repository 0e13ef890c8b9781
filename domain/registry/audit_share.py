"""Which models an audit reads: a share that rotates by day, so that each has its turn in a period."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Self

from domain.registry.manifest import ModelId

_DIGITS = 16
"""How many hexadecimal digits of a model id decide its turn: 2^64 is more than the days of any period."""


@dataclass(frozen=True, slots=True)
class Share:
    """The models whose turn it is on some days in a row.

    A model's turn is one day of each period, decided by its id alone. So registrations change nobody else's
    turn, and a model registered today is read within the period as well.

    Attributes:
        first, day: the first and the last of the days, both included.
        period: in how many days every model has its turn once, from 1.
    """

    first: dt.date
    day: dt.date
    period: int

    @classmethod
    def following(cls, last: Share | None, day: dt.date, period: int) -> Self:
        """The share of an audit on a day, with the turns of the days on which there was none since the last.

        An audit of a day that has one already reads the same again.
        """
        if last is None:
            return cls(day, day, period)
        if day <= last.day:
            return cls(last.first, last.day, period)
        return cls(last.day + dt.timedelta(days=1), day, period)

    def has(self, model_id: ModelId) -> bool:
        """Whether a model's turn is on one of the days."""
        turn = int(model_id[:_DIGITS], 16) % self.period
        waiting = (turn - self.first.toordinal()) % self.period
        return waiting <= (self.day - self.first).days
