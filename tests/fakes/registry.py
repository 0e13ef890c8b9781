"""A registry in memory, for tests of what uses one."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from domain.registry.artifact import StagedArtifact, as_artifact_path
from domain.registry.canonical import Digest, as_digest, digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound
from domain.registry.manifest import ModelId, as_model_id
from domain.registry.ports import Leftover, StillOurs, StoredAttachment, StoredFile, StoredModel
from veritasvault.adapters.retrieval import require_same, retrieve, verified_manifest


class FakeModelRegistry:
    """Objects by key, `models/{model_id}/…`, and when they got there.

    Attributes:
        clock: the store's; it says None in a store that keeps no times.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.times: dict[str, dt.datetime | None] = {}
        self.clock: Callable[[], dt.datetime | None] = lambda: dt.datetime.now(dt.UTC)
        self.uploads: dict[str, Leftover] = {}

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

    def stored(self) -> Iterator[StoredModel]:
        keys = sorted(key for key in self.objects if key.startswith("models/"))
        for model_id, group in groupby(keys, key=lambda key: key.split("/")[1]):
            found = list(group)
            times = [time for time in map(self.times.get, found) if time is not None]
            attachments = [key for key in found if key.split("/")[2] == "attachments"]
            yield StoredModel(
                as_model_id("model_id", model_id),
                max(times, default=None),
                tuple(
                    StoredAttachment(Digest(key.split("/")[3]), len(self.objects[key]), self.times.get(key))
                    for key in attachments
                ),
            )

    def delete_model(self, model_id: ModelId, still_ours: StillOurs) -> None:
        home = f"{self._home(model_id)}/"
        for key in [key for key in list(self.objects) if key.startswith(home)]:
            still_ours()
            self._remove(key)

    def delete_attachment(self, model_id: ModelId, sha256: Digest, still_ours: StillOurs) -> None:
        still_ours()
        self._remove(f"{self._home(model_id)}/attachments/{as_digest('attachment', sha256)}")

    def leftovers(self) -> Iterator[Leftover]:
        yield from list(self.uploads.values())

    def remove_leftover(self, leftover: Leftover) -> None:
        self.uploads.pop(leftover.name, None)

    def ledger_mark(self) -> bytes | None:
        return self.objects.get("ledger.json")

    def set_ledger_mark(self, mark: bytes) -> None:
        self.objects["ledger.json"] = mark

    def _remove(self, key: str) -> None:
        self.objects.pop(key, None)
        self.times.pop(key, None)

    def _home(self, model_id: ModelId) -> str:
        return f"models/{as_model_id('model_id', model_id)}"

    def _get(self, key: str) -> bytes:
        if key not in self.objects:
            raise NotFound(f"{key} is not stored")
        return self.objects[key]

    def _put(self, key: str, content: bytes) -> None:
        if key not in self.objects:
            self.times[key] = self.clock()
        there = self.objects.setdefault(key, content)
        expected, found = (hashlib.sha256(data).hexdigest() for data in (content, there))
        require_same(key, len(content), expected, len(there), found)
