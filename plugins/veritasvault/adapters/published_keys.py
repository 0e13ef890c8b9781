"""Public keys as files of a directory, ready to be handed to whoever verifies; none is ever removed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from domain.registry.errors import IntegrityError, InvalidInput, Unavailable
from domain.registry.ledger.checkpoint import key_id, parse_vkey, vkey
from domain.registry.ports import PublicKey
from domain.registry.signing.public_keys import fingerprint, from_pem, to_pem


class PublishedKeys:
    """The public keys of one algorithm that ever signed, one file each.

    An Ed25519 key is `<key id>.vkey`, a line in the form of signed notes; a P-256 key is `<fingerprint>.pub`,
    the PEM text that `model_signing verify key --public_key` takes.
    """

    def __init__(self, directory: Path, name: str, algorithm: str) -> None:
        """`name` is given to P-256 keys, whose files hold none."""
        self._directory = directory
        self._name = name
        self._suffix = ".vkey" if algorithm == "ed25519" else ".pub"

    def add(self, key: PublicKey) -> None:
        """Write a key's file durably, unless it is there already. Raises Unavailable."""
        if self._suffix == ".vkey":
            place, text = f"{key_id(key).hex()}.vkey", f"{vkey(key)}\n"
        else:
            place, text = f"{fingerprint(key)}.pub", to_pem(key)
        path = self._directory / place
        try:
            if not path.exists():
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                put_if_absent(path, text.encode(), 0o644)
        except OSError as error:
            raise unusable(self._directory, error) from error

    def all(self) -> tuple[PublicKey, ...]:
        """The keys in the order of their files.

        Raises:
            IntegrityError: a file is not what this class writes.
            Unavailable: the directory cannot be read.
        """
        try:
            return tuple(self._read(path) for path in sorted(self._directory.glob(f"*{self._suffix}")))
        except OSError as error:
            raise unusable(self._directory, error) from error

    def _read(self, path: Path) -> PublicKey:
        try:
            text = path.read_bytes().decode()
            if self._suffix == ".vkey":
                return parse_vkey(text.removesuffix("\n"))
            key = from_pem(self._name, text)
        except (InvalidInput, UnicodeDecodeError) as error:
            raise damaged(path) from error
        if path.stem != fingerprint(key):
            raise damaged(path)
        return key


def put_if_absent(path: Path, content: bytes, mode: int) -> None:
    """Create the file durably and whole, or leave the one that another process created first."""
    temporary = _written(path, content, mode)
    try:
        # os.link, because a rename would replace the other process's file.
        os.link(temporary, path)
    except FileExistsError:
        return
    finally:
        temporary.unlink()
    _sync(path.parent)


def put(path: Path, content: bytes, mode: int) -> None:
    """Create or replace the file durably, so that it is whole at any moment."""
    temporary = _written(path, content, mode)
    try:
        temporary.replace(path)
    except OSError:
        temporary.unlink()
        raise
    _sync(path.parent)


def damaged(path: Path) -> IntegrityError:
    """The error for a file that holds no key."""
    return IntegrityError(f"{path} is not a key: restore it from a backup")


def unusable(directory: Path, error: OSError) -> Unavailable:
    """The error for a directory of keys that cannot be read or written."""
    return Unavailable(
        f"the signing key in {directory} cannot be used now ({error.strerror}): "
        "make the directory readable and writable for this user"
    )


def _written(path: Path, content: bytes, mode: int) -> Path:
    """A temporary file beside `path` with the content, on disk."""
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        Path(temporary).unlink()
        raise
    return Path(temporary)


def _sync(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
