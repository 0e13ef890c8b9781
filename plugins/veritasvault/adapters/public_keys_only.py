"""Verifies with the public keys of a directory; who only verifies needs no private key, and makes none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from domain.registry.errors import NotVerified, Unavailable
from domain.registry.ports import PublicKey
from veritasvault.adapters.published_keys import PublishedKeys
from veritasvault.adapters.signature_check import verify_signature


class PublicKeysOnly:
    """A `SignerPort` that knows the checkpoint keys which `PublishedKeys` wrote, and signs nothing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._published = PublishedKeys(directory, "veritasvault", "ed25519")

    verify = staticmethod(verify_signature)

    def public_keys(self) -> tuple[PublicKey, ...]:
        """The keys in the order of their files.

        Raises:
            NotVerified: there is none.
            IntegrityError, Unavailable: as `PublishedKeys.all`.
        """
        keys = self._published.all()
        if not keys:
            raise NotVerified(
                f"there is no public key in {self._directory}: copy the .vkey files of the registry's home "
                "there"
            )
        return keys

    def sign(self, message: bytes) -> bytes:
        raise self._refusal()

    def rotate(self, announce: Callable[[PublicKey], None]) -> PublicKey:
        raise self._refusal()

    def _refusal(self) -> Unavailable:
        return Unavailable(f"nothing is signed with the public keys of {self._directory}, they only verify")
