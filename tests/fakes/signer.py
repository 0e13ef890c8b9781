"""A `SignerPort` whose keys are in memory, for tests of what uses one."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from domain.registry.ports import PublicKey
from veritasvault.adapters.signature_check import verify_signature


class FakeSigner:
    """Real keys, the newest last; other objects on the same list are other processes."""

    def __init__(self, algorithm: str = "ecdsa-p256", keys: list[bytes] | None = None) -> None:
        """`keys` are the secrets that other objects share."""
        self._algorithm = algorithm
        self._secrets = keys if keys is not None else []
        if not self._secrets:
            self._secrets.append(self._new_secret())
        self._current = self._secrets[-1]

    verify = staticmethod(verify_signature)

    def sign(self, message: bytes) -> bytes:
        key = self._private(self._current)
        if isinstance(key, Ed25519PrivateKey):
            return key.sign(message)
        return key.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True))

    def public_keys(self) -> tuple[PublicKey, ...]:
        return tuple(self._public(secret) for secret in dict.fromkeys([self._current, *self._secrets]))

    def rotate(self, announce: Callable[[PublicKey], None]) -> PublicKey:
        new = self._new_secret()
        announce(self._public(new))
        self._secrets.append(new)
        self._current = new
        return self._public(new)

    def _new_secret(self) -> bytes:
        """32 bytes; as a number they are below the order of P-256."""
        return Ed25519PrivateKey.generate().private_bytes_raw()[:31].rjust(32, b"\0")

    def _private(self, secret: bytes) -> Ed25519PrivateKey | ec.EllipticCurvePrivateKey:
        if self._algorithm == "ed25519":
            return Ed25519PrivateKey.from_private_bytes(secret)
        return ec.derive_private_key(int.from_bytes(secret), ec.SECP256R1())

    def _public(self, secret: bytes) -> PublicKey:
        key = self._private(secret)
        if isinstance(key, Ed25519PrivateKey):
            return PublicKey("fake", "ed25519", key.public_key().public_bytes_raw())
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return PublicKey("fake", "ecdsa-p256", point)
