"""Files that survive a crash: hashed while they are copied, complete or absent, on disk when we say so."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

from domain.registry.canonical import Digest

_CHUNK = 1 << 20


def hash_file(path: Path) -> tuple[Digest, int]:
    """SHA-256 and size in bytes."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Digest(digest.hexdigest()), file.tell()


def copy_hashed(source: Path, target: Path) -> tuple[Digest, int]:
    """Copy a file in one pass; returns SHA-256 and size of what was copied."""
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as read, target.open("wb") as write:
        while chunk := read.read(_CHUNK):
            digest.update(chunk)
            write.write(chunk)
            size += len(chunk)
    return Digest(digest.hexdigest()), size


def sync(path: Path) -> None:
    """Force a file and its name to disk."""
    for each in (path, path.parent):
        handle = os.open(each, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_durably(path: Path, data: bytes) -> None:
    """Write a small file so that it is complete or absent, whatever happens."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync(path)
    finally:
        temporary.unlink(missing_ok=True)
