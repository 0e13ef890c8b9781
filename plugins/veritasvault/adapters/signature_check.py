"""Checks signatures of both algorithms with public keys alone, wherever the private keys are kept."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from domain.registry.ports import PublicKey


def verify_signature(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """`SignerPort.verify`: whether the signature is this key's over the message."""
    try:
        if key.algorithm == "ed25519":
            Ed25519PublicKey.from_public_bytes(key.raw).verify(signature, message)
        elif key.algorithm == "ecdsa-p256":
            point = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), key.raw)
            point.verify(signature, message, ECDSA(SHA256()))
        else:
            return False
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
