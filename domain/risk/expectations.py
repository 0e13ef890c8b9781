"""What raw prices and prepared features are expected to look like, as data; validators do the checking."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

KEY = ("asset", "date")


@dataclass(frozen=True, slots=True)
class PriceChecks:
    """Thresholds of what counts as suspicious in a price panel.

    The defaults pass on 33 years of 20 US stocks, in which one thinly traded stock stood still for up to 69
    sessions, and real one-day moves reached a factor of 0.48 down and 1.53 up.

    Attributes:
        longest_gap: sessions in a row that an asset may miss between two of its rows.
        longest_break: calendar days that may lie between two sessions of the panel.
        shortest_stale: from how many equal closes in a row on a price may count as stale.
        stale_likelihood: a run of equal closes is stale when it is less likely than this, given how often the
            asset's close is unchanged in the `neighbourhood` sessions on either side of the run.
        split_ratios: factors by which splits and reverse splits change a price.
        split_tolerance: how far, in log terms, a jump may be from such a factor or its inverse.
        unexplained_jump: absolute log return beyond which a jump of any size is suspicious.
        reversal_sessions: a jump after which the price comes back within so many sessions is no split...
        reversal_distance: ...if it comes back to within this log distance of the old price.
    """

    longest_gap: int = 5
    longest_break: int = 10
    shortest_stale: int = 10
    stale_likelihood: float = 1e-9
    neighbourhood: int = 252
    split_ratios: tuple[float, ...] = (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 30, 40, 50, 100)
    split_tolerance: float = 0.03
    unexplained_jump: float = 1.0
    reversal_sessions: int = 42
    reversal_distance: float = 0.2


@dataclass(frozen=True, slots=True)
class Columns:
    """The table has these columns in this order; kinds are 'text', 'date' and 'number'."""

    kinds: tuple[tuple[str, str], ...]
    unmet: str = "the columns or their types differ: {value}"


@dataclass(frozen=True, slots=True)
class Filled:
    """No cell of the column is null."""

    column: str
    unmet: str = "{asset} on {date} has no {column}"


@dataclass(frozen=True, slots=True)
class Unique:
    """No two rows agree in these columns."""

    columns: tuple[str, ...] = KEY
    unmet: str = "{asset} on {date} has more than one row"


@dataclass(frozen=True, slots=True)
class Between:
    """Every value of the column that is not null lies between the bounds; NaN lies nowhere.

    Attributes:
        open_below: the minimum itself is out of bounds.
        unmet: the sentence for a cell out of bounds, with {asset}, {date}, {column} and {value}.
    """

    column: str
    minimum: float
    maximum: float
    open_below: bool = False
    unmet: str = "{asset} on {date} has {column} {value}, outside of its bounds"


Expectation = Columns | Filled | Unique | Between

LARGEST = 1e300
"""A bound that every finite figure keeps and infinities break."""

MOST_VOLATILE = 50.0
"""Annualised volatility of 5000 %, a one-day move by a factor of 23: beyond it lie errors, not markets."""

_VOLATILITY = re.compile(r"(rv|rsv|ewma_vol|market_vol|realised_volatility)(_\d+)?(_ahead)?")
_DRAWDOWN = re.compile(r"drawdown(_\d+)?")


def row_expectations(checks: PriceChecks, measures: Sequence[str] = ()) -> tuple[Expectation, ...]:
    """What is expected of raw rows with the columns that `price_anomalies` derives.

    Args:
        measures: columns of the rows beside asset, date and close; they have to be there and finite.
    """
    numbers = ("close", *measures)
    return (
        Columns((("asset", "text"), ("date", "date"), *((name, "number") for name in numbers))),
        *(Filled(name) for name in ("asset", "date", *numbers)),
        Unique(),
        Between("close", 0.0, LARGEST, open_below=True, unmet="{asset} on {date} has a close of {value}"),
        Between(
            "missed_sessions",
            0,
            checks.longest_gap,
            unmet="{asset} misses {value} sessions in a row before {date}",
        ),
        Between(
            "break_days",
            0,
            checks.longest_break,
            unmet="no asset has a row in the {value} days before {date}, where {asset} goes on",
        ),
        Between(
            "stale_sessions",
            0,
            checks.shortest_stale - 1,
            unmet="{asset} has the same close on {value} sessions in a row up to {date}",
        ),
        Between(
            "split_jump",
            0.0,
            0.0,
            unmet="{asset} jumps by a factor of {factor} on {date}, like a split without adjustment",
        ),
        *(Between(name, -LARGEST, LARGEST) for name in measures),
    )


def feature_expectations(columns: Sequence[str], target: str) -> tuple[Expectation, ...]:
    """What is expected of a feature set: asset, date, the feature columns in order, and the target."""
    numbers = (*columns, target)
    return (
        Columns((("asset", "text"), ("date", "date"), *((name, "number") for name in numbers))),
        *(Filled(name) for name in (*KEY, *columns)),
        Unique(),
        *(_range_of(name) for name in numbers),
        Between("open_label", 0, 0, unmet="{asset} on {date} has no target although later rows have one"),
        Between("unknown_row", 0, 0, unmet="{asset} on {date} has features but no price"),
    )


def _range_of(name: str) -> Between:
    """The library's volatilities and drawdowns have bounds; anything else has to be finite."""
    if _VOLATILITY.fullmatch(name):
        return Between(name, 0.0, MOST_VOLATILE)
    if _DRAWDOWN.fullmatch(name):
        return Between(name, -1.0, 0.0)
    return Between(name, -LARGEST, LARGEST)
