"""How old a champion may be before it has to be replaced or confirmed, by risk tier."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from domain.registry.metadata import RiskTier

DAYS: Mapping[RiskTier, int] = MappingProxyType({RiskTier.HIGH: 31, RiskTier.MEDIUM: 92, RiskTier.LOW: 366})
"""How many days old a champion may be, where nobody decided otherwise: a month, a quarter, a year."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long a champion may be in use.

    Attributes:
        since: the day it is counted from: the as-of date, or for a model that was trained elsewhere the day
            of its registration, after which it has seen nothing either.
        days: how many days after it the champion may still be in use.
    """

    since: dt.date
    days: int

    @property
    def last_day(self) -> dt.date:
        """The last day on which the champion is not overdue."""
        return self.since + dt.timedelta(days=self.days)

    def age(self, today: dt.date) -> int:
        """Days since the data ends."""
        return (today - self.since).days

    def overdue(self, today: dt.date) -> int:
        """By how many days the champion is overdue; 0 if it is not."""
        return max(0, self.age(today) - self.days)
