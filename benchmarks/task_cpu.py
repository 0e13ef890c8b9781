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

from benchmarks.report import Line, show

LIMIT = 1.5
DAG_ID = "volatility_forecast"
AS_OF = "2022-12-28"


def measure() -> list[Line]:
    """One run on a real scheduler, then the same calls here, each in a home of its own."""
    from veritasvault.airflow_local.environment import dags_folder
    from veritasvault.airflow_local.supervisor import LocalAirflow

    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        given = {**os.environ, "VERITAS_HOME": str(home / "scheduled")}
        with LocalAirflow(home / "airflow", dags_folder(), parallelism=2, given=given) as airflow:
            before = airflow.task_cpu_seconds()
            run = airflow.client.trigger(DAG_ID, {"as_of": AS_OF})
            if (state := airflow.client.wait(DAG_ID, run, 600)) != "success":
                raise SystemExit(f"the run ended as {state}: {airflow.client.tasks(DAG_ID, run)}")
            tasks = airflow.task_cpu_seconds() - before
            number = len(airflow.client.tasks(DAG_ID, run))
            # The same thread pins and switches as the tasks had.
            environment = {**airflow.environment, "VERITAS_HOME": str(home / "cold")}
        cold = _cold(environment)
    return [
        Line(f"{number} task processes, CPU s", tasks, None),
        Line("the same calls in one cold process, CPU s", cold, None),
        Line("ratio", tasks / cold, LIMIT),
    ]


def _cold(environment: Mapping[str, str]) -> float:
    """CPU seconds of a new process that makes the calls, and of the workers it starts."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.task_cpu", "--cold"], env=dict(environment))
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the calls failed in one process")
    return usage.ru_utime + usage.ru_stime


def make_the_calls() -> None:
    """What the tasks of the DAG do, without Airflow."""
    from domain.risk.pipeline import RunRequest
    from veritasvault.airflow_local.environment import dags_folder
    from veritasvault.bootstrap import bootstrap

    application = bootstrap()
    pipeline = application.pipeline(dags_folder() / f"{DAG_ID}.toml")
    rows = pipeline.ingest(RunRequest(run_after=dt.datetime.now(dt.UTC), as_of=AS_OF))
    features = pipeline.prepare(rows, "dask")
    validation = pipeline.validate(features, "cold")
    pipeline.register(pipeline.train(features, {}), validation, application.provenance())


if __name__ == "__main__":
    if sys.argv[1:] == ["--cold"]:
        make_the_calls()
    else:
        sys.exit(show("Task processes", measure()))
