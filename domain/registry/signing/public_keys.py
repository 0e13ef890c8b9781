"""Public keys as everybody else writes them, and the fingerprint by which the ledger knows a key.

The DER form is the SubjectPublicKeyInfo of RFC 5280; what stands before the key's own bytes is constant for
each algorithm (RFC 8410 for Ed25519, RFC 5480 for P-256), so no ASN.1 parser is needed.
"""

from __future__ import annotations

import textwrap

from domain.registry.base64_text import decode64, encode64
from domain.registry.canonical import Digest, digest
from domain.registry.errors import InvalidInput
from domain.registry.ports import PublicKey

_PREFIXES = {
    "ed25519": bytes.fromhex("302a300506032b6570032100"),
    "ecdsa-p256": bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200"),
}
_SIZES = {"ed25519": 32, "ecdsa-p256": 65}
_UNCOMPRESSED = b"\x04"
"""First byte of a point whose both coordinates are written out (SEC 1, section 2.3.3)."""


def to_spki(key: PublicKey) -> bytes:
    """The key as DER, without its name.

    Raises:
        InvalidInput: the algorithm is unknown, or the bytes are no key of it.
    """
    prefix = _PREFIXES.get(key.algorithm)
    if prefix is None:
        raise InvalidInput("key.algorithm", key.algorithm, f"use one of {', '.join(_PREFIXES)}")
    point = key.algorithm == "ecdsa-p256"
    if len(key.raw) != _SIZES[key.algorithm] or (point and not key.raw.startswith(_UNCOMPRESSED)):
        raise InvalidInput("key.raw", key.raw.hex(), f"give the bytes of an {key.algorithm} key")
    return prefix + key.raw


def from_spki(name: str, der: bytes) -> PublicKey:
    """Read what `to_spki` writes, and give the key a name.

    Raises:
        InvalidInput: for anything else.
    """
    for algorithm, prefix in _PREFIXES.items():
        if der.startswith(prefix):
            key = PublicKey(name, algorithm, der[len(prefix) :])
            to_spki(key)
            return key
    raise InvalidInput("public key", der.hex(), "give the DER of an Ed25519 or a P-256 key")


def to_pem(key: PublicKey) -> str:
    """The key as RFC 7468 text, which `model_signing verify key --public_key` and OpenSSL read."""
    lines = textwrap.wrap(encode64(to_spki(key)), 64)
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])


def from_pem(name: str, text: str) -> PublicKey:
    """Read what `to_pem` writes, and give the key a name.

    Raises:
        InvalidInput: for anything else, also for the same key with other line breaks.
    """
    der = decode64("".join(text.split("\n")[1:-2]))
    if der is not None:
        key = from_spki(name, der)
        if to_pem(key) == text:
            return key
    raise InvalidInput("public key", text, "give the PEM text of an Ed25519 or a P-256 key")


def fingerprint(key: PublicKey) -> Digest:
    """SHA-256 of the PEM text: the hint by which OpenSSF model signatures name a key."""
    return digest(to_pem(key).encode("ascii"))
