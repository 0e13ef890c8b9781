"""The way to MLflow, a server or an embedded store: clients, experiments, and one sentence for a refusal."""

from __future__ import annotations

import importlib
import os
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from domain.registry.errors import DomainException, InvalidInput, Unavailable
from veritasvault.adapters.file_lock import file_lock

if TYPE_CHECKING:
    from mlflow import MlflowClient

_CONNECT_SECONDS = 5.0
_FOREIGN = ("mlflow.", "sqlalchemy.", "requests.", "urllib3.")
_REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED")
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # MLflow's own seven retries with backoff take four minutes; whoever runs us retries later.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
# A pooled SQLite connection would be shared with forked children, which SQLite forbids.
_EMBEDDED = {"MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool"}


def import_mlflow(*, embedded: bool = True) -> None:
    """Import what MLflow's clients need, about nine seconds of processor time, without telemetry and chatter.

    Whoever imports mlflow ahead of its use, such as a process that forks tasks, calls this: the variables
    count only when they are set before the import.

    Args:
        embedded: whether the SQLite store is used, which takes some seconds more.
    """
    for name, value in (_QUIET | _EMBEDDED if embedded else _QUIET).items():
        os.environ.setdefault(name, value)
    importlib.import_module("mlflow")
    if embedded:
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")


class MlflowServer:
    """An MLflow tracking server, or the embedded SQLite store that stands for one.

    Attributes:
        uri: MLflow's tracking URI.
    """

    def __init__(self, uri: str, field: str) -> None:
        """Remember where; nothing is opened or imported yet.

        Args:
            uri: `sqlite:////path/mlflow.db`, or `http(s)://host:port` of a server. Credentials come from
                MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.
            field: what the error calls a wrong URI.

        Raises:
            InvalidInput: another scheme.
        """
        parts = urlsplit(uri)
        if parts.scheme not in ("sqlite", "http", "https"):
            raise InvalidInput(field, uri, "give sqlite:///path or the URL of an MLflow server")
        self.uri = uri
        self.embedded = Path(parts.path.removeprefix("/")) if parts.scheme == "sqlite" else None
        self._scheme = parts.scheme
        self._address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))

    def client(self) -> MlflowClient:
        """A client for runs and registered models. Raises Unavailable at once when nobody listens."""
        self._require_listener()
        import_mlflow(embedded=self.embedded is not None)
        from mlflow import MlflowClient

        # MLflow makes and migrates tables when a store is first opened, which only one process may do.
        with self.one_at_a_time():
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def experiment(self, client: MlflowClient, name: str, artifacts: Path | None = None) -> str:
        """The id of an experiment, which is made if it is not there.

        Args:
            artifacts: where the embedded store keeps the experiment's files; a server has its own place.

        Raises:
            InvalidInput: it was deleted.
        """
        from mlflow.exceptions import MlflowException

        location = None if self.embedded is None or artifacts is None else artifacts.absolute().as_uri()
        found = self.find_experiment(client, name)
        if found is None:
            try:
                return str(client.create_experiment(name, artifact_location=location))
            except MlflowException as error:
                # Names are unique in MLflow, so this is also how a lost race ends.
                found = self.find_experiment(client, name)
                if found is None:
                    raise Unavailable(
                        f"experiment {name} cannot be made in MLflow: {error.message}"
                    ) from error
        return found

    def find_experiment(self, client: MlflowClient, name: str) -> str | None:
        """The id of an experiment; None if there is none. Raises InvalidInput if it was deleted."""
        found = client.get_experiment_by_name(name)
        if found is None:
            return None
        if found.lifecycle_stage != "active":
            raise InvalidInput(
                "experiment", name, "it was deleted in MLflow, restore it or delete it for good"
            )
        return str(found.experiment_id)

    def one_at_a_time(self) -> AbstractContextManager[None]:
        """A lock on the embedded store, so that looking and making are one step; a server has none.

        It must not be held when `client` is called, which takes it too.
        """
        if self.embedded is None:
            return nullcontext()
        return file_lock(self.embedded.with_name(self.embedded.name + ".lock"), "the embedded MLflow store")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Let nothing of MLflow, its database or its HTTP client out.

        Raises:
            InvalidInput: the server refused the credentials.
            Unavailable: everything else.
        """
        try:
            yield
        except DomainException:
            raise
        except Exception as error:
            if type(error).__module__.startswith(_FOREIGN):
                raise self._translation(error) from error
            if isinstance(error, OSError):
                raise Unavailable(f"MLflow's files at {self.uri} cannot be used now: {error}") from error
            raise

    def _translation(self, error: Exception) -> DomainException:
        reason = str(error).strip().splitlines()[0][:300]
        if _is_refusal(error):
            return InvalidInput(
                "MLflow credentials",
                os.environ.get("MLFLOW_TRACKING_USERNAME"),
                f"{self.uri} refused them, correct MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD "
                f"or MLFLOW_TRACKING_TOKEN ({reason})",
            )
        return Unavailable(f"MLflow at {self.uri} cannot be used now: {reason}")

    def _require_listener(self) -> None:
        """Fail at once, before the import of mlflow, when nobody listens."""
        if self.embedded is not None or self._scheme in urllib.request.getproxies():
            return
        try:
            socket.create_connection(self._address, timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise Unavailable(f"MLflow at {self.uri} cannot be reached, is it running? ({error})") from error


def _is_refusal(error: Exception) -> bool:
    """Whether a server said 401 or 403; of artifacts requests says so, of all else MLflow's REST client."""
    response: Any = getattr(error, "response", None)
    if response is not None:
        return response.status_code in (401, 403)
    return getattr(error, "error_code", None) in _REFUSED
