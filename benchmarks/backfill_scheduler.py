"""A backfill on a real scheduler, imports and all: CPU seconds per date, against a single run's.

Both start with an empty workspace in an Airflow of their own. Whole Airflows are compared, from their start
until the last run has ended, and the task processes alone, which do not pay for what the scheduler imported.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.report import Line, show

LIMIT = 0.5
DAG_ID = "volatility_forecast"
FIRST = np.datetime64("2022-09-07")
DATES = 60
WAIT_SECONDS = 7200.0
DAILY, WEEKDAYS = 'every = "@daily"', 'every = "0 0 * * 2-6"'


@dataclass(frozen=True)
class Cost:
    """CPU seconds of an Airflow and of its task processes, and the versions that came of them."""

    whole: float
    tasks: float
    versions: int


def measure(dates: int) -> list[Line]:
    """A single run and a backfill of so many dates, one after the other on the same machine."""
    from tests.places import open_to_others

    with open_to_others() as home:
        dags = _dags(home / "dags")
        single = _backfilled(home / "single", dags, 1)
        many = _backfilled(home / "many", dags, dates)
    whole, tasks = many.whole / many.versions, many.tasks / many.versions
    return [
        Line("a single run: Airflow from its start, CPU s", single.whole, None),
        Line("the same: task processes, CPU s", single.tasks, None),
        Line(f"each of {many.versions} dates: Airflow from its start, CPU s", whole, None),
        Line("the same: task processes, CPU s", tasks, None),
        Line("a date / a single run, Airflow from its start", whole / single.whole, LIMIT),
        Line("a date / a single run, task processes", tasks / single.tasks, None),
    ]


def _dags(folder: Path) -> Path:
    """The project's pipeline, due after each weekday: a run on Sunday repeats Saturday's and costs less."""
    from veritasvault.airflow_local.environment import dags_folder

    folder.mkdir()
    shutil.copy(dags_folder() / f"{DAG_ID}.py", folder)
    specification = (dags_folder() / f"{DAG_ID}.toml").read_text()
    if DAILY not in specification:
        raise SystemExit(f"{DAG_ID}.toml is not due daily any more: mend this benchmark")
    (folder / f"{DAG_ID}.toml").write_text(specification.replace(DAILY, WEEKDAYS))
    return folder


def _backfilled(home: Path, dags: Path, dates: int) -> Cost:
    """What `airflow backfill create` for so many dates costs."""
    from veritasvault.airflow_local.supervisor import LocalAirflow
    from veritasvault.bootstrap import bootstrap

    # The session of a weekday is over when the next day begins.
    due = np.busday_offset(FIRST, [0, dates - 1]) + 1
    given = {**os.environ, "VERITAS_HOME": str(home / "veritas")}
    with LocalAirflow(home / "airflow", dags, parallelism=2, given=given) as airflow:
        states = airflow.backfill(
            DAG_ID, str(due[0]), str(due[1]), "--max-active-runs", "2", seconds=WAIT_SECONDS
        )
        if len(states) != dates or set(states.values()) != {"success"}:
            raise SystemExit(f"expected {dates} runs that succeed: {states}")
        whole, tasks = airflow.cpu_seconds(), airflow.task_cpu_seconds()
        versions = sum(1 for _ in bootstrap({"VERITAS_HOME": given["VERITAS_HOME"]}).catalog.versions(DAG_ID))
    return Cost(whole, tasks, versions)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dates", type=int, default=DATES, help="dates of the backfill (default: 60)")
    sys.exit(show("Backfill on a scheduler", measure(parser.parse_args().dates)))
