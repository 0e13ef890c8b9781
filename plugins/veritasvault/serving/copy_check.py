"""Verifies a cached copy of a version with public keys alone; what will be run is kept as it was hashed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from domain.registry.artifact import ArtifactFile
from domain.registry.errors import IntegrityError, NotPermitted, NotVerified
from domain.registry.events import ModelRegisteredEvent
from domain.registry.events.lifecycle import ModelRetiredEvent
from domain.registry.ledger.receipt import Receipt
from domain.registry.manifest import Manifest, ModelId
from domain.registry.ports import PublicKey
from domain.registry.proofs.bundle import ProofBundle
from domain.registry.proofs.check import ProofReport, verify_proof
from domain.registry.signing.public_keys import fingerprint
from domain.registry.staging import unavailable
from veritasvault.adapters.formats.onnx_format import EXTERNAL_SUFFIXES
from veritasvault.adapters.onnx_artifact import onnx_file
from veritasvault.adapters.signature_check import verify_signature

ARTIFACT, PROOF = "artifact", "proof.json"
"""The parts of a copy: the version's files, and what proves them. A copy without its proof is unfinished."""
_CHUNK = 1 << 20
_NO_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a copy was proved to be.

    Attributes:
        receipt: that the registration is in the ledger, under the checkpoint the copy was made with.
        contents: the bytes that were hashed, by path, of the files that ONNX Runtime and its inputs need.
    """

    event: ModelRegisteredEvent
    manifest: Manifest
    receipt: Receipt
    contents: Mapping[str, bytes]


def verify_copy(copy: Path, model_id: ModelId, keys: tuple[PublicKey, ...]) -> Verified:
    """Check signature, ledger entry, checkpoint and every file of a copy.

    Raises:
        IntegrityError: something in it was changed or is missing.
        NotVerified: it is whole, but signed by nobody whom the keys name, or not signed.
        NotPermitted: the version was retired before the copy was made.
        Unavailable: it cannot be read now.
    """
    report, bundle = _proved(copy, model_id, keys)
    event, manifest = report.event, report.manifest
    if event is None or manifest is None:
        raise IntegrityError(f"the proof in {copy} registers nothing")
    for later in report.later:
        if isinstance(later.event, ModelRetiredEvent):
            raise retired(bundle.reference, later.index)
    entry = next(entry for entry in bundle.entries if entry.index == bundle.index)
    receipt = Receipt(entry.index, entry.data, entry.proof, bundle.checkpoint)
    return Verified(event, manifest, receipt, _verified_files(copy / ARTIFACT, manifest))


def retired(reference: str, index: int) -> NotPermitted:
    """The refusal of a version that is out of use for good."""
    return NotPermitted(
        f"{reference} is retired since ledger entry {index}: load another version; veritas models retrieve "
        "still gives its files"
    )


def _proved(copy: Path, model_id: ModelId, keys: tuple[PublicKey, ...]) -> tuple[ProofReport, ProofBundle]:
    data = b"".join(_read(copy / PROOF))
    try:
        bundle = ProofBundle.from_bytes(data, f"{copy / PROOF}")
    except NotVerified as error:
        raise IntegrityError(str(error)) from error
    report = verify_proof(bundle, verify_signature, [fingerprint(key) for key in keys])
    if report.problems:
        raise IntegrityError(f"the proof in {copy} does not hold, {report.problems[0]}")
    if report.event is not None and report.event.model_id != model_id:
        raise IntegrityError(f"the proof in {copy} is of the model {report.event.model_id}")
    if not report.trusted:
        raise NotVerified(
            f"{bundle.reference} is vouched for by the key {report.signer}, which is none of this home's: "
            "copy the .vkey files of the registry's home into keys, if that is whom you trust"
        )
    if report.artifact_key is None:
        raise NotVerified(f"{bundle.reference} is not signed: register it again with a signing key")
    return report, bundle


def copy_verified(root: Path, manifest: Manifest, destination: Path) -> None:
    """Write an artifact's files below an empty directory, hashed once more on the way.

    Raises:
        IntegrityError: a file was changed since.
    """
    for file in manifest.artifact.files:
        place = destination / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(_hashed(root / file.path, file, keep=True) or b"")


def _verified_files(root: Path, manifest: Manifest) -> dict[str, bytes]:
    """Hash every file; return the contents of those that are run from memory."""
    listed = {file.path for file in manifest.artifact.files}
    for path in _paths(root):
        if path not in listed:
            raise IntegrityError(f"{root / path} is not in the manifest")
    kept: dict[str, bytes] = {}
    wanted = _run_from_memory(manifest)
    for file in manifest.artifact.files:
        content = _hashed(root / file.path, file, keep=file.path in wanted)
        if content is not None:
            kept[file.path] = content
    return kept


def _run_from_memory(manifest: Manifest) -> set[str]:
    """The ONNX file, the tensors and the signature beside it: what is run has to be what was hashed, so these
    files are not opened a second time."""
    model = onnx_file(manifest.artifact)
    if model is None:
        return set()
    beside = {file.path for file in manifest.artifact.files if file.path.endswith(EXTERNAL_SUFFIXES)}
    return {model, "signature.json"} | beside


def _hashed(place: Path, file: ArtifactFile, *, keep: bool) -> bytes | None:
    hasher, size = hashlib.sha256(), 0
    chunks: list[bytes] = []
    for chunk in _read(place):
        hasher.update(chunk)
        size += len(chunk)
        if keep:
            chunks.append(chunk)
    if (size, hasher.hexdigest()) != (file.size, file.sha256):
        raise IntegrityError(f"{place} was changed: it is not the file in the manifest")
    return b"".join(chunks) if keep else None


def _read(place: Path) -> Iterator[bytes]:
    """A regular file in chunks; links are not followed."""
    try:
        fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise IntegrityError(f"{place} is not a regular file")
            while chunk := os.read(fd, _CHUNK):
                yield chunk
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno in _NO_FILE:
            raise IntegrityError(f"{place} is missing or is a link") from error
        raise unavailable(error, f"reading {place}") from error


def _paths(root: Path) -> Iterator[str]:
    """Everything below that is not a directory, by its relative path; links to directories too."""
    try:
        for directory, folders, names in os.walk(root):
            links = [name for name in folders if (Path(directory) / name).is_symlink()]
            for name in (*names, *links):
                yield (Path(directory) / name).relative_to(root).as_posix()
    except OSError as error:
        raise unavailable(error, f"reading {root}") from error
