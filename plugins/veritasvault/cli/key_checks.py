"""The check of the signing keys, wherever they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from veritasvault.cli.checks import Check, sqlite_file

if TYPE_CHECKING:
    from domain.registry.events import KeyRole
    from domain.registry.ports import PublicKey
    from veritasvault.bootstrap import Application


def keys(application: Application) -> Check:
    """Whether the signing keys are there, private, good, and those that signed the ledger."""
    file = sqlite_file(application.settings.ledger)
    last = None if file is not None and not file.exists() else application.ledger.port.last_checkpoint()
    transit = application.settings.transit
    directory = application.settings.keys
    place = str(directory) if transit is None else f"{transit.url}/{transit.mount}"
    if transit is None:
        problem = _local_keys(directory, signed=last is not None)
        if problem is not None:
            return problem
    from domain.registry.errors import NotVerified
    from domain.registry.ledger.checkpoint import open_checkpoint, vkey
    from domain.registry.signing.key_ring import KeyRing
    from domain.registry.signing.public_keys import fingerprint

    signer = application.ledger.signer
    known = signer.public_keys()
    signing: list[tuple[KeyRole, PublicKey]] = [("checkpoint", known[0])]
    detail = f"in {place}: checkpoints by {vkey(known[0])}"
    if transit is not None or _artifact_key(directory).exists():
        artifact = application.artifact_signer.public_keys()[0]
        signing.append(("artifact", artifact))
        detail += f", artifacts by {fingerprint(artifact)}"
    if last is None:
        return Check("keys", "ok", detail)
    try:
        open_checkpoint(last.note, known, signer.verify)
    except NotVerified as error:
        lost = f"the last checkpoint does not verify: {error}"
        return Check("keys", "fail", lost, f"restore {directory} from a backup, then veritas verify --all")
    ring = KeyRing.of(application.ledger.view())
    for role, key in signing:
        ring.require_usable(role, key)
    return Check("keys", "ok", detail)


def _local_keys(directory: Path, *, signed: bool) -> Check | None:
    """What is wrong with private keys in a directory, or that there are none yet; None if all is well."""
    from veritasvault.adapters.local_signer import PRIVATE_FILES

    checkpoint = directory / PRIVATE_FILES["ed25519"]
    if not checkpoint.exists() and not signed:
        return Check("keys", "ok", f"{directory}: no key yet, the first registration makes it")
    if not checkpoint.exists():
        lost = f"{checkpoint} is missing, and the ledger is signed already"
        return Check("keys", "fail", lost, "restore the keys directory from a backup")
    for private in (checkpoint, _artifact_key(directory)):
        if private.exists() and private.stat().st_mode & 0o077:
            return Check("keys", "fail", f"{private} can be read by others", f"chmod 600 {private}")
    return None


def _artifact_key(directory: Path) -> Path:
    """A ledger that was signed before artifacts were has none yet; the next registration makes it."""
    from veritasvault.adapters.local_signer import PRIVATE_FILES

    return directory / PRIVATE_FILES["ecdsa-p256"]
