"""Trading calendars: which session had closed at an instant."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.registry.errors import InvalidInput
from veritasvault.adapters.exchange_calendar import ExchangeCalendar, _built

CALENDARS = ExchangeCalendar()


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("calendar", "instant", "session"),
    [
        ("XNYS", "2022-12-28T20:59:59+00:00", "2022-12-27"),
        ("XNYS", "2022-12-28T21:00:00+00:00", "2022-12-28"),
        ("XNYS", "2022-12-28T16:00:00-05:00", "2022-12-28"),
        ("XNYS", "2022-11-25T18:00:00+00:00", "2022-11-25"),  # closes at one, the day after Thanksgiving
        ("XNYS", "2022-12-26T23:00:00+00:00", "2022-12-23"),  # a weekend and an observed holiday
        ("XNYS", "2022-01-01T00:00:00+00:00", "2021-12-31"),  # over the end of a year
        ("XNYS", "2001-09-16T12:00:00+00:00", "2001-09-10"),  # closed for days
        ("XNYS", "1990-01-01T12:00:00+00:00", "1989-12-29"),
        ("24/7", "2022-12-25T00:00:00+00:00", "2022-12-24"),
        ("24/7", "2022-12-25T23:59:59+00:00", "2022-12-24"),
        ("XTKS", "2022-12-28T06:00:00+00:00", "2022-12-28"),
        ("XHKG", "2022-12-28T21:00:00+00:00", "2022-12-28"),
    ],
)
def test_the_last_session_that_closed_by_the_instant(calendar: str, instant: str, session: str) -> None:
    assert CALENDARS.last_closed(calendar, at(instant)) == dt.date.fromisoformat(session)


@given(day=st.dates(dt.date(2018, 1, 1), dt.date(2021, 12, 31)), hour=st.integers(0, 23))
def test_a_session_is_the_last_closed_from_its_close_to_the_next_ones(day: dt.date, hour: int) -> None:
    instant = dt.datetime.combine(day, dt.time(hour), dt.UTC)
    session = CALENDARS.last_closed("XNYS", instant)
    following = CALENDARS.sessions("XNYS", session, session + dt.timedelta(days=12))
    assert following[0] == session
    assert CALENDARS.closes_at("XNYS", session) <= instant < CALENDARS.closes_at("XNYS", following[1])


def test_sessions_include_both_ends_and_no_holidays() -> None:
    sessions = CALENDARS.sessions("XNYS", dt.date(2022, 12, 23), dt.date(2023, 1, 3))
    assert sessions == [dt.date(2022, 12, day) for day in (23, 27, 28, 29, 30)] + [dt.date(2023, 1, 3)]
    assert CALENDARS.sessions("XNYS", dt.date(2022, 12, 24), dt.date(2022, 12, 26)) == []
    assert CALENDARS.sessions("XNYS", dt.date(2022, 12, 26), dt.date(2022, 12, 24)) == []
    assert len(CALENDARS.sessions("24/7", dt.date(2022, 1, 1), dt.date(2022, 12, 31))) == 365


@pytest.mark.parametrize(
    ("calendar", "day", "session"),
    [
        ("XNYS", "2022-12-28", "2022-12-28"),
        ("XNYS", "2022-12-24", "2022-12-27"),  # a weekend and an observed holiday
        ("XNYS", "2001-09-11", "2001-09-17"),  # closed for days
        ("24/7", "2022-12-25", "2022-12-25"),
    ],
)
def test_the_first_session_on_a_day_or_after_it(calendar: str, day: str, session: str) -> None:
    assert CALENDARS.first_session(calendar, dt.date.fromisoformat(day)) == dt.date.fromisoformat(session)


def test_the_sessions_of_the_sample_panel_are_those_of_new_york() -> None:
    """From another source than the calendar: the panel's own dates."""
    import tempfile
    from pathlib import Path

    import polars as pl

    from veritasvault.adapters.uri_source import UriSource

    with tempfile.TemporaryDirectory() as directory:
        dates = pl.read_parquet(UriSource().fetch("sample://sp500", Path(directory)))["date"].unique().sort()
    assert CALENDARS.sessions("XNYS", dates[0], dates[-1]) == dates.to_list()


@pytest.mark.parametrize(
    ("calendar", "instant", "sentence"),
    [
        ("NYSE!", "2022-12-28T21:00:00+00:00", "calendar is 'NYSE!': use NYSE"),
        ("", "2022-12-28T21:00:00+00:00", "calendar is ''"),
        ("XKRX", "1950-01-05T21:00:00+00:00", "choose a date that XKRX covers .*1956"),
        ("XHKG", "2060-01-05T21:00:00+00:00", "choose a date that XHKG covers .*2049"),
        ("XNYS", "1850-01-05T21:00:00+00:00", "as_of is '1850-01-05': choose a date between 1901 and 2200"),
        ("XNYS", "9999-12-31T21:00:00+00:00", "choose a date between 1901 and 2200"),
        ("XNYS", "0001-01-01T00:00:00+00:00", "choose a date between 1901 and 2200"),
        ("XNYS", "2022-12-28T21:00:00", "add a time zone"),
    ],
)
def test_what_no_calendar_can_answer_gets_one_sentence(calendar: str, instant: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        CALENDARS.last_closed(calendar, at(instant))


def test_a_calendar_that_ends_within_the_year_after_next_month_still_answers_today() -> None:
    """Shanghai's holidays are recorded to the end of 2026, and no further."""
    assert CALENDARS.last_closed("XSHG", at("2026-12-31T12:00:00+00:00")) == dt.date(2026, 12, 31)


def test_a_date_without_a_session_has_no_close() -> None:
    with pytest.raises(InvalidInput, match="session is '2022-12-25': choose a date on which XNYS trades"):
        CALENDARS.closes_at("XNYS", dt.date(2022, 12, 25))


def test_a_calendar_is_built_once_for_the_instants_of_a_year() -> None:
    _built.cache_clear()
    for day in range(1, 29):
        CALENDARS.last_closed("XNYS", dt.datetime(2022, 6, day, tzinfo=dt.UTC))
    assert _built.cache_info().misses == 1
