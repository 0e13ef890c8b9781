"""Airflow's price: the processor time of a run's task processes, against the same calls in one cold process.

Imports are most of both, and each task process pays for its own.
"""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.report import Line, show

if TYPE_CHECKING:
    from veritasvault.airflow_local.supervisor import LocalAirflow

LIMIT = 1.5
DAG_ID = "volatility_forecast"
WAIT_SECONDS = 900.0


def measure() -> list[Line]:
    """One run on a real scheduler, then the same calls here, each in a home of its own."""
    from veritasvault.airflow_local.environment import dags_folder
    from veritasvault.airflow_local.supervisor import LocalAirflow

    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        given = {**os.environ, "VERITAS_HOME": str(home / "scheduled")}
        with LocalAirflow(home / "airflow", dags_folder(), parallelism=2, given=given) as airflow:
            run = _only_run(airflow)
            tasks = airflow.task_cpu_seconds()
            number = len(airflow.client.tasks(DAG_ID, run["dag_run_id"]))
            # The same thread pins and switches as the tasks had.
            environment = {**airflow.environment, "VERITAS_HOME": str(home / "cold")}
        cold = _cold(environment, run["logical_date"][:10])
    return [
        Line(f"{number} task processes, CPU s", tasks, None),
        Line("the same calls in one cold process, CPU s", cold, None),
        Line("ratio", tasks / cold, LIMIT),
    ]


def _only_run(airflow: LocalAirflow) -> dict[str, Any]:
    """The run that the scheduler starts by itself, for the last date of the DAG, once it has ended."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not (runs := airflow.client.runs(DAG_ID)):
        if time.monotonic() > deadline:
            raise SystemExit(f"the scheduler started no run of {DAG_ID}")
        time.sleep(0.5)
    state = airflow.client.wait(DAG_ID, runs[0]["dag_run_id"], WAIT_SECONDS)
    if state != "success" or len(airflow.client.runs(DAG_ID)) != 1:
        raise SystemExit(f"expected one run that succeeds: {airflow.client.runs(DAG_ID)}")
    return runs[0]


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
