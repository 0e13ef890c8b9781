"""Compares files on disk with the manifest that lists them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from domain.registry.artifact import Artifact, ArtifactFile
from domain.registry.errors import InvalidInput
from domain.registry.ledger.verification import Problem
from veritasvault.adapters.durable_files import hash_file


def artifact_problems(artifact: Artifact, path: Path) -> Iterator[Problem]:
    """What differs between a manifest's files and a file or directory, links included.

    A model of one file may be given as that file, under any name.

    Raises:
        InvalidInput: `path` does not exist or cannot be read.
    """
    try:
        if not path.exists():
            raise InvalidInput("--artifact", str(path), "there is no such file or directory")
        if path.is_dir():
            yield from _directory(artifact, path)
        elif len(artifact.files) > 1:
            yield Problem("artifact", f"it has {len(artifact.files)} files, give their directory")
        else:
            yield from _file(artifact.files[0], path)
    except OSError as error:
        raise InvalidInput("--artifact", str(path), f"it cannot be read ({error.strerror})") from error


def _directory(artifact: Artifact, root: Path) -> Iterator[Problem]:
    there = {path.relative_to(root).as_posix(): path for path in root.rglob("*")}
    for file in artifact.files:
        if file.path in there:
            yield from _file(file, there.pop(file.path))
        else:
            yield Problem(f"file {file.path}", "it is missing")
    for name in sorted(there):
        if there[name].is_symlink() or not there[name].is_dir():
            yield Problem(f"file {name}", "the manifest does not list it")


def _file(file: ArtifactFile, path: Path) -> Iterator[Problem]:
    if path.is_symlink() or not path.is_file():
        yield Problem(f"file {file.path}", "it is not a regular file")
        return
    sha256, size = hash_file(path)
    if size != file.size:
        yield Problem(f"file {file.path}", f"it has {size} bytes, the manifest says {file.size}")
    elif sha256 != file.sha256:
        yield Problem(f"file {file.path}", "its SHA-256 is not the one in the manifest")
