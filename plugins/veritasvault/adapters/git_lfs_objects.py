"""Git LFS objects of a remote repository: the files that a commit only points at, under their SHA-256."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from domain.registry.canonical import Digest
from domain.registry.errors import IntegrityError, NotFound
from domain.registry.staging import private_directory, unavailable
from veritasvault.adapters.git_command import Git, GitFailed, make_bare, translated

_CHUNK = 1 << 20
_LONGEST = 1024
"""Bytes that a pointer may have, by its specification."""
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize (0|[1-9][0-9]*)\n"
)
_MISSING = ("missing object", "does not exist on the server", "Object does not exist", "404")
_CHANGED = ("invalid hash", "expected OID")


@dataclass(frozen=True, slots=True)
class Pointer:
    """What a commit has in place of a file: its SHA-256 and size in bytes.

    The format is Git LFS's docs/spec.md; an empty file is its own pointer.
    """

    sha256: Digest
    size: int

    def to_bytes(self) -> bytes:
        if self.size == 0:
            return b""
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n"
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Pointer | None:
        """Read what `to_bytes` writes for a file that is not empty; None for anything else."""
        match = _POINTER.fullmatch(data) if len(data) <= _LONGEST else None
        return match and cls(Digest(match.group(1).decode()), int(match.group(2)))


class LfsObjects:
    """The objects that belong to a repository; git-lfs finds their server by its own rules."""

    def __init__(self, url: str, scratch: Path) -> None:
        """`scratch` is a directory for copies under way, best on the file system of what is pushed."""
        self.url = url
        self._scratch = scratch

    @contextmanager
    def transfer(self) -> Iterator[LfsTransfer]:
        """A way to send and fetch objects until the block ends, through a repository that ends with it."""
        with private_directory(self._scratch) as private:
            try:
                git = make_bare(private, self.url)
            except OSError as error:
                raise unavailable(error, f"using {private}") from error
            yield LfsTransfer(git, self.url)


@dataclass(frozen=True, slots=True)
class LfsTransfer:
    """Sends and fetches objects through a private repository.

    Attributes:
        url: of the repository that they belong to.
    """

    git: Git
    url: str

    def push(self, files: Mapping[Digest, Path]) -> None:
        """Send objects that the server does not have; one it has it keeps, whatever its content is."""
        if not files:
            return
        for sha256, path in files.items():
            _place(path, self._object(sha256))
        names = "\n".join(files).encode() + b"\n"
        try:
            self.git.run("lfs", "push", "--object-id", "--stdin", "origin", given=names)
        except GitFailed as error:
            raise translated(error, "storing files with git-lfs", self.url) from error

    def fetch(self, pointer: Pointer, name: str) -> Iterator[bytes]:
        """The object as the server has it now, in chunks; `name` says in errors what it is.

        Raises:
            NotFound: the server does not have it, or has one of another size.
            IntegrityError: what the server sent has another SHA-256.
        """
        if pointer.size == 0:
            return
        copy = self._object(pointer.sha256)
        try:
            copy.unlink(missing_ok=True)  # git-lfs would not ask the server for what is here
            self._download(pointer, name)
            with copy.open("rb") as content:
                while chunk := content.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise unavailable(error, f"reading {name}") from error

    def _download(self, pointer: Pointer, name: str) -> None:
        try:
            self.git.run("lfs", "smudge", "--", name, given=pointer.to_bytes(), discard=True)
        except GitFailed as error:
            if any(sign in error.text for sign in _CHANGED):
                raise IntegrityError(
                    f"{name} was changed: the LFS object {pointer.sha256} of {self.url} has another SHA-256, "
                    "restore it from a backup"
                ) from error
            if any(sign in error.text for sign in _MISSING):
                raise NotFound(
                    f"{name} is not stored: {self.url} has no LFS object {pointer.sha256} of its size"
                ) from error
            raise translated(error, f"reading {name}", self.url) from error

    def _object(self, sha256: Digest) -> Path:
        """Where git-lfs keeps an object in the private repository."""
        return self.git.directory / "lfs" / "objects" / sha256[:2] / sha256[2:4] / sha256


def _place(source: Path, place: Path) -> None:
    """Give a staged file another name, or copy it where that cannot be."""
    try:
        # A remote that is a directory gets this very file, and others have to read it there.
        source.chmod(0o444)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, place)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                raise
            shutil.copyfile(source, place)
    except OSError as error:
        raise unavailable(error, f"copying {source.name}") from error
