"""The files of a model: their names, sizes and digests, and the private copy that is worked on."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.registry.canonical import Digest, as_digest, digest_of
from domain.registry.errors import InvalidInput, UnsafeArtifact
from domain.registry.records import Fields


def as_artifact_path(field: str, value: object) -> str:
    """Return a relative POSIX path that no store, archive or signature format reads differently.

    Raises:
        UnsafeArtifact: for an absolute path, '..', '.git*', a backslash, control or unnormalised characters.
    """
    if not isinstance(value, str) or not value:
        raise UnsafeArtifact(field, value, "give a relative path such as model.onnx")
    if any(ord(c) < 32 or c == "\\" or ord(c) == 127 for c in value) or not unicodedata.is_normalized(
        "NFC", value
    ):
        raise UnsafeArtifact(
            field, value, "rename the file without backslash, control or unnormalised characters"
        )
    for part in value.split("/"):
        if part in ("", ".", ".."):
            raise UnsafeArtifact(field, value, "give a relative path without empty, '.' or '..' parts")
        if part.lower().startswith(".git"):
            raise UnsafeArtifact(field, value, "remove it, signature formats skip names that begin with .git")
        if len(part.encode()) > 200:
            raise UnsafeArtifact(field, value, "shorten each part of the path to 200 bytes")
    if len(value.encode()) > 700:
        raise UnsafeArtifact(field, value, "shorten the path to 700 bytes")
    return value


@dataclass(frozen=True, slots=True, order=True)
class ArtifactFile:
    """One file: relative POSIX path, size in bytes, SHA-256."""

    path: str
    size: int
    sha256: Digest

    def __post_init__(self) -> None:
        as_artifact_path("artifact.path", self.path)
        if isinstance(self.size, bool) or not isinstance(self.size, int) or not 0 <= self.size < 2**53:
            raise InvalidInput("artifact.size", self.size, "give a number of bytes")
        as_digest("artifact.sha256", self.sha256)

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "size": self.size, "sha256": self.sha256}

    @classmethod
    def from_json(cls, value: object) -> ArtifactFile:
        fields = Fields.of("artifact", value, tuple(cls.__slots__))
        return cls(**fields.values)


@dataclass(frozen=True, slots=True)
class Artifact:
    """The files of a model, sorted by path; its digest commits to all of them."""

    files: tuple[ArtifactFile, ...]

    def __post_init__(self) -> None:
        if not self.files:
            raise InvalidInput("artifact", "empty", "give a file or a directory with at least one file")
        files = tuple(sorted(self.files))
        folded: dict[str, str] = {}
        for file in files:
            other = folded.setdefault(file.path.casefold(), file.path)
            if other is not file.path:
                raise UnsafeArtifact("artifact.path", file.path, f"rename it, {other} differs only in case")
        object.__setattr__(self, "files", files)

    @property
    def digest(self) -> Digest:
        return digest_of(self.to_json())

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(file.size for file in self.files)

    def to_json(self) -> list[dict[str, Any]]:
        return [file.to_json() for file in self.files]

    @classmethod
    def from_json(cls, value: object) -> Artifact:
        if not isinstance(value, list):
            raise InvalidInput("artifact", value, "give a list of files")
        return cls(tuple(ArtifactFile.from_json(item) for item in value))


@dataclass(frozen=True, slots=True)
class StagedArtifact:
    """A private, finished copy of an artifact: `root / file.path` holds each of `artifact.files`."""

    root: Path
    artifact: Artifact
