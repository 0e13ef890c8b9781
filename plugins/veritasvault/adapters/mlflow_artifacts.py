"""The files of one MLflow run by their names: uploaded, listed and read, on a server or in a directory."""

from __future__ import annotations

import posixpath
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from domain.registry.errors import IntegrityError, InvalidInput, NotFound
from domain.registry.ports import StillOurs, StoredFile
from domain.registry.staging import flush_directory
from veritasvault.adapters.durable_files import sync

RESERVED = frozenset({"MLmodel", "python_env.yaml", "registered_model_meta", "requirements.txt"})
"""What MLflow itself reads beside a model, and writes there when it loads one from a directory.

A model's own file of such a name is stored under another.
"""

_CHUNK = 1 << 20
# MLflow decodes '%' in paths, refuses '#', ends them at '?' and hides names that begin with its own dots.
_UNSAFE = re.compile(r"[%#?=]|(?<![^/])\.")
_LONGEST_NAME = 240


@dataclass(frozen=True, slots=True)
class RunArtifacts:
    """What a run keeps, below its artifact URI.

    An upload appears whole or not at all, and replaces what has the same name: MLflow has no conditional
    writes. Errors of MLflow pass through, the caller translates them.
    """

    uri: str
    tracking_uri: str

    def put_file(self, name: str, path: Path) -> None:
        """Upload a file under a name of `stored_name`; on a local disk it is flushed when this returns."""
        folder, _, last = name.rpartition("/")
        with tempfile.TemporaryDirectory() as scratch:
            source = path
            if path.name != last:
                # MLflow takes the name from the file.
                source = Path(scratch) / last
                source.symlink_to(path.absolute())
            self._repository.log_artifact(str(source), folder or None)
        self._flush(name)

    def put_bytes(self, name: str, content: bytes) -> None:
        """Upload a small file."""
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / posixpath.basename(name)
            path.write_bytes(content)
            self.put_file(name, path)

    def remove(self, name: str, still_ours: StillOurs) -> None:
        """Delete a file, or all below a folder; nothing if it is not there.

        Args:
            still_ours: is asked between looking for it and deleting it.
        """
        if name in self.sizes(posixpath.dirname(name)) or self.sizes(name):
            still_ours()
            self._repository.delete_artifacts(name)

    def sizes(self, folder: str) -> dict[str, int]:
        """Names below a folder, with it, and sizes in bytes; empty if there is no such folder."""
        found: dict[str, int] = {}
        for item in self._repository.list_artifacts(folder):
            if item.is_dir:
                found |= self.sizes(item.path)
            else:
                found[item.path] = int(item.file_size or 0)
        return found

    def read(self, name: str) -> Iterator[bytes]:
        """A file in chunks. Raises NotFound."""
        from mlflow.exceptions import MlflowException

        with tempfile.TemporaryDirectory() as scratch:
            try:
                path = self._repository.download_artifacts(name, None if self._directory else scratch)
                if Path(path).is_dir():
                    raise IntegrityError(f"{name} is a directory in MLflow, remove it")
            except MlflowException:
                # The error says the same for what is missing and for what is broken.
                if name not in self.sizes(posixpath.dirname(name)):
                    raise NotFound(f"{name} is not stored") from None
                raise
            with Path(path).open("rb") as content:
                while chunk := content.read(_CHUNK):
                    yield chunk

    @property
    def _repository(self) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(self.uri, tracking_uri=self.tracking_uri)

    @property
    def _directory(self) -> Path | None:
        """Where the files are if that is a local disk."""
        parts = urlsplit(self.uri)
        return Path(url2pathname(parts.path)) if parts.scheme in ("", "file") else None

    def _flush(self, name: str) -> None:
        root = self._directory
        if root is None:
            return  # the server's store decides what is durable
        sync(root / name)
        for parent in (root / name).parents:
            if parent == root or root in parent.parents:
                flush_directory(parent)
        flush_directory(root.parent)


def stored_name(path: str) -> str:
    """The name of a model's file in a run: the path itself wherever MLflow lets it be.

    Characters that MLflow would read differently become '=XX', and so does the first of a reserved name.

    Raises:
        InvalidInput: the name gets too long for a file system.
    """
    name = _UNSAFE.sub(lambda match: "".join(f"={byte:02X}" for byte in match.group().encode()), path)
    if name in RESERVED:
        name = f"={ord(name[0]):02X}{name[1:]}"
    if any(len(part.encode()) > _LONGEST_NAME for part in name.split("/")):
        raise InvalidInput("artifact.path", path, "shorten the name, MLflow needs '%', '#', '?', '=' escaped")
    return name


def artifact_path(name: str) -> str:
    """The path of a model's file from its `stored_name`."""
    return unquote(name.replace("=", "%"))


def artifact_files(sizes: dict[str, int], folder: str) -> list[StoredFile]:
    """A model's files among the names below a folder, in the order of paths, without MLflow's own."""
    names = {name.removeprefix(f"{folder}/"): size for name, size in sizes.items()}
    found = [StoredFile(artifact_path(name), size) for name, size in names.items() if name not in RESERVED]
    return sorted(found, key=lambda file: file.path)
