"""Model storage in a repository of any OCI registry, each model a package that ModelPack tools can pull."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from domain.registry.artifact import StagedArtifact, as_artifact_path
from domain.registry.canonical import Digest, as_digest, digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound, Unavailable
from domain.registry.manifest import ModelId, as_model_id
from domain.registry.ports import Leftover, StillOurs, StoredAttachment, StoredFile, StoredModel
from domain.registry.staging import unavailable
from veritasvault.adapters.oci_client import MIB, OciRepository
from veritasvault.adapters.oci_manifest import (
    ARTIFACT,
    MANIFEST_NAME,
    Layer,
    Package,
    attachment_package,
    layers_of,
    mark_package,
    model_package,
)
from veritasvault.adapters.retrieval import require_same, retrieve, verified_manifest

_MARK_TAG = "ledger"
_TAG = re.compile(r"([0-9a-f]{64})([0-9a-f]{64})?")


class OciModelRegistry:
    """Models as packages of one repository, a `CollectablePort`.

    A model is the tag of its id, written last; its files are blobs, which the registry keeps under their
    own SHA-256. Tags can be moved and no registry writes one on condition, but all that honest writers
    can write under an id is the same bytes, and a tag that somebody moved is found by whoever reads, for
    the id is the digest of the manifest, which lists the files' digests.

    What is deleted here is tags and image manifests. Blobs that none names any more, also those that a
    killed writer left, are for the registry's own garbage collection, and so are unfinished uploads: the
    distribution API lists neither, and it has no times.
    """

    def __init__(
        self, host: str, repository: str, *, insecure: bool = False, chunk_size: int = 16 * MIB
    ) -> None:
        """
        Args:
            host: of the registry, with a port if it has one.
            insecure: speak HTTP without TLS.
            chunk_size: bytes of a file that are sent at once; what an upload holds in memory twice.
        """
        self._repository = OciRepository(host, repository, insecure, chunk_size)

    def store_model(self, model_id: ModelId, artifact: StagedArtifact, manifest: bytes) -> None:
        verified = verified_manifest(as_model_id("model_id", model_id), manifest)
        if verified.artifact != artifact.artifact:
            raise InvalidInput("manifest", model_id, "it lists other files than the artifact holds")
        self._repository.require()
        package = model_package(verified)
        tagged = self._require_own(model_id, model_id, package)
        for file in artifact.artifact.files:
            try:
                with (artifact.root / file.path).open("rb") as content:
                    name = f"models/{model_id}/artifact/{file.path}"
                    self._settle(name, content, Layer(file.sha256, file.size))
            except OSError as error:
                raise unavailable(error, f"reading {file.path}") from error
        self._settle_bytes(f"models/{model_id}/metadata.json", manifest)
        self._settle_bytes(f"the configuration of models/{model_id}", package.config)
        if not tagged:
            self._repository.put_manifest(model_id, package.manifest)

    def retrieve_model(self, model_id: ModelId, destination: Path) -> None:
        retrieve(self, as_model_id("model_id", model_id), destination)

    def attach(self, model_id: ModelId, content: bytes) -> Digest:
        sha256 = digest(content)
        tag = _attachment_tag(model_id, sha256)
        self._repository.require()
        package = attachment_package(model_id, content)
        tagged = self._require_own(model_id, tag, package)
        self._settle_bytes(f"models/{model_id}/attachments/{sha256}", content)
        self._settle_bytes(f"the configuration of {tag}", package.config)
        if not tagged:
            self._repository.put_manifest(tag, package.manifest)
        return sha256

    def exists(self, model_id: ModelId) -> bool:
        return self._repository.has_manifest(as_model_id("model_id", model_id))

    def list(self) -> Iterator[ModelId]:
        found = set()
        for tag in self._repository.tags():
            try:
                found.add(as_model_id("model_id", tag))
            except InvalidInput:
                continue  # an attachment's, or somebody else's
        # Registries differ in how they order tags.
        yield from sorted(found)

    def read_manifest(self, model_id: ModelId) -> bytes:
        return b"".join(self._read(model_id, MANIFEST_NAME))

    def read_attachment(self, model_id: ModelId, sha256: Digest) -> bytes:
        name = f"models/{model_id}/attachments/{sha256}"
        if not self._repository.has_manifest(_attachment_tag(model_id, sha256)):
            raise self._not_stored(name)
        return b"".join(self._blob(name, sha256))

    def contents(self, model_id: ModelId) -> Iterator[StoredFile]:
        layers = self._layers(as_model_id("model_id", model_id)) or {}
        for path in sorted(layers):
            if path.startswith(ARTIFACT):
                yield StoredFile(path.removeprefix(ARTIFACT), layers[path].size)

    def read_file(self, model_id: ModelId, path: str) -> Iterator[bytes]:
        return self._read(model_id, ARTIFACT + as_artifact_path("path", path))

    def stored(self) -> Iterator[StoredModel]:
        models: dict[str, list[StoredAttachment]] = {}
        for tag in self._repository.tags():
            match = _TAG.fullmatch(tag)
            if match is not None:
                attachments = models.setdefault(match.group(1), [])
                if match.group(2):
                    attachments.append(StoredAttachment(Digest(match.group(2))))
        for model_id in sorted(models):
            listed = sorted(models[model_id], key=lambda attachment: attachment.sha256)
            yield StoredModel(ModelId(Digest(model_id)), None, tuple(listed))

    def delete_model(self, model_id: ModelId, still_ours: StillOurs) -> None:
        own = [tag for tag in self._repository.tags() if tag.startswith(as_model_id("model_id", model_id))]
        # The model's own tag is the shortest: without it nothing else is looked for.
        self._delete(sorted(own, key=len), still_ours)

    def delete_attachment(self, model_id: ModelId, sha256: Digest, still_ours: StillOurs) -> None:
        self._delete([_attachment_tag(model_id, sha256)], still_ours)

    def leftovers(self) -> Iterator[Leftover]:
        return iter(())

    def remove_leftover(self, leftover: Leftover) -> None:
        """Nothing: there are none."""

    def ledger_mark(self) -> bytes | None:
        data = self._repository.read_manifest(_MARK_TAG)
        if data is None:
            return None
        (layer,) = layers_of(data, "the mark").values()
        mark = b"".join(self._blob("ledger.json", layer.sha256))
        require_same("ledger.json", layer.size, layer.sha256, len(mark), digest(mark))
        return mark

    def set_ledger_mark(self, mark: bytes) -> None:
        self._repository.require()
        package = mark_package(mark)
        self._settle_bytes("ledger.json", mark)
        self._settle_bytes(f"the configuration of {_MARK_TAG}", package.config)
        self._repository.put_manifest(_MARK_TAG, package.manifest)

    def _delete(self, tags: Iterable[str], still_ours: StillOurs) -> None:
        for tag in tags:
            self._repository.delete_manifest(tag, still_ours)

    def _layers(self, model_id: ModelId) -> Mapping[str, Layer] | None:
        data = self._repository.read_manifest(model_id)
        return None if data is None else layers_of(data, f"models/{model_id}")

    def _read(self, model_id: ModelId, path: str) -> Iterator[bytes]:
        layers = self._layers(as_model_id("model_id", model_id)) or {}
        name = f"models/{model_id}/{path}"
        if path not in layers:
            raise self._not_stored(name)
        yield from self._blob(name, layers[path].sha256)

    def _blob(self, name: str, sha256: Digest) -> Iterator[bytes]:
        chunks = self._repository.read_blob(sha256)
        if chunks is None:
            raise self._not_stored(name)
        yield from chunks

    def _require_own(self, model_id: ModelId, tag: str, package: Package) -> bool:
        """Whether the tag is there already; it then has to name the same layers."""
        data = self._repository.read_manifest(tag)
        if data is None or data == package.manifest:
            return data is not None
        expected, found = layers_of(package.manifest, tag), layers_of(data, f"models/{model_id}")
        for path in sorted(found.keys() - expected.keys()):
            raise IntegrityError(f"models/{model_id}/{path} is not in the manifest, remove it")
        for path, layer in sorted(expected.items()):
            name = f"models/{model_id}/{path}"
            if path not in found:
                raise IntegrityError(f"{name} is missing, restore it from a backup")
            require_same(name, layer.size, layer.sha256, found[path].size, found[path].sha256)
        return True

    def _settle_bytes(self, name: str, content: bytes) -> None:
        self._settle(name, io.BytesIO(content), Layer(digest(content), len(content)))

    def _settle(self, name: str, content: IO[bytes], layer: Layer) -> None:
        """Send a blob that is not there yet, and hash what the registry then gives.

        Also after sending: a registry that has the blob in another repository, or that another writer
        was faster in, keeps that one and confirms ours without comparing them.
        """
        if not self._repository.has_blob(layer.sha256):
            self._repository.push_blob(content, layer.sha256, name)
        chunks = self._repository.read_blob(layer.sha256)
        if chunks is None:
            raise Unavailable(f"{name} is not there although it was stored: run it again later")
        found = hashlib.sha256()
        count = 0
        for chunk in chunks:
            found.update(chunk)
            count += len(chunk)
        require_same(name, layer.size, layer.sha256, count, found.hexdigest())

    def _not_stored(self, name: str) -> NotFound:
        return NotFound(f"{name} is not stored in {self._repository}")


def _attachment_tag(model_id: ModelId, sha256: Digest) -> str:
    """Both digests; together they have the 128 characters that a tag may have."""
    return as_model_id("model_id", model_id) + as_digest("attachment", sha256)
