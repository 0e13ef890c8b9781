"""When pipelines run by themselves, and until when."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Self

from airflow.timetables.trigger import CronTriggerTimetable

if TYPE_CHECKING:
    from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction


class CronUntil(CronTriggerTimetable):  # type: ignore[misc]
    """A cron expression in UTC that ends on a day.

    A DAG's own `end_date` would do more than that: Airflow then creates no task in a run that a person starts
    with a later logical date, which its form proposes, and calls that run a success.
    """

    def __init__(self, cron: str, until: dt.date) -> None:
        super().__init__(cron, timezone="UTC")
        self._until = until

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:
        return cls(data["expression"], dt.date.fromisoformat(data["until"]))

    def serialize(self) -> dict[str, Any]:
        return {"expression": self._expression, "until": self._until.isoformat()}

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """The next run, if it is not after midnight, UTC, of the last day."""
        end = dt.datetime.combine(self._until, dt.time(), dt.UTC)
        found = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        return None if found is None or found.run_after > end else found
