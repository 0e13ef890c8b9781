"""Model storage in the run artifacts of an MLflow tracking server, or of MLflow's embedded SQLite store.

A model is a run of one experiment, found by its tag `veritas.model_id`. Its files lie below `artifact/`,
`attachments/` and `metadata.json` of the run. MLflow gives run ids itself, has no conditional writes and
no unique tags, so nothing stops two writers from making a run each. Three things make that harmless:

- *Content certifies itself.* The model id is the digest of the manifest, which names the digest of each
  file, so all honest writers of an id write the same bytes, in whichever run and order, and an upload
  replaces a file as a whole. What differs was tampered with.
- *The commit is a row of MLflow's database.* A run is a model once its status is FINISHED, which is set after
  the manifest, after every file was read back from MLflow and hashed. Nothing sets it back, so what was
  visible once stays visible. A run that a killed writer left is RUNNING and is found by the next try, which
  adopts what it holds.
- *Everybody looks in the same order.* Finished runs come first, then the earliest by start and id. Writers
  that raced before they saw each other may finish two runs; both were verified, the first is the model, and
  attachments are looked for in all of them. No run that lost a race is deleted: somebody may just be writing
  to it. Only gc deletes runs, of models that the ledger condemned.

A deleted run is out of sight, and stays in MLflow's database until `mlflow gc` there. See docs/adr/0011.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.registry.artifact import Artifact, ArtifactFile, StagedArtifact, as_artifact_path
from domain.registry.canonical import Digest, as_digest, digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound
from domain.registry.manifest import ModelId, as_model_id
from domain.registry.ports import Leftover, StillOurs, StoredAttachment, StoredFile, StoredModel
from veritasvault.adapters.mlflow_artifacts import RunArtifacts, artifact_files, stored_name
from veritasvault.adapters.mlflow_client import MlflowServer
from veritasvault.adapters.mlflow_flavor import REQUIREMENTS, flavor_files, pins_of
from veritasvault.adapters.retrieval import require_same, retrieve, verified_manifest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

EXPERIMENT = "veritas-models"
"""The experiment of the embedded store."""
MODEL_ID_TAG = "veritas.model_id"
NAME_TAG = "veritas.name"
FINISHED = "FINISHED"

_ARTIFACT, _MANIFEST, _ATTACHMENTS = "artifact", "metadata.json", "attachments"
_PAGE = 1000
_MARK, _MARK_TAG = "ledger.json", "veritas.ledger"
_IS_MARK = f"tags.`{_MARK_TAG}` = 'mark'"


class MlflowModelRegistry:
    """Models as runs of one experiment, a `CollectablePort`."""

    def __init__(self, tracking_uri: str, experiment: str = EXPERIMENT) -> None:
        """Remember where; nothing is opened or imported yet, and reading makes nothing.

        Args:
            tracking_uri: `sqlite:////path/mlflow.db`, or `http(s)://host:port` of a server, with credentials
                in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN.
            experiment: whose runs are the models; made when the first one is stored.
        """
        self.server = MlflowServer(tracking_uri, "registry")
        self.experiment = experiment
        self._experiment_id: str | None = None

    def store_model(self, model_id: ModelId, artifact: StagedArtifact, manifest: bytes) -> None:
        verified = verified_manifest(as_model_id("model_id", model_id), manifest)
        if verified.artifact != artifact.artifact:
            raise InvalidInput("manifest", model_id, "it lists other files than the artifact holds")
        with self._writing() as client:
            run = self._run_to_write(client, model_id, verified.metadata.name)
            kept = _Kept(model_id, self._artifacts(run), finished=_is_finished(run))
            kept.complete(artifact, manifest)
            if not kept.finished:
                client.set_terminated(run.info.run_id, FINISHED)

    def retrieve_model(self, model_id: ModelId, destination: Path) -> None:
        retrieve(self, as_model_id("model_id", model_id), destination)

    def attach(self, model_id: ModelId, content: bytes) -> Digest:
        sha256 = digest(content)
        name = f"{_ATTACHMENTS}/{sha256}"
        with self._writing() as client:
            for run in self._runs(client, model_id):
                kept = _Kept(model_id, self._artifacts(run))
                if name in kept.artifacts.sizes(_ATTACHMENTS):
                    kept.adopt(name, len(content), sha256)
                    return sha256
            run = self._run_to_write(client, model_id, None)
            _Kept(model_id, self._artifacts(run)).put(name, content)
        return sha256

    def exists(self, model_id: ModelId) -> bool:
        return self._run(model_id) is not None

    def list(self) -> Iterator[ModelId]:
        with self._reading() as client:
            found = set() if client is None else {_model_id(run) for run in self._search(client, "")}
        yield from sorted(model_id for model_id in found if model_id is not None)

    def read_manifest(self, model_id: ModelId) -> bytes:
        return b"".join(self._read(model_id, _MANIFEST))

    def read_attachment(self, model_id: ModelId, sha256: Digest) -> bytes:
        name = f"{_ATTACHMENTS}/{as_digest('attachment', sha256)}"
        with self._reading() as client:
            for run in [] if client is None else self._runs(client, model_id):
                try:
                    return b"".join(self._artifacts(run).read(name))
                except NotFound:
                    continue
        raise self._missing(model_id, name)

    def contents(self, model_id: ModelId) -> Iterator[StoredFile]:
        with self._reading() as client:
            runs = [] if client is None else self._runs(client, model_id)
            found = artifact_files(self._artifacts(runs[0]).sizes(_ARTIFACT), _ARTIFACT) if runs else []
        yield from found

    def read_file(self, model_id: ModelId, path: str) -> Iterator[bytes]:
        return self._read(model_id, f"{_ARTIFACT}/{stored_name(as_artifact_path('path', path))}")

    def stored(self) -> Iterator[StoredModel]:
        models: dict[ModelId, list[Run]] = {}
        with self._reading() as client:
            for run in [] if client is None else self._search(client, "", finished=False):
                model_id = _model_id(run)
                if model_id is not None:
                    models.setdefault(model_id, []).append(run)
        for model_id in sorted(models):
            with self._reading():
                yield self._described(model_id, models[model_id])

    def delete_model(self, model_id: ModelId, still_ours: StillOurs) -> None:
        with self._reading() as client:
            if client is None:
                return
            for run in self._runs(client, model_id):
                # The run last: as long as it is there, another try finds what is left of it.
                artifacts = self._artifacts(run)
                for name in (_MANIFEST, _ARTIFACT, _ATTACHMENTS):
                    artifacts.remove(name, still_ours)
                still_ours()
                client.delete_run(run.info.run_id)

    def delete_attachment(self, model_id: ModelId, sha256: Digest, still_ours: StillOurs) -> None:
        name = f"{_ATTACHMENTS}/{as_digest('attachment', sha256)}"
        with self._reading() as client:
            for run in [] if client is None else self._runs(client, model_id):
                self._artifacts(run).remove(name, still_ours)

    def leftovers(self) -> Iterator[Leftover]:
        return iter(())

    def remove_leftover(self, leftover: Leftover) -> None:
        """Nothing: there are none, MLflow shows no upload before it is whole."""

    def ledger_mark(self) -> bytes | None:
        with self._reading() as client:
            for run in [] if client is None else self._search(client, _IS_MARK, finished=False):
                with suppress(NotFound):
                    return b"".join(self._artifacts(run).read(_MARK))
        return None

    def set_ledger_mark(self, mark: bytes) -> None:
        with self._writing() as client:
            runs = list(self._search(client, _IS_MARK, finished=False))
            if not runs:
                tags = {_MARK_TAG: "mark"}
                runs = [client.create_run(self.make_experiment(client), tags=tags, run_name="ledger mark")]
            for run in runs:
                self._artifacts(run).put_bytes(_MARK, mark)

    def _described(self, model_id: ModelId, runs: Sequence[Run]) -> StoredModel:
        """What lies in a model's runs; of attachments MLflow tells no times."""
        attachments: dict[str, StoredAttachment] = {}
        for run in runs:
            for name, size in self._artifacts(run).sizes(_ATTACHMENTS).items():
                sha256 = Digest(name.removeprefix(f"{_ATTACHMENTS}/"))
                attachments[sha256] = StoredAttachment(sha256, size)
        newest = max(run.info.end_time or run.info.start_time for run in runs)
        modified = dt.datetime.fromtimestamp(newest / 1000, dt.UTC)
        return StoredModel(model_id, modified, tuple(attachments[name] for name in sorted(attachments)))

    def sources(self, model_id: ModelId) -> dict[str, str]:
        """The directories that MLflow loads the model from, by run id, the model's own run first.

        More than one only if writers raced; empty if the model is not stored.
        """
        with self._reading() as client:
            runs = [] if client is None else self._runs(client, model_id)
            return {
                run.info.run_id: f"{run.info.artifact_uri}/{_ARTIFACT}" for run in runs if _is_finished(run)
            }

    def mend_flavor(self, model_id: ModelId, artifact: Artifact) -> bool:
        """Write MLmodel and its requirements anew where they are not what the manifest asks for.

        MLflow runs the loader that MLmodel names, so one that was changed is dangerous. Returns whether
        something was changed.
        """
        with self._writing() as client:
            runs = [run for run in self._runs(client, model_id) if _is_finished(run)]
            mended = [_Kept(model_id, self._artifacts(run)).mend_flavor(artifact) for run in runs]
        return any(mended)

    def make_experiment(self, client: MlflowClient) -> str:
        """The id of the experiment, which is made if it is not there."""
        embedded = self.server.embedded
        artifacts = None if embedded is None else embedded.parent / "mlflow-artifacts" / self.experiment
        return self.server.experiment(client, self.experiment, artifacts)

    def _read(self, model_id: ModelId, name: str) -> Iterator[bytes]:
        with self._reading() as client:
            runs = [] if client is None else self._runs(client, model_id)
            if not runs:
                raise self._missing(model_id, name)
            try:
                yield from self._artifacts(runs[0]).read(name)
            except NotFound as error:
                raise self._missing(model_id, name) from error

    def _missing(self, model_id: ModelId, name: str) -> NotFound:
        return NotFound(f"models/{model_id}/{name} is not stored in MLflow at {self.server.uri}")

    def _run(self, model_id: ModelId) -> Run | None:
        with self._reading() as client:
            runs = [] if client is None else self._runs(client, model_id)
        return runs[0] if runs and _is_finished(runs[0]) else None

    def _run_to_write(self, client: MlflowClient, model_id: ModelId, name: str | None) -> Run:
        """The model's run; a new one if there is none, and of several that raced the one all will take."""
        with self.server.one_at_a_time():
            return (self._runs(client, model_id) or [self._created(client, model_id, name)])[0]

    def _created(self, client: MlflowClient, model_id: ModelId, name: str | None) -> Run:
        tags = {MODEL_ID_TAG: model_id} if name is None else {MODEL_ID_TAG: model_id, NAME_TAG: name}
        experiment = self.make_experiment(client)
        run = client.create_run(experiment, tags=tags, run_name=f"{name or 'model'} {model_id[:12]}")
        return (self._runs(client, model_id) or [run])[0]

    def _runs(self, client: MlflowClient, model_id: ModelId) -> Sequence[Run]:
        """All runs of a model: finished ones first, then by start and id."""
        wanted = f"tags.`{MODEL_ID_TAG}` = '{as_model_id('model_id', model_id)}'"
        found = self._search(client, wanted, finished=False)
        return sorted(found, key=lambda run: (not _is_finished(run), run.info.start_time, run.info.run_id))

    def _search(self, client: MlflowClient, wanted: str, *, finished: bool = True) -> Iterator[Run]:
        experiment = self._experiment_id or self.server.find_experiment(client, self.experiment)
        if experiment is None:
            return
        self._experiment_id = experiment
        conditions = [wanted] if wanted else []
        if finished:
            conditions.append(f"attributes.status = '{FINISHED}'")
        token: str | None = None
        while True:
            page = client.search_runs(
                [experiment], " and ".join(conditions), max_results=_PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _artifacts(self, run: Run) -> RunArtifacts:
        return RunArtifacts(run.info.artifact_uri, self.server.uri)

    @contextmanager
    def _reading(self) -> Iterator[MlflowClient | None]:
        """A client; None if there is no embedded store yet, which reading does not make."""
        with self.server.translated():
            embedded = self.server.embedded
            yield None if embedded is not None and not embedded.exists() else self.server.client()

    @contextmanager
    def _writing(self) -> Iterator[MlflowClient]:
        with self.server.translated():
            yield self.server.client()


class _Kept:
    """The objects of one model's run, each under the name that errors call it by."""

    def __init__(self, model_id: ModelId, artifacts: RunArtifacts, *, finished: bool = True) -> None:
        self.model_id = model_id
        self.artifacts = artifacts
        self.finished = finished

    def complete(self, artifact: StagedArtifact, manifest: bytes) -> None:
        """Upload what is missing, the manifest last, and re-hash everything as MLflow has it."""
        stored = self.artifacts.sizes(_ARTIFACT)
        for file in artifact.artifact.files:
            name = f"{_ARTIFACT}/{stored_name(file.path)}"
            if self._is_missing(stored.get(name), file):
                self.artifacts.put_file(name, artifact.root / file.path)
            self.adopt(name, file.size, file.sha256, file.path)
        listed = {file.path for file in artifact.artifact.files}
        for found in artifact_files(stored, _ARTIFACT):
            if found.path not in listed:
                shown = f"models/{self.model_id}/{_ARTIFACT}/{found.path}"
                raise IntegrityError(f"{shown} is not in the manifest, remove it")
        for name, content in flavor_files(self.model_id, artifact.artifact).items():
            if f"{_ARTIFACT}/{name}" not in stored:
                self.artifacts.put_bytes(f"{_ARTIFACT}/{name}", content)
        if _MANIFEST not in self.artifacts.sizes(""):
            self.artifacts.put_bytes(_MANIFEST, manifest)
        self.adopt(_MANIFEST, len(manifest), digest(manifest))

    def put(self, name: str, content: bytes) -> None:
        """Upload and read back."""
        self.artifacts.put_bytes(name, content)
        self.adopt(name, len(content), digest(content))

    def adopt(self, name: str, size: int, sha256: Digest, path: str | None = None) -> None:
        """Accept what is stored if reading it gives the content."""
        shown = f"models/{self.model_id}/{name if path is None else f'{_ARTIFACT}/{path}'}"
        found = hashlib.sha256()
        count = 0
        try:
            for chunk in self.artifacts.read(name):
                found.update(chunk)
                count += len(chunk)
        except NotFound as error:
            raise IntegrityError(f"{shown} is missing, restore it from a backup") from error
        require_same(shown, size, sha256, count, found.hexdigest())

    def mend_flavor(self, artifact: Artifact) -> bool:
        if not flavor_files(self.model_id, artifact):
            return False
        stored = self.artifacts.sizes(_ARTIFACT)
        requirements = self._content(REQUIREMENTS, stored)
        wanted = flavor_files(self.model_id, artifact, pins_of(requirements))
        changed = {name for name, content in wanted.items() if self._content(name, stored) != content}
        for name in changed:
            self.artifacts.put_bytes(f"{_ARTIFACT}/{name}", wanted[name])
        return bool(changed)

    def _content(self, name: str, stored: dict[str, int]) -> bytes:
        name = f"{_ARTIFACT}/{name}"
        return b"".join(self.artifacts.read(name)) if name in stored else b""

    def _is_missing(self, size: int | None, file: ArtifactFile) -> bool:
        """Whether a file has to be uploaded.

        In an unfinished run a file that is too short may be what arrived of an upload whose client was
        killed: some servers keep that. In a finished one it is damage.
        """
        return size is None or (not self.finished and size < file.size)


def _is_finished(run: Any) -> bool:
    return bool(run.info.status == FINISHED)


def _model_id(run: Any) -> ModelId | None:
    """The model id in a run's tag; None for a run that somebody else put into the experiment."""
    try:
        return as_model_id(MODEL_ID_TAG, run.data.tags.get(MODEL_ID_TAG))
    except InvalidInput:
        return None
