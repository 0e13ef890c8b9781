"""Airflow's price: the processor time of a run's task processes, against the same calls in one cold process.

Imports are most of both, and each task process pays for its own.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import Line, show

if TYPE_CHECKING:
    from veritasvault.airflow_local.supervisor import LocalAirflow

LIMIT = 1.5
DAG_ID = "volatility_forecast"
AS_OF = "2022-12-28"
WAIT_SECONDS = 900.0


def measure() -> list[Line]:
    """One run on a real scheduler, then the same calls here, each in a home of its own."""
    from veritasvault.airflow_local.environment import dags_folder
    from veritasvault.airflow_local.supervisor import LocalAirflow

    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        given = {**os.environ, "VERITAS_HOME": str(home / "scheduled")}
        with LocalAirflow(home / "airflow", dags_folder(), parallelism=2, given=given) as airflow:
            run_id = _one_run(airflow)
            tasks = airflow.task_cpu_seconds()
            number = len(airflow.client.tasks(DAG_ID, run_id))
            # The same thread pins and switches as the tasks had.
            environment = {**airflow.environment, "VERITAS_HOME": str(home / "cold")}
        cold = _cold(environment, AS_OF)
    return [
        Line(f"{number} task processes, CPU s", tasks, None),
        Line("the same calls in one cold process, CPU s", cold, None),
        Line("ratio", tasks / cold, LIMIT),
    ]


def _one_run(airflow: LocalAirflow) -> str:
    """The id of a run for `AS_OF` that has succeeded."""
    run_id = airflow.client.trigger(DAG_ID, {"as_of": AS_OF})
    state = airflow.client.wait(DAG_ID, run_id, WAIT_SECONDS)
    if state != "success":
        raise SystemExit(f"expected a run that succeeds: {airflow.client.runs(DAG_ID)}")
    return run_id


def _cold(environment: Mapping[str, str], as_of: str) -> float:
    """CPU seconds of a new process that makes the calls, and of the workers it starts."""
    command = [sys.executable, "-m", "benchmarks.task_cpu", "--cold", as_of]
    process = subprocess.Popen(command, env=dict(environment))
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the calls failed in one process")
    return usage.ru_utime + usage.ru_stime


def make_the_calls(as_of: str) -> None:
    """What the tasks of the DAG do, without Airflow."""
    from domain.risk.pipeline import RunRequest
    from veritasvault.airflow_local.environment import dags_folder
    from veritasvault.bootstrap import bootstrap

    application = bootstrap()
    pipeline = application.pipeline(dags_folder() / f"{DAG_ID}.toml")
    rows = pipeline.ingest(RunRequest(run_after=dt.datetime.now(dt.UTC), as_of=as_of))
    features = pipeline.prepare(rows, "dask")
    validation = pipeline.validate(features, "cold")
    pipeline.register(pipeline.train(features, {}), validation, application.provenance())


if __name__ == "__main__":
    if sys.argv[1:2] == ["--cold"]:
        make_the_calls(sys.argv[2])
    else:
        sys.exit(show("Task processes", measure()))
