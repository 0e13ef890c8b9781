"""An Ed25519 signing key in a local directory, made at first use."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from domain.registry.checkpoint import key_id, parse_vkey, vkey
from domain.registry.errors import IntegrityError, InvalidInput, Unavailable
from domain.registry.ports import PublicKey

_PRIVATE = "signing-key.pem"
_PUBLIC_SUFFIX = ".vkey"


class LocalSigner:
    """A `SignerPort` over `directory/signing-key.pem` (PKCS#8, mode 0600).

    Beside it stands `<key id>.vkey` for each key there ever was: the public half in the signed-note form,
    ready to be handed to whoever verifies. Moving the private key away makes a new one at the next use;
    what the old one signed stays valid as long as its .vkey file stays.
    """

    def __init__(self, directory: Path, name: str = "veritasvault") -> None:
        """`name` stands in each note beside the signature, without white space and without '+'.

        Raises:
            InvalidInput: the name cannot stand there.
        """
        self._directory = directory
        self._name = name
        self._key: Ed25519PrivateKey | None = None
        try:
            parse_vkey(vkey(PublicKey(name, "ed25519", bytes(32))))
        except InvalidInput as error:
            raise InvalidInput(
                "signer name", name, "use a name without white space and without '+'"
            ) from error

    def sign(self, message: bytes) -> bytes:
        return self._private().sign(message)

    def public_keys(self) -> tuple[PublicKey, ...]:
        """The current key first, then older ones in the order of their files.

        Raises:
            IntegrityError: a .vkey file is not what this class writes.
            Unavailable: the directory cannot be read or written.
        """
        current = self._public(self._private())
        try:
            published = [_read_vkey(path) for path in sorted(self._directory.glob(f"*{_PUBLIC_SUFFIX}"))]
        except OSError as error:
            raise self._unavailable(error) from error
        return (current, *(key for key in published if key != current))

    @staticmethod
    def verify(key: PublicKey, message: bytes, signature: bytes) -> bool:
        if key.algorithm != "ed25519":
            return False
        try:
            Ed25519PublicKey.from_public_bytes(key.raw).verify(signature, message)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    def _private(self) -> Ed25519PrivateKey:
        """The key of the directory; of many processes that find none, one makes it and all use it."""
        if self._key is None:
            path = self._directory / _PRIVATE
            try:
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                if not path.exists():
                    pem = Ed25519PrivateKey.generate().private_bytes(
                        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
                    )
                    _put_if_absent(path, pem, 0o600)
                key = _read_private(path)
                public = self._public(key)
                published = self._directory / f"{key_id(public).hex()}{_PUBLIC_SUFFIX}"
                if not published.exists():
                    _put_if_absent(published, f"{vkey(public)}\n".encode(), 0o644)
            except OSError as error:
                raise self._unavailable(error) from error
            self._key = key
        return self._key

    def _public(self, key: Ed25519PrivateKey) -> PublicKey:
        return PublicKey(self._name, "ed25519", key.public_key().public_bytes_raw())

    def _unavailable(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"the signing key in {self._directory} cannot be used now ({error.strerror}): "
            "make the directory readable and writable for this user"
        )


def _read_private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise _damaged(path) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _damaged(path)
    return key


def _read_vkey(path: Path) -> PublicKey:
    try:
        return parse_vkey(path.read_bytes().decode().removesuffix("\n"))
    except (InvalidInput, UnicodeDecodeError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> IntegrityError:
    return IntegrityError(f"{path} is not an Ed25519 key: restore it from a backup")


def _put_if_absent(path: Path, content: bytes, mode: int) -> None:
    """Create the file durably and whole, or leave the one that another process created first."""
    handle, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            # os.link, because a rename would replace the other process's key.
            os.link(temporary, path)
        except FileExistsError:
            return
    finally:
        Path(temporary).unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
