"""Shocks of share prices: features that show them, and the dates on which the market's are known to be."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np

from domain.risk.features import Panel, feature, lagged, log, target
from domain.risk.features.library import realised_volatility
from domain.risk.features.surprise import surprise
from domain.risk.features.windows import Floats

QUARTER = 63
"""Sessions that a session is compared with."""

WEEK = 5

_LEAST_RETURN = 1e-4


@dataclass(frozen=True, slots=True)
class KnownShock:
    """A time of unusual moves of US shares that is on record, first and last session included."""

    name: str
    first: dt.date
    last: dt.date


def _shock(name: str, first: str, last: str | None = None) -> KnownShock:
    return KnownShock(name, dt.date.fromisoformat(first), dt.date.fromisoformat(last or first))


# Collected from the reports of the time and since, before any detector was run on them: SEC and CFTC on 27
# October 1997 (1998) and on 6 May 2010 (2010); the Presidents' Working Group on LTCM (1999); the Financial
# Crisis Inquiry Report (2011); SEC on 24 August 2015 (2015); BIS Quarterly Review of March 2018 on 5 February
# 2018; FSB, Holistic Review of the March Market Turmoil (2020); S&P Dow Jones Indices on the largest daily
# moves of the S&P 500. A list like this is never complete: unlisted unusual days count as false alarms.
KNOWN_SHOCKS = (
    _shock("invasion of Kuwait", "1990-08-06", "1990-08-23"),
    _shock("Gulf War begins", "1991-01-17"),
    _shock("Asian crisis", "1997-10-27", "1997-10-28"),
    _shock("Russian default", "1998-08-27", "1998-09-01"),
    _shock("LTCM", "1998-10-07", "1998-10-15"),
    _shock("dot-com fall", "2000-04-14"),
    _shock("surprise rate cut", "2001-01-03"),
    _shock("reopening after 11 September", "2001-09-17", "2001-09-21"),
    _shock("accounting scandals", "2002-07-19", "2002-07-29"),
    _shock("Shanghai fall", "2007-02-27"),
    _shock("emergency rate cut", "2008-01-22", "2008-01-23"),
    _shock("Lehman and after", "2008-09-15", "2008-12-01"),
    _shock("banks near the trough", "2009-01-20", "2009-03-23"),
    _shock("flash crash", "2010-05-06", "2010-05-10"),
    _shock("downgrade of US debt", "2011-08-04", "2011-08-11"),
    _shock("24 August 2015", "2015-08-24", "2015-08-26"),
    _shock("Brexit vote", "2016-06-24"),
    _shock("volatility products collapse", "2018-02-05", "2018-02-08"),
    _shock("Christmas Eve 2018", "2018-12-24", "2018-12-26"),
    _shock("pandemic", "2020-02-24", "2020-04-09"),
    _shock("second wave fears", "2020-06-11"),
    _shock("retailers' warnings", "2022-05-18"),
    _shock("inflation report of June 2022", "2022-06-13"),
    _shock("inflation report of September 2022", "2022-09-13"),
    _shock("inflation report of November 2022", "2022-11-10"),
)


@feature(rows=QUARTER + 2)
def return_surprise(panel: Panel) -> Floats:
    """Surprise in the log return beside the 63 before."""
    return surprise(panel.returns, QUARTER, _LEAST_RETURN)


@feature(rows=QUARTER + WEEK + 1)
def volatility_surge(panel: Panel) -> Floats:
    """Log ratio of the volatility of 5 days to that of the 63 before."""
    return _surge(panel)


@feature(rows=2, of_market=True)
def market_return(panel: Panel) -> Floats:
    """Log return of the market, the mean of all assets."""
    return panel.returns


@feature(rows=QUARTER + 2, of_market=True)
def market_return_surprise(panel: Panel) -> Floats:
    """Surprise in the market's log return beside the 63 before."""
    return surprise(panel.returns, QUARTER, _LEAST_RETURN)


@feature(rows=QUARTER + WEEK + 1, of_market=True)
def market_volatility_surge(panel: Panel) -> Floats:
    """Log ratio of the market's volatility over 5 days to that of the 63 before."""
    return _surge(panel)


@target(horizon=1, classes=tuple(shock.name for shock in KNOWN_SHOCKS))
def known_shock(panel: Panel) -> Floats:
    """The known shock of the row's session, known a row later; detectors are judged by it."""
    days = lagged(panel.date.astype(np.float64), 1)
    values = np.zeros(len(panel))
    for code, shock in enumerate(KNOWN_SHOCKS, start=1):
        first, last = (np.datetime64(day, "D").astype(np.int64) for day in (shock.first, shock.last))
        values[(days >= first) & (days <= last)] = code
    return values


def _surge(panel: Panel) -> Floats:
    ahead = np.maximum(realised_volatility(panel, WEEK), _LEAST_RETURN)
    before = np.maximum(lagged(realised_volatility(panel, QUARTER), WEEK), _LEAST_RETURN)
    return log(ahead / before)
