"""A running Airflow with DAGs, and the registry that their tasks write to."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from veritasvault.airflow_local.client import FINAL_STATES
from veritasvault.airflow_local.supervisor import LocalAirflow
from veritasvault.bootstrap import Application, bootstrap

READ_ONCE = {"AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600"}
"""Airflow's setting for DAG files that nobody changes: reading all every half minute is a tenth of a core."""


@dataclass(frozen=True)
class Platform:
    """A running Airflow, and the registry its tasks write to."""

    airflow: LocalAirflow
    environment: dict[str, str]

    @property
    def registry(self) -> Application:
        return bootstrap(self.environment)

    def versions(self, name: str) -> list[tuple[int, dt.date]]:
        rows = self.registry.catalog.versions(name)
        return sorted((row.version, row.as_of) for row in rows if row.as_of is not None)

    def ended(self, dag_id: str, run_id: str) -> str:
        """The state a run ended in; on failure with what its failed tasks logged."""
        state = self.airflow.client.wait(dag_id, run_id, 600)
        if state != "success":
            tasks = self.airflow.client.tasks(dag_id, run_id)
            failed = [name for name, task in tasks.items() if task["state"] == "failed"]
            logs = [
                self.airflow.client.log(dag_id, run_id, name, tasks[name]["try_number"]) for name in failed
            ]
            return "\n".join([state, *failed, *logs])
        return state

    def waits_for_retry(self, dag_id: str, run_id: str) -> str | None:
        """The task of a run that failed and is to be tried again; None if the run ends without one."""
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            for name, task in self.airflow.client.tasks(dag_id, run_id).items():
                if task["state"] == "up_for_retry":
                    return name
            if self.airflow.client.run(dag_id, run_id)["state"] in FINAL_STATES:
                return None
            time.sleep(0.5)
        raise AssertionError(f"run {run_id} goes on and on")

    def log_of(self, dag_id: str, run_id: str, task: str) -> str:
        """What the last try of a task logged."""
        tried = self.airflow.client.tasks(dag_id, run_id)[task]["try_number"]
        return self.airflow.client.log(dag_id, run_id, task, tried)

    def returned(self, dag_id: str, run_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.airflow.client.xcom(dag_id, run_id, "register")
        return answer


def clean_environment() -> dict[str, str]:
    """This process's, without what the user has set for Airflow or for us: a test says what it needs."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "VERITAS"))}


@contextmanager
def running_airflow(
    directory: Path, dags: Path, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[tuple[LocalAirflow, dict[str, str]]]:
    """An Airflow on these DAGs, with a registry in the directory, and all that was set for them."""
    environment = {"VERITAS_HOME": str(directory / "veritas"), "VERITAS_RETRY_SECONDS": "2", **settings}
    given = {**clean_environment(), **READ_ONCE, **environment}
    with LocalAirflow(directory / "airflow", dags, given=given) as airflow:
        yield airflow, environment
