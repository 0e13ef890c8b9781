"""Trading calendars from the `exchange_calendars` package."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import Any

from domain.registry.errors import InvalidInput

REACH = dt.timedelta(days=31)
"""How far from a day the sessions before and after it may lie; the longest closure took under half a year."""

LONGEST_CLOSURE = dt.timedelta(days=250)
FIRST_YEAR, LAST_YEAR = 1901, 2200


class ExchangeCalendar:
    """Sessions and closes of the exchanges that `exchange_calendars` knows, and of `24/7`."""

    def last_closed(self, calendar: str, instant: dt.datetime) -> dt.date:
        """The last session whose close is at or before the instant.

        Raises:
            InvalidInput: no such calendar, an instant outside its range or without a time zone.
        """
        if instant.tzinfo is None:
            raise InvalidInput("instant", instant.isoformat(), "add a time zone")
        _in_range(instant.date())
        for reach in (REACH, LONGEST_CLOSURE):
            closes = self._covering(calendar, instant.date() - reach, instant.date()).closes
            closed = closes[closes <= instant]
            if len(closed):
                session: dt.date = closed.index[-1].date()
                return session
        raise InvalidInput("as_of", instant.isoformat(), f"choose a date by which {calendar} had a session")

    def sessions(self, calendar: str, start: dt.date, stop: dt.date) -> list[dt.date]:
        """The sessions from start to stop, both included.

        Raises:
            InvalidInput: no such calendar, or dates outside its range.
        """
        if start > stop:
            return []
        covering = self._covering(calendar, start, stop)
        return [session.date() for session in covering.sessions if start <= session.date() <= stop]

    def first_session(self, calendar: str, day: dt.date) -> dt.date:
        """The first session on a day or after it.

        Raises:
            InvalidInput: no such calendar, or none within its range.
        """
        sessions = self.sessions(calendar, day, day + REACH) or self.sessions(
            calendar, day, day + LONGEST_CLOSURE
        )
        if not sessions:
            raise InvalidInput("as_of", day.isoformat(), f"choose a date before a session of {calendar}")
        return sessions[0]

    def closes_at(self, calendar: str, session: dt.date) -> dt.datetime:
        """The moment a session closes, in UTC.

        Raises:
            InvalidInput: no such calendar, or no session on that date.
        """
        closes = self._covering(calendar, session, session).closes
        close = closes.get(session.isoformat())
        if close is None:
            raise InvalidInput("session", session.isoformat(), f"choose a date on which {calendar} trades")
        moment: dt.datetime = close.to_pydatetime().astimezone(dt.UTC)
        return moment

    def _covering(self, calendar: str, start: dt.date, stop: dt.date) -> Any:
        """The calendar over whole years, as building costs time and years are asked for again.

        Where a calendar begins or ends within a year, it is built for the dates alone.
        """
        _in_range(start)
        _in_range(stop)
        try:
            return _built(calendar, dt.date(start.year, 1, 1), dt.date(stop.year, 12, 31))
        except InvalidInput:
            return _built(calendar, start, stop)


def _in_range(date: dt.date) -> None:
    if not FIRST_YEAR <= date.year < LAST_YEAR:
        raise InvalidInput("as_of", date.isoformat(), f"choose a date between {FIRST_YEAR} and {LAST_YEAR}")


@lru_cache(maxsize=32)
def _built(calendar: str, start: dt.date, stop: dt.date) -> Any:
    import exchange_calendars
    from exchange_calendars.errors import CalendarError, InvalidCalendarName

    try:
        # A calendar needs two days at least.
        first = min(start, stop - dt.timedelta(days=1))
        return exchange_calendars.get_calendar(calendar, start=first.isoformat(), end=stop.isoformat())
    except InvalidCalendarName as error:
        raise InvalidInput("calendar", calendar, f"use {_near(calendar)}") from error
    except (CalendarError, ValueError, OverflowError) as error:
        reason = str(error).split(",")[0].rstrip(".")
        raise InvalidInput(
            "as_of", f"{start} to {stop}", f"choose a date that {calendar} covers ({reason})"
        ) from error


def _near(calendar: str) -> str:
    """Names that look like the one that does not exist."""
    import difflib

    import exchange_calendars

    names = exchange_calendars.get_calendar_names(include_aliases=True)
    near = difflib.get_close_matches(str(calendar).upper(), names, n=3)
    return " or ".join(near or ["XNYS", "24/7"])
