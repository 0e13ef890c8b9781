"""Experiment runs in MLflow: in an embedded SQLite store, or on a tracking server by its URL."""

from __future__ import annotations

import importlib
import os
import socket
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from domain.registry.errors import InvalidInput, Unavailable
from domain.risk.ports import TrackedRun
from veritasvault.adapters.file_lock import file_lock

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY_TAG = "veritas.key"
_CONNECT_SECONDS = 5.0
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # MLflow's own seven retries with backoff take four minutes; whoever runs us retries later.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}


def import_mlflow(*, embedded: bool = True) -> None:
    """Import what tracking needs, about nine seconds of processor time, without telemetry and chatter.

    Whoever imports mlflow ahead of its use, such as a process that forks tasks, calls this: the variables
    count only when they are set before the import.

    Args:
        embedded: whether the SQLite store is used, which takes some seconds more.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    importlib.import_module("mlflow")
    if embedded:
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")


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
        parts = urlsplit(tracking_uri)
        if parts.scheme not in ("sqlite", "http", "https"):
            raise InvalidInput("tracking", tracking_uri, "give sqlite:///path or the URL of an MLflow server")
        self._uri = tracking_uri
        self._scheme = parts.scheme
        self._embedded = Path(parts.path.removeprefix("/")) if parts.scheme == "sqlite" else None
        self._server = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._artifacts = artifact_location

    def track(self, run: TrackedRun) -> str:
        """Record the run, idempotent in its key, and return MLflow's run id.

        Raises:
            Unavailable: the store or server cannot be used now.
            InvalidInput: the key has a quote, or a parameter differs from what the same key was tracked with.
        """
        if "'" in run.key:
            raise InvalidInput("key", run.key, "remove the quote")
        with self._translated():
            self._require_server()
            import_mlflow(embedded=self._embedded is not None)
            with self._one_at_a_time():
                return self._track(self._client(), run)

    def _track(self, client: MlflowClient, run: TrackedRun) -> str:
        experiment = self._experiment(client, run.experiment)
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

    def _experiment(self, client: MlflowClient, name: str) -> str:
        from mlflow.exceptions import MlflowException

        location = None if self._embedded is None else (self._artifacts / name).absolute().as_uri()
        found = client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(client.create_experiment(name, artifact_location=location))
            except MlflowException as error:
                found = client.get_experiment_by_name(name)
                if found is None:
                    raise Unavailable(
                        f"experiment {name} cannot be made in MLflow: {error.message}"
                    ) from error
        if found.lifecycle_stage != "active":
            raise InvalidInput(
                "experiment", name, "it was deleted in MLflow, restore it or delete it for good"
            )
        return str(found.experiment_id)

    def _client(self) -> MlflowClient:
        from mlflow import MlflowClient

        if self._embedded is not None:
            self._embedded.parent.mkdir(parents=True, exist_ok=True)

        return MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def _one_at_a_time(self) -> Any:
        """MLflow makes and migrates tables when a store is first opened, which only one process may do."""
        if self._embedded is None:
            return nullcontext()
        return file_lock(self._embedded.with_name(self._embedded.name + ".lock"), "the embedded MLflow store")

    def _require_server(self) -> None:
        """Fail at once, before the import of mlflow, when nobody listens."""
        if self._embedded is not None or self._scheme in urllib.request.getproxies():
            return
        try:
            socket.create_connection(self._server, timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise Unavailable(f"MLflow at {self._uri} cannot be reached, is it running? ({error})") from error

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if type(error).__module__.startswith(("mlflow.", "sqlalchemy.", "requests.", "urllib3.")):
                reason = str(error).strip().splitlines()[0][:300]
                raise Unavailable(f"MLflow at {self._uri} cannot be used now: {reason}") from error
            if isinstance(error, OSError):
                raise Unavailable(f"MLflow's files at {self._uri} cannot be used now: {error}") from error
            raise


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
