"""Signing keys in a local directory, made at first use: Ed25519 or ECDSA P-256."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from domain.registry.errors import InvalidInput
from domain.registry.ledger.checkpoint import parse_vkey, vkey
from domain.registry.ports import PublicKey
from veritasvault.adapters.file_lock import file_lock
from veritasvault.adapters.published_keys import PublishedKeys, damaged, put, put_if_absent, unusable
from veritasvault.adapters.signature_check import verify_signature

PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey

PRIVATE_FILES = {"ed25519": "signing-key.pem", "ecdsa-p256": "artifact-key.pem"}
"""The file of each algorithm's private key."""


class LocalSigner:
    """A `SignerPort` over a private key of a directory (PKCS#8, mode 0600).

    Beside it stands the public half of each key there ever was, as `PublishedKeys` writes them. Rotation
    replaces the private key, and so does moving it away; what the old one signed stays valid as long as the
    file of its public half stays.

    ECDSA signatures are deterministic (RFC 6979), so that signing the same again gives the same bytes.
    """

    def __init__(self, directory: Path, name: str = "veritasvault", *, algorithm: str = "ed25519") -> None:
        """`name` stands in each note beside the signature, without white space and without '+'.

        Raises:
            InvalidInput: the name cannot stand there, or there is no such algorithm.
        """
        self._directory = directory
        self._name = name
        self._algorithm = algorithm
        self._published = PublishedKeys(directory, name, algorithm)
        self._key: PrivateKey | None = None
        if algorithm not in PRIVATE_FILES:
            raise InvalidInput("algorithm", algorithm, f"use one of {', '.join(PRIVATE_FILES)}")
        try:
            parse_vkey(vkey(PublicKey(name, "ed25519", bytes(32))))
        except InvalidInput as error:
            raise InvalidInput(
                "signer name", name, "use a name without white space and without '+'"
            ) from error

    verify = staticmethod(verify_signature)

    def sign(self, message: bytes) -> bytes:
        key = self._private()
        if isinstance(key, Ed25519PrivateKey):
            return key.sign(message)
        return key.sign(message, ECDSA(SHA256(), deterministic_signing=True))

    def public_keys(self) -> tuple[PublicKey, ...]:
        """The current key first, then older ones in the order of their files.

        Raises:
            IntegrityError: a key's file is not what this class writes.
            Unavailable: the directory cannot be read or written.
        """
        current = self._public(self._private())
        return (current, *(key for key in self._published.all() if key != current))

    def rotate(self, announce: Callable[[PublicKey], None]) -> PublicKey:
        """Replace the private key by a new one, once `announce` has returned; before, the old one stays.

        Raises:
            Contended: another process was rotating the key all the time.
            Unavailable: the directory cannot be written.
        """
        self._private()
        try:
            with file_lock(self._directory / ".rotation.lock", f"{self._path.name} in {self._directory}"):
                new = _generated(self._algorithm)
                public = self._public(new)
                # Before it can sign anything, so that no signature is ever without its public key.
                self._published.add(public)
                announce(public)
                put(self._path, _pem(new), 0o600)
        except OSError as error:
            raise unusable(self._directory, error) from error
        self._key = new
        return public

    @property
    def _path(self) -> Path:
        return self._directory / PRIVATE_FILES[self._algorithm]

    def _private(self) -> PrivateKey:
        """The key of the directory; of many processes that find none, one makes it and all use it."""
        if self._key is None:
            try:
                self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
                if not self._path.exists():
                    put_if_absent(self._path, _pem(_generated(self._algorithm)), 0o600)
                key = self._read()
            except OSError as error:
                raise unusable(self._directory, error) from error
            self._published.add(self._public(key))
            self._key = key
        return self._key

    def _read(self) -> PrivateKey:
        try:
            key = load_pem_private_key(self._path.read_bytes(), password=None)
        except (ValueError, TypeError) as error:
            raise damaged(self._path) from error
        is_p256 = isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
        right = is_p256 if self._algorithm == "ecdsa-p256" else isinstance(key, Ed25519PrivateKey)
        if not right:
            raise damaged(self._path)
        return cast(PrivateKey, key)

    def _public(self, key: PrivateKey) -> PublicKey:
        if isinstance(key, Ed25519PrivateKey):
            return PublicKey(self._name, "ed25519", key.public_key().public_bytes_raw())
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return PublicKey(self._name, "ecdsa-p256", point)


def _generated(algorithm: str) -> PrivateKey:
    return Ed25519PrivateKey.generate() if algorithm == "ed25519" else generate_private_key(SECP256R1())


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
