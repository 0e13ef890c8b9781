"""The moment a run stands for: a parameter, else the logical date, else when it was due."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.registry.errors import InvalidInput
from domain.risk.as_of import CLOCK_SKEW, fill_source, instant_of, resolve_session

NOW = dt.datetime(2022, 12, 28, 15, 30, tzinfo=dt.UTC)
PAST = st.integers(0, 12000).map(
    lambda days: dt.datetime(1990, 1, 1, 9, 30, tzinfo=dt.UTC) + dt.timedelta(days)
)
ZONES = st.sampled_from(["UTC", "America/New_York", "Asia/Tokyo", "Pacific/Apia"]).map(ZoneInfo)


@given(logical=st.none() | PAST, run_after=PAST)
def test_the_parameter_wins_over_the_logical_date_and_that_over_run_after(
    logical: dt.datetime | None, run_after: dt.datetime
) -> None:
    assert instant_of("2001-02-03", logical, run_after, NOW) == dt.datetime(2001, 2, 4, tzinfo=dt.UTC)
    assert instant_of(None, logical, run_after, NOW) == (logical or run_after)
    assert instant_of("", logical, run_after, NOW) == (logical or run_after)


@given(date=st.dates(dt.date(1990, 1, 1), dt.date(2022, 12, 27)), zone=ZONES)
def test_a_date_means_the_end_of_that_day_in_the_time_zone(date: dt.date, zone: ZoneInfo) -> None:
    instant = instant_of(date.isoformat(), None, None, NOW, zone)
    end = dt.datetime.combine(date + dt.timedelta(days=1), dt.time(), zone)
    assert instant == min(end.astimezone(dt.UTC), NOW)
    assert instant_of(date, None, None, NOW, zone) == instant


@given(now=PAST, back=st.integers(-3, 3), zone=ZONES)
def test_no_instant_is_ever_later_than_now(now: dt.datetime, back: int, zone: ZoneInfo) -> None:
    date = (now - dt.timedelta(days=back)).date()
    try:
        assert instant_of(date.isoformat(), None, None, now, zone) <= now
    except InvalidInput:
        assert date > now.astimezone(zone).date()


def test_today_means_now_because_the_day_is_not_over() -> None:
    assert instant_of("2022-12-28", None, None, NOW) == NOW


@pytest.mark.parametrize("field", ["as_of", "logical_date"])
def test_a_moment_in_the_future_is_refused_and_the_field_is_named(field: str) -> None:
    later = NOW + dt.timedelta(hours=1)
    given = (later.isoformat(), None) if field == "as_of" else (None, later)
    with pytest.raises(
        InvalidInput, match=rf"{field} is .*: choose a moment that is not in the future, now is"
    ):
        instant_of(*given, None, NOW)


def test_a_date_in_the_future_is_refused() -> None:
    with pytest.raises(InvalidInput, match="as_of is '2022-12-29': choose a date that is not in the future"):
        instant_of("2022-12-29", None, None, NOW)


def test_clocks_that_run_ahead_a_little_are_forgiven() -> None:
    assert instant_of(None, None, NOW + CLOCK_SKEW, NOW) == NOW


@given(
    st.text(max_size=30) | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}[+-][0-9]{2}:00)?")
)
def test_any_text_gives_an_instant_in_the_past_or_an_error_that_names_the_field(text: str) -> None:
    try:
        instant = instant_of(text, dt.datetime(2020, 1, 1, tzinfo=dt.UTC), None, NOW)
    except InvalidInput as error:
        named = error.field
    else:
        named = "as_of" if instant <= NOW else "an instant in the future"
    assert named == "as_of"


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("yesterday", "give a date as YYYY-MM-DD"),
        ("2022-02-30", "give a date as YYYY-MM-DD"),
        ("20220228", "give a date as YYYY-MM-DD"),
        ("2022-W01-1", "give a date as YYYY-MM-DD"),
        ("2022-01-01T10:00:00", "add an offset from UTC"),
        ("0001-01-01T00:00:00+05:00", "choose a moment that calendars can reach"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_remedy(text: str, remedy: str) -> None:
    with pytest.raises(InvalidInput, match=f"as_of is '.*': {remedy}"):
        instant_of(text, None, None, NOW)


def test_a_moment_with_an_offset_is_taken_as_it_is() -> None:
    assert instant_of("2022-12-27T16:00:00-05:00", None, None, NOW) == dt.datetime(
        2022, 12, 27, 21, tzinfo=dt.UTC
    )


def test_a_run_without_any_date_is_refused() -> None:
    with pytest.raises(InvalidInput, match="as_of is None: give a date"):
        instant_of(None, None, None, NOW)


def test_the_session_is_what_the_calendar_says_had_closed() -> None:
    class Weekdays:
        def last_closed(self, calendar: str, instant: dt.datetime) -> dt.date:
            assert calendar == "weekdays"
            return instant.date() - dt.timedelta(days=max(0, instant.weekday() - 4))

        def sessions(self, calendar: str, start: dt.date, stop: dt.date) -> list[dt.date]:
            raise NotImplementedError

        def closes_at(self, calendar: str, session: dt.date) -> dt.datetime:
            raise NotImplementedError

    sunday = dt.datetime(2022, 12, 25, 12, tzinfo=dt.UTC)
    assert resolve_session(Weekdays(), "weekdays", sunday) == dt.date(2022, 12, 23)


def test_a_source_may_contain_the_session() -> None:
    session = dt.date(2022, 12, 23)
    assert fill_source("s3://b/{as_of}/p-{as_of}.csv", session) == "s3://b/2022-12-23/p-2022-12-23.csv"
    assert fill_source("sample://sp500", session) == "sample://sp500"
    with pytest.raises(
        InvalidInput, match=r"source is 's3://b/\{date\}.csv': use no placeholder but \{as_of\}"
    ):
        fill_source("s3://b/{date}.csv", session)


def test_a_schedulers_own_kind_of_moment_becomes_a_plain_one() -> None:
    """pendulum's moments lose their time zone when something is added; what comes out never does."""
    import pendulum

    due = pendulum.datetime(2022, 12, 28, 12)
    instant = instant_of(None, due, None, NOW)
    assert type(instant) is dt.datetime
    assert (instant + dt.timedelta(hours=1)).utcoffset() == dt.timedelta()
