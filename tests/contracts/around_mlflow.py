"""A way around the MLflow registry to its objects, as somebody with the server's own client would go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from veritasvault.adapters.mlflow_artifacts import RunArtifacts, stored_name
from veritasvault.adapters.mlflow_client import MlflowServer
from veritasvault.adapters.mlflow_registry import MODEL_ID_TAG


class AroundMlflow:
    """Writes and removes objects by the keys of the port, `models/{model_id}/…`, in one experiment."""

    def __init__(self, uri: str, experiment: str, artifacts: Path) -> None:
        self.server = MlflowServer(uri, "uri")
        self.experiment = experiment
        self._artifacts = artifacts

    def overwrite(self, key: str, content: bytes) -> None:
        """Upload; a model without a run gets one that nobody finished, as a crashed try leaves it."""
        model_id, name = _parts(key)
        runs = self.runs(model_id)
        if not runs:
            client = self.server.client()
            experiment = self.server.experiment(client, self.experiment, self._artifacts)
            runs = [client.create_run(experiment, tags={MODEL_ID_TAG: model_id})]
        RunArtifacts(runs[0].info.artifact_uri, self.server.uri).put_bytes(name, content)

    def remove(self, key: str) -> None:
        """Delete an object of every run of the model."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        model_id, name = _parts(key)
        for run in self.runs(model_id):
            get_artifact_repository(run.info.artifact_uri, tracking_uri=self.server.uri).delete_artifacts(
                name
            )

    def runs(self, model_id: str) -> list[Any]:
        """All runs that carry the model's id."""
        client = self.server.client()
        experiment = self.server.find_experiment(client, self.experiment)
        if experiment is None:
            return []
        return list(client.search_runs([experiment], f"tags.`{MODEL_ID_TAG}` = '{model_id}'"))


def _parts(key: str) -> tuple[str, str]:
    """The model id, and the name that the object has in a run."""
    _, model_id, kind, *rest = key.split("/")
    return model_id, "/".join((kind, stored_name("/".join(rest)))) if rest else kind
