"""When pipelines run by themselves: until the last day of their schedule, and not beyond."""

from __future__ import annotations

import datetime as dt

import pytest
from airflow.timetables.base import DataInterval, TimeRestriction
from pendulum import DateTime

from veritasvault.timetables import CronUntil

START = DateTime(2022, 12, 20, tzinfo=dt.UTC)
LAST = dt.date(2022, 12, 29)


def runs(timetable: CronUntil, latest: DateTime | None = None) -> list[dt.date]:
    """The dates of all runs from the start, as a backfill or a catch-up asks for them."""
    restriction = TimeRestriction(START, latest, catchup=True)
    found: list[dt.date] = []
    interval: DataInterval | None = None
    while info := timetable.next_dagrun_info(last_automated_data_interval=interval, restriction=restriction):
        interval = info.data_interval
        found.append(info.run_after.date())
    return found


def test_the_last_run_is_that_of_the_last_day() -> None:
    assert runs(CronUntil("@daily", LAST)) == [dt.date(2022, 12, day) for day in range(20, 30)]


def test_a_backfill_ends_where_it_was_told_to() -> None:
    assert runs(CronUntil("@daily", LAST), DateTime(2022, 12, 22, tzinfo=dt.UTC))[-1] == dt.date(2022, 12, 22)


@pytest.mark.parametrize("last", [LAST, dt.date(2099, 12, 31)])
def test_a_schedule_runs_now_only_while_it_has_not_ended(last: dt.date) -> None:
    """Without catching up, the next run is the one of today."""
    restriction = TimeRestriction(START, None, catchup=False)
    found = CronUntil("@daily", last).next_dagrun_info(
        last_automated_data_interval=None, restriction=restriction
    )
    assert (found is None) == (last == LAST)


def test_reading_what_was_written_gives_the_same_schedule() -> None:
    """The DAG processor writes it, and the scheduler reads it."""
    written = CronUntil("0 5 * * *", LAST).serialize()
    read = CronUntil.deserialize(written)
    assert (read.serialize(), runs(read)) == (written, runs(CronUntil("0 5 * * *", LAST)))
