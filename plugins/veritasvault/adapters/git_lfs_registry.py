"""Model storage in a git repository: manifests as plain files, artifacts in Git LFS, a commit for a model."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import TypeVar

from domain.registry.artifact import StagedArtifact, as_artifact_path
from domain.registry.canonical import Digest, as_digest, digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound, Unavailable
from domain.registry.manifest import ModelId, as_model_id
from domain.registry.ports import Leftover, StillOurs, StoredAttachment, StoredFile, StoredModel
from veritasvault.adapters.git_branch import GitBranch
from veritasvault.adapters.git_lfs_objects import LfsObjects, LfsTransfer, Pointer
from veritasvault.adapters.retrieval import require_same, retrieve, verified_manifest
from veritasvault.adapters.staging_leftovers import StagingLeftovers

T = TypeVar("T")
_ATTRIBUTES = ".gitattributes"
_MARK = "ledger.json"
_ATTACHMENT = re.compile(r"attachments/([0-9a-f]{64})")
_IN_LFS = b"models/*/artifact/** filter=lfs diff=lfs merge=lfs -text\n"


class GitLfsModelRegistry:
    """`models/{model_id}/…` on a branch of a git repository, a `CollectablePort`.

    A model appears by one commit, after all its files are with the LFS server and were read back; a push
    is accepted only on top of the newest commit, so of writers that race each sees what the others wrote.
    What a crashed try left are LFS objects that no commit names.

    What is deleted here is deleted from the tip of the branch. Its history keeps pointers and manifests, and
    the LFS server keeps the objects until its owner prunes them.
    """

    def __init__(self, url: str, cache: Path, *, branch: str = "main") -> None:
        """
        Args:
            url: of the repository, as git takes it: `file:///path`, `https://…`, `ssh://…`.
            cache: a private directory for a clone without LFS files; it may be deleted at any time.
            branch: made by the first model if it does not exist.
        """
        self._branch = GitBranch(url, branch, cache)
        self._objects = LfsObjects(url, cache / "transfers")
        self._leftovers = StagingLeftovers(cache / "transfers")
        self._url = url
        self._seen: str | None = None

    def store_model(self, model_id: ModelId, artifact: StagedArtifact, manifest: bytes) -> None:
        verified = verified_manifest(as_model_id("model_id", model_id), manifest)
        if verified.artifact != artifact.artifact:
            raise InvalidInput("manifest", model_id, "it lists other files than the artifact holds")
        home = f"models/{model_id}"
        wanted = {
            f"{home}/artifact/{file.path}": Pointer(file.sha256, file.size).to_bytes()
            for file in artifact.artifact.files
        }
        wanted[f"{home}/metadata.json"] = manifest
        # Before anything large is sent to where it is not wanted.
        self._missing(self._newest(), home, wanted)
        files = artifact.artifact.files
        with self._objects.transfer() as transfer:
            transfer.push({file.sha256: artifact.root / file.path for file in files if file.size})
            for file in files:
                _require_stored(transfer, f"{home}/artifact/{file.path}", Pointer(file.sha256, file.size))
        self._branch.change(f"storing model {model_id}", lambda newest: self._missing(newest, home, wanted))

    def retrieve_model(self, model_id: ModelId, destination: Path) -> None:
        retrieve(self, as_model_id("model_id", model_id), destination)

    def attach(self, model_id: ModelId, content: bytes) -> Digest:
        sha256 = digest(content)
        place = f"models/{as_model_id('model_id', model_id)}/attachments/{sha256}"
        self._branch.change(
            f"attaching to model {model_id}", lambda newest: self._missing(newest, place, {place: content})
        )
        return sha256

    def exists(self, model_id: ModelId) -> bool:
        place = f"models/{as_model_id('model_id', model_id)}/metadata.json"
        newest = self._newest()
        return newest is not None and self._branch.read(newest, place) is not None

    def list(self) -> Iterator[ModelId]:
        newest = self._newest()
        if newest is None:
            return
        for file in self._branch.files(newest, "models/"):
            name, _, rest = file.path.removeprefix("models/").partition("/")
            if rest == "metadata.json":
                try:
                    yield as_model_id("model_id", name)
                except InvalidInput:
                    continue

    def read_manifest(self, model_id: ModelId) -> bytes:
        self._newest()
        return self._read(f"models/{as_model_id('model_id', model_id)}/metadata.json")

    def read_attachment(self, model_id: ModelId, sha256: Digest) -> bytes:
        home = f"models/{as_model_id('model_id', model_id)}"
        return self._read(f"{home}/attachments/{as_digest('attachment', sha256)}")

    def contents(self, model_id: ModelId) -> Iterator[StoredFile]:
        root = f"models/{as_model_id('model_id', model_id)}/artifact/"
        files = self._in_one_commit(lambda commit: list(self._branch.files(commit, root))) or []
        found = []
        for file, data in zip(files, self._branch.read_all([f.object_id for f in files]), strict=True):
            pointer = Pointer.from_bytes(data or b"")
            found.append(StoredFile(file.path.removeprefix(root), pointer.size if pointer else file.size))
        yield from sorted(found, key=lambda file: file.path)

    def read_file(self, model_id: ModelId, path: str) -> Iterator[bytes]:
        home = f"models/{as_model_id('model_id', model_id)}"
        name = f"{home}/artifact/{as_artifact_path('path', path)}"
        data = self._read(name)
        pointer = Pointer.from_bytes(data)
        if pointer is None:
            yield data
        else:
            with self._objects.transfer() as transfer:
                yield from transfer.fetch(pointer, name)

    def stored(self) -> Iterator[StoredModel]:
        newest = self._newest()
        if newest is None:
            return
        times = self._branch.times(newest, "models/")
        for name, files in groupby(
            self._branch.files(newest, "models/"), lambda file: file.path.split("/")[1]
        ):
            try:
                model_id = as_model_id("model_id", name)
            except InvalidInput:
                continue
            found = list(files)
            known = [times[file.path] for file in found if file.path in times]
            attachments = tuple(
                StoredAttachment(Digest(match.group(1)), file.size, times.get(file.path))
                for file in found
                if (match := _ATTACHMENT.fullmatch(file.path.removeprefix(f"models/{name}/")))
            )
            yield StoredModel(model_id, max(known, default=None), attachments)

    def delete_model(self, model_id: ModelId, still_ours: StillOurs) -> None:
        self._delete(f"deleting model {model_id}", f"models/{as_model_id('model_id', model_id)}/", still_ours)

    def delete_attachment(self, model_id: ModelId, sha256: Digest, still_ours: StillOurs) -> None:
        home = f"models/{as_model_id('model_id', model_id)}"
        place = f"{home}/attachments/{as_digest('attachment', sha256)}"
        self._delete(f"deleting an attachment of model {model_id}", place, still_ours)

    def leftovers(self) -> Iterator[Leftover]:
        return self._leftovers.leftovers()

    def remove_leftover(self, leftover: Leftover) -> None:
        self._leftovers.remove_leftover(leftover)

    def ledger_mark(self) -> bytes | None:
        newest = self._newest()
        return None if newest is None else self._branch.read(newest, _MARK)

    def set_ledger_mark(self, mark: bytes) -> None:
        def missing(newest: str | None) -> dict[str, bytes]:
            there = None if newest is None else self._branch.read(newest, _MARK)
            return {} if there == mark else {_MARK: mark}

        self._branch.change("marking the registry", missing)

    def _delete(self, message: str, path: str, still_ours: StillOurs) -> None:
        def there(newest: str | None) -> dict[str, None]:
            still_ours()
            return {} if newest is None else {file.path: None for file in self._branch.files(newest, path)}

        self._branch.change(message, there)
        self._seen = None

    def _newest(self) -> str | None:
        self._seen = self._branch.newest()
        return self._seen

    def _read(self, place: str) -> bytes:
        data = self._in_one_commit(lambda commit: self._branch.read(commit, place))
        if data is None:
            raise NotFound(f"{place} is not stored in {self._url}")
        return data

    def _in_one_commit(self, look: Callable[[str], T | None]) -> T | None:
        """What is found in the commit seen last, so that a model's parts are of one; else in the newest."""
        found = look(self._seen) if self._seen else None
        newest = self._newest() if not found else None
        return look(newest) if newest else found

    def _missing(self, commit: str | None, home: str, wanted: dict[str, bytes]) -> dict[str, bytes]:
        """What a commit lacks of the files wanted below `home`.

        Raises:
            IntegrityError: it has one of them with other content, or one more below `artifact/`.
        """
        found = {}
        if commit is not None:
            found = {file.path: file for file in self._branch.files(commit, home, _ATTRIBUTES)}
        for path in sorted(found.keys() - wanted.keys()):
            if path.startswith(f"{home}/artifact/"):
                raise IntegrityError(f"{path} is not in the manifest, remove it")
        known = sorted(found.keys() & wanted.keys())
        stored = self._branch.read_all([found[path].object_id for path in known])
        for path, data in zip(known, stored, strict=True):
            require_same(path, *_described(wanted[path]), *_described(data or b""))
        lacking = {path: content for path, content in wanted.items() if path not in found}
        if lacking and _ATTRIBUTES not in found:
            lacking[_ATTRIBUTES] = _IN_LFS
        return lacking


def _require_stored(transfer: LfsTransfer, name: str, pointer: Pointer) -> None:
    """Read back what the LFS server has: it keeps what it had before, however it came there."""
    found = hashlib.sha256()
    count = 0
    try:
        for chunk in transfer.fetch(pointer, name):
            found.update(chunk)
            count += len(chunk)
    except NotFound as error:
        raise Unavailable(f"{name} is not there although it was stored: run it again later") from error
    require_same(name, pointer.size, pointer.sha256, count, found.hexdigest())


def _described(data: bytes) -> tuple[int, str]:
    """Size and SHA-256 of what a file of a commit stands for."""
    pointer = Pointer.from_bytes(data)
    return (len(data), digest(data)) if pointer is None else (pointer.size, pointer.sha256)
