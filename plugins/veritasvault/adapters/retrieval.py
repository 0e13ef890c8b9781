"""Takes a model out of any registry: every byte is checked before the result appears."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from domain.registry.artifact import Artifact, ArtifactFile
from domain.registry.canonical import digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound
from domain.registry.manifest import Manifest, ModelId
from domain.registry.ports import ModelRegistryPort
from domain.registry.staging import unavailable


def retrieve(registry: ModelRegistryPort, model_id: ModelId, destination: Path) -> None:
    """What `ModelRegistryPort.retrieve_model` promises, by the port's own reading verbs.

    Raises:
        NotFound, InvalidInput, IntegrityError: as the port says.
        Unavailable: the registry cannot be read or `destination` cannot be written.
    """
    _refuse_existing(destination)
    artifact = verified_manifest(model_id, registry.read_manifest(model_id)).artifact
    _require_exact_files(registry, model_id, artifact)
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{destination.name}.", dir=destination.parent))
    except OSError as error:
        raise unavailable(error, f"writing to {destination.parent}") from error
    try:
        for file in artifact.files:
            _write(registry, model_id, file, temporary)
        _show(temporary, destination)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def verified_manifest(model_id: ModelId, data: bytes) -> Manifest:
    """Parse stored manifest bytes after checking them against the id they are stored under."""
    name = f"models/{model_id}/metadata.json"
    found = ModelId(digest(data))
    if found != model_id:
        raise IntegrityError(f"{name} was changed: its SHA-256 is {found}, restore it from a backup")
    return Manifest.from_bytes(data, name)


def require_same(name: str, expected_size: int, expected_sha256: str, size: int, sha256: str) -> None:
    """Raise IntegrityError naming the object unless its size and digest are the expected ones."""
    if size != expected_size:
        raise IntegrityError(f"{name} has {size} bytes instead of {expected_size}, restore it from a backup")
    if sha256 != expected_sha256:
        raise IntegrityError(
            f"{name} was changed: its SHA-256 is {sha256} instead of {expected_sha256}, "
            "restore it from a backup"
        )


def _require_exact_files(registry: ModelRegistryPort, model_id: ModelId, artifact: Artifact) -> None:
    listed = {file.path: file.size for file in artifact.files}
    stored = {file.path: file.size for file in registry.contents(model_id)}
    for path in sorted(stored.keys() - listed.keys()):
        raise IntegrityError(f"models/{model_id}/artifact/{path} is not in the manifest, remove it")
    for path in sorted(listed.keys() - stored.keys()):
        raise IntegrityError(f"models/{model_id}/artifact/{path} is missing, restore it from a backup")


def _write(registry: ModelRegistryPort, model_id: ModelId, file: ArtifactFile, root: Path) -> None:
    name = f"models/{model_id}/artifact/{file.path}"
    sha256 = hashlib.sha256()
    size = 0
    try:
        chunks = registry.read_file(model_id, file.path)
        target = root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb", buffering=0) as out:
            for chunk in chunks:
                sha256.update(chunk)
                size += len(chunk)
                if size > file.size:
                    break
                _write_all(out.fileno(), chunk)
    except NotFound as error:
        raise IntegrityError(f"{name} is missing, restore it from a backup") from error
    except OSError as error:
        raise unavailable(error, f"writing {file.path}") from error
    require_same(name, file.size, file.sha256, size, sha256.hexdigest())


def _write_all(fd: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(fd, view) :]


def _show(temporary: Path, destination: Path) -> None:
    try:
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
        # rename would silently replace an empty directory made in the meantime.
        _refuse_existing(destination)
        temporary.rename(destination)
    except OSError as error:
        raise unavailable(error, f"writing {destination}") from error


def _refuse_existing(destination: Path) -> None:
    if os.path.lexists(destination):
        raise InvalidInput("destination", str(destination), "it exists, give a directory that does not")
