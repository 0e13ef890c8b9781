"""Experiment runs in MLflow: in an embedded SQLite store, or on a tracking server by its URL."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.registry.errors import InvalidInput
from domain.risk.ports import TrackedRun
from veritasvault.adapters.mlflow_client import MlflowServer

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY_TAG = "veritas.key"


class MlflowTracker:
    """Keeps parameters, metrics, tags and plots of trainings; no model is logged, so nothing is inferred.

    Runs are found by the tag `veritas.key`. On the embedded store a file lock makes search and creation one
    step; on a server two clients may both create a run, then all but the earliest are deleted again.
    """

    def __init__(self, tracking_uri: str, artifact_location: Path) -> None:
        """Remember where; nothing is opened or imported yet.

        Args:
            tracking_uri: `sqlite:////path/mlflow.db`, or `http(s)://host:port` of a server.
            artifact_location: directory for plots of the embedded store; a server has its own.

        Raises:
            InvalidInput: another scheme.
        """
        self._server = MlflowServer(tracking_uri, "tracking")
        self._artifacts = artifact_location

    def track(self, run: TrackedRun) -> str:
        """Record the run, idempotent in its key, and return MLflow's run id.

        Raises:
            Unavailable: the store or server cannot be used now.
            InvalidInput: the key has a quote, or a parameter differs from what the same key was tracked with.
        """
        if "'" in run.key:
            raise InvalidInput("key", run.key, "remove the quote")
        with self._server.translated():
            client = self._server.client()
            with self._server.one_at_a_time():
                return self._track(client, run)

    def _track(self, client: MlflowClient, run: TrackedRun) -> str:
        artifacts = self._artifacts / run.experiment
        experiment = self._server.experiment(client, run.experiment, artifacts)
        found = _runs(client, experiment, run.key) or [_created(client, experiment, run)]
        kept = found[0]
        _add_missing(client, kept, run)
        with tempfile.TemporaryDirectory() as scratch:
            for file in run.files:
                path = Path(scratch) / file.name
                path.write_bytes(file.content)
                client.log_artifact(kept.info.run_id, str(path))
        if kept.info.status != "FINISHED":
            client.set_terminated(kept.info.run_id)
        return str(kept.info.run_id)


def _runs(client: MlflowClient, experiment: str, key: str) -> list[Any]:
    """The active runs of a key, the earliest first."""
    found = client.search_runs([experiment], filter_string=f"tags.`{KEY_TAG}` = '{key}'")
    return sorted(found, key=lambda run: (run.info.start_time, run.info.run_id))


def _created(client: MlflowClient, experiment: str, run: TrackedRun) -> Any:
    """A new run; when another client made one for the same key meanwhile, the earliest of them."""
    tags = {**run.tags, KEY_TAG: run.key}
    made = client.create_run(experiment, tags=tags, run_name=run.key[:12])
    first, *others = _runs(client, experiment, run.key) or [made]
    for other in others:
        client.delete_run(other.info.run_id)
    return first


def _add_missing(client: MlflowClient, kept: Any, run: TrackedRun) -> None:
    """Log what the run does not have yet; the same value again would lengthen a metric's history."""
    from mlflow.entities import Metric, Param, RunTag

    parameters = {name: str(value) for name, value in run.parameters.items()}
    for name, value in kept.data.params.items():
        if parameters.get(name, value) != value:
            raise InvalidInput(
                f"parameters.{name}", run.parameters[name], f"the same key was tracked with {value}"
            )
    now = int(time.time() * 1000)
    client.log_batch(
        kept.info.run_id,
        metrics=[Metric(name, value, now, 0) for name, value in _new(run.metrics, kept.data.metrics).items()],
        params=[Param(name, value) for name, value in _new(parameters, kept.data.params).items()],
        tags=[RunTag(name, value) for name, value in _new(run.tags, kept.data.tags).items()],
    )


def _new(wanted: Mapping[str, Any], there: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if name not in there or there[name] != value}
