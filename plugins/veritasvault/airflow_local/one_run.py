"""One run of a DAG in this process, without a scheduler; tells its progress in JSON lines on a descriptor.

Run as `python -m veritasvault.airflow_local.one_run DAG_ID PARAMS DESCRIPTOR` in an environment of
`base_environment`. The lines are {"step": …}, {"tasks": […]}, {"task": …, "state": …, "seconds": …}
and at last {"state": …, "results": {task: what it returned}, "error": …}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import DAG

Tell = Callable[[Mapping[str, Any]], None]


def run_dag(dag_id: str, params: Mapping[str, Any], tell: Tell) -> None:
    """Run a DAG of the DAGs folder and tell what happens; a failed task ends the run, not this function."""
    tell({"step": "loading Airflow"})
    _prepare_metadata(tell)
    tell({"step": "reading the DAG"})
    dag, error = _load(dag_id)
    if dag is None:
        tell({"state": "failed", "results": {}, "error": error})
        return
    tell({"tasks": [task.task_id for task in dag.topological_sort()]})
    progress = _watch(tell)
    # Without a logical date every run is a new one, and the parameter alone says what it stands for.
    run = dag.test(logical_date=None, run_conf=dict(params))
    instances = run.get_task_instances()
    results = {
        one.task_id: one.xcom_pull(task_ids=one.task_id) for one in instances if one.state == "success"
    }
    tell({"state": str(run.state), "results": results, "error": progress.error})


def _prepare_metadata(tell: Tell) -> None:
    """Make the tables once for each version of Airflow: that takes longer than a run's own bookkeeping."""
    done = Path(os.environ["AIRFLOW_HOME"], "migrated")
    wanted = version("apache-airflow")
    if done.is_file() and done.read_text() == wanted:
        return
    from airflow.utils.db import initdb

    tell({"step": "making Airflow's database"})
    initdb()
    done.write_text(wanted)


def _load(dag_id: str) -> tuple[DAG | None, str]:
    """A DAG of the DAGs folder, or why there is none."""
    from airflow.dag_processing.bundles.manager import DagBundlesManager
    from airflow.dag_processing.dagbag import DagBag

    manager = DagBundlesManager()
    manager.sync_bundles_to_db()
    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    if dag_id in bag.dags:
        return bag.dags[dag_id], ""
    reasons = [f"{file}: {trace.strip().splitlines()[-1]}" for file, trace in bag.import_errors.items()]
    return None, "; ".join(reasons) or f"no DAG file defines {dag_id}"


class _Progress:
    """What the listener saw last."""

    error = ""


def _watch(tell: Tell) -> _Progress:
    from airflow.listeners import hookimpl
    from airflow.sdk.listener import get_listener_manager

    progress = _Progress()
    began: dict[str, float] = {}

    def report(task_id: str, state: str) -> None:
        seconds = time.monotonic() - began.get(task_id, time.monotonic())
        tell({"task": task_id, "state": state, "seconds": round(seconds, 1)})

    class Listener:
        """Airflow calls it around each task."""

        @hookimpl
        def on_task_instance_running(self, previous_state: object, task_instance: Any) -> None:
            began[task_instance.task_id] = time.monotonic()
            report(task_instance.task_id, "running")

        @hookimpl
        def on_task_instance_success(self, previous_state: object, task_instance: Any) -> None:
            report(task_instance.task_id, "success")

        @hookimpl
        def on_task_instance_failed(self, previous_state: object, task_instance: Any, error: Any) -> None:
            progress.error = f"{task_instance.task_id}: {error}"
            report(task_instance.task_id, "failed")

    get_listener_manager().add_listener(Listener())
    return progress


def _teller(file: IO[str]) -> Tell:
    def tell(event: Mapping[str, Any]) -> None:
        file.write(json.dumps(event, default=str) + "\n")
        file.flush()

    return tell


if __name__ == "__main__":
    with os.fdopen(int(sys.argv[3]), "w") as pipe:
        run_dag(sys.argv[1], json.loads(sys.argv[2]), _teller(pipe))
