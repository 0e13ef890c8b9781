"""A `ModelRegistryPort` in memory, for tests of what uses one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from domain.registry.artifact import StagedArtifact, as_artifact_path
from domain.registry.canonical import Digest, as_digest, digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound
from domain.registry.manifest import ModelId, as_model_id
from domain.registry.ports import StoredFile
from veritasvault.adapters.retrieval import require_same, retrieve, verified_manifest


class FakeModelRegistry:
    """Objects by key, `models/{model_id}/…`."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def store_model(self, model_id: ModelId, artifact: StagedArtifact, manifest: bytes) -> None:
        home = self._home(model_id)
        if verified_manifest(model_id, manifest).artifact != artifact.artifact:
            raise InvalidInput("manifest", model_id, "it lists other files than the artifact holds")
        for file in artifact.artifact.files:
            self._put(f"{home}/artifact/{file.path}", (artifact.root / file.path).read_bytes())
        for stored in self.contents(model_id):
            if stored.path not in {file.path for file in artifact.artifact.files}:
                raise IntegrityError(f"{home}/artifact/{stored.path} is not in the manifest, remove it")
        self._put(f"{home}/metadata.json", manifest)

    def retrieve_model(self, model_id: ModelId, destination: Path) -> None:
        retrieve(self, as_model_id("model_id", model_id), destination)

    def attach(self, model_id: ModelId, content: bytes) -> Digest:
        sha256 = digest(content)
        self._put(f"{self._home(model_id)}/attachments/{sha256}", content)
        return sha256

    def exists(self, model_id: ModelId) -> bool:
        return f"{self._home(model_id)}/metadata.json" in self.objects

    def list(self) -> Iterator[ModelId]:
        for key in sorted(self.objects):
            if key.endswith("/metadata.json") and key.count("/") == 2:
                yield ModelId(key.split("/")[1])  # type: ignore[arg-type]

    def read_manifest(self, model_id: ModelId) -> bytes:
        return self._get(f"{self._home(model_id)}/metadata.json")

    def read_attachment(self, model_id: ModelId, sha256: Digest) -> bytes:
        return self._get(f"{self._home(model_id)}/attachments/{as_digest('attachment', sha256)}")

    def contents(self, model_id: ModelId) -> Iterator[StoredFile]:
        root = f"{self._home(model_id)}/artifact/"
        for key in sorted(self.objects):
            if key.startswith(root):
                yield StoredFile(key.removeprefix(root), len(self.objects[key]))

    def read_file(self, model_id: ModelId, path: str) -> Iterator[bytes]:
        yield self._get(f"{self._home(model_id)}/artifact/{as_artifact_path('path', path)}")

    def _home(self, model_id: ModelId) -> str:
        return f"models/{as_model_id('model_id', model_id)}"

    def _get(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFound(f"{key} is not stored")
        return self.objects[key]

    def _put(self, key: str, content: bytes) -> None:
        there = self.objects.setdefault(key, content)
        expected, found = (hashlib.sha256(data).hexdigest() for data in (content, there))
        require_same(key, len(content), expected, len(there), found)
