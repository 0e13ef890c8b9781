"""Which moment a run stands for, and which session's data it may therefore see."""

from __future__ import annotations

import datetime as dt
import re

from domain.registry.errors import InvalidInput
from domain.risk.ports import CalendarPort

PLACEHOLDER = "{as_of}"
CLOCK_SKEW = dt.timedelta(minutes=5)
"""How far a scheduler's clock may run ahead of a worker's before a moment counts as the future."""

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def instant_of(
    as_of: str | dt.date | None,
    logical_date: dt.datetime | None,
    run_after: dt.datetime | None,
    now: dt.datetime,
    timezone: dt.tzinfo = dt.UTC,
) -> dt.datetime:
    """Return the aware moment a run stands for: `as_of`, else `logical_date`, else `run_after`.

    A calendar date means the end of that day in `timezone`, but never later than `now`. Data intervals are
    not looked at, because manual runs get them in ways of their own.

    Args:
        as_of: YYYY-MM-DD, an ISO 8601 moment with an offset, or None or "" for not given.

    Raises:
        InvalidInput: the value cannot be read, has no offset, or lies in the future; names the field.
    """
    if as_of is not None and as_of != "":
        return _moment("as_of", as_of, now, timezone)
    if logical_date is not None:
        return _moment("logical_date", logical_date, now, timezone)
    if run_after is not None:
        return _moment("run_after", run_after, now, timezone)
    raise InvalidInput("as_of", None, "give a date, this run has neither a logical date nor a run_after")


def resolve_session(calendars: CalendarPort, calendar: str, instant: dt.datetime) -> dt.date:
    """Return the last session of the trading calendar that had closed at the instant.

    Raises:
        InvalidInput: no such calendar, or an instant outside its range.
    """
    return calendars.last_closed(calendar, instant)


def fill_source(uri: str, session: dt.date) -> str:
    """Return the URI with `{as_of}` replaced by the session as YYYY-MM-DD.

    Raises:
        InvalidInput: another placeholder is left.
    """
    resolved = uri.replace(PLACEHOLDER, session.isoformat())
    if re.search(r"\{[^{}]*\}", resolved):
        raise InvalidInput("source", uri, f"use no placeholder but {PLACEHOLDER}")
    return resolved


def _moment(field: str, value: str | dt.date, now: dt.datetime, timezone: dt.tzinfo) -> dt.datetime:
    parsed = _parsed(field, value) if isinstance(value, str) else value
    if isinstance(parsed, dt.datetime):
        return _aware(field, value, parsed, now)
    if parsed > now.astimezone(timezone).date():
        raise InvalidInput(
            field, _text(value), f"choose a date that is not in the future, now is {_text(now)}"
        )
    try:
        end_of_day = dt.datetime.combine(parsed + dt.timedelta(days=1), dt.time(), timezone)
        return min(end_of_day.astimezone(dt.UTC), now.astimezone(dt.UTC))
    except OverflowError as error:
        raise InvalidInput(field, _text(value), "choose a date that calendars can reach") from error


def _parsed(field: str, value: str) -> dt.date:
    try:
        if _DATE.fullmatch(value):
            return dt.date.fromisoformat(value)
        if "T" in value or " " in value:
            return dt.datetime.fromisoformat(value)
    except ValueError:
        pass
    raise InvalidInput(
        field, value, "give a date as YYYY-MM-DD or a moment such as 2022-12-28T21:00:00+00:00"
    )


def _aware(field: str, value: str | dt.date, moment: dt.datetime, now: dt.datetime) -> dt.datetime:
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise InvalidInput(field, _text(value), "add an offset from UTC, such as +00:00")
    try:
        # Schedulers hand over subclasses of datetime, and adding to pendulum's loses its time zone.
        moment = dt.datetime.fromisoformat(moment.isoformat()).astimezone(dt.UTC)
    except OverflowError as error:
        raise InvalidInput(field, _text(value), "choose a moment that calendars can reach") from error
    if moment - now > CLOCK_SKEW:
        raise InvalidInput(
            field, _text(value), f"choose a moment that is not in the future, now is {_text(now)}"
        )
    return min(moment, now.astimezone(dt.UTC))


def _text(value: str | dt.date) -> str:
    return value if isinstance(value, str) else value.isoformat()
