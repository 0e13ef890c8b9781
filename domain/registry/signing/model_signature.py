"""Model signatures in the OpenSSF Model Signing format, made from digests that are known already.

A signature is a sigstore bundle (https://docs.sigstore.dev/about/bundle/) around a DSSE envelope
(https://github.com/secure-systems-lab/dsse) around an in-toto statement that lists the files with their
SHA-256, as model-signing 1.1 writes and reads them; the stock `model_signing verify key` accepts it. The
statement's subject is named by the model id, so that a signature vouches for the whole manifest and fits no
other model with the same files.

Reading is stricter than the format asks: JSON has to be canonical, and the statement has to be the one
that this module makes of the manifest, so that no bit of a bundle can change unseen.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from domain.registry.artifact import Artifact
from domain.registry.base64_text import decode64, encode64
from domain.registry.canonical import Digest, Json, as_digest, decode, encode
from domain.registry.errors import DomainException, InvalidInput, NotVerified
from domain.registry.ledger.checkpoint import Verify
from domain.registry.manifest import Manifest
from domain.registry.ports import PublicKey, SignerPort
from domain.registry.records import Fields
from domain.registry.signing.public_keys import fingerprint

SIGNATURE_NAME = "model.sig"
"""Name of the attachment, the one that the stock command uses too."""
SIGNING_KEY = "signing_key"
"""Name in a registration's provenance; its value is the fingerprint of the key that signed the artifact."""
BUNDLE_MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
ALGORITHM = "ecdsa-p256"
"""What a key has to be: the format takes elliptic curves only."""

_SERIALIZATION: Json = {"method": "files", "hash_type": "sha256", "allow_symlinks": False}
_LONE_FILE = "."
"""How the format calls the file of a model that is a file and not a directory."""


@dataclass(frozen=True, slots=True)
class ModelSignature:
    """What a bundle holds.

    Attributes:
        key: fingerprint of the key that is said to have signed.
        payload: the in-toto statement, canonical JSON.
        signature: ECDSA over SHA-256 of the payload's pre-authentication encoding, DER.
    """

    key: Digest
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """The bundle, canonical JSON."""
        return encode(
            {
                "mediaType": BUNDLE_MEDIA_TYPE,
                "verificationMaterial": {"publicKey": {"hint": self.key}, "tlogEntries": []},
                "dsseEnvelope": {
                    "payload": encode64(self.payload),
                    "payloadType": PAYLOAD_TYPE,
                    "signatures": [{"sig": encode64(self.signature), "keyid": ""}],
                },
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, what: str = SIGNATURE_NAME) -> ModelSignature:
        """Read what `to_bytes` writes; nothing is verified yet.

        Raises:
            NotVerified: for anything else, naming `what`.
        """
        try:
            bundle = Fields.of(
                "bundle", decode(data, what), ("mediaType", "verificationMaterial", "dsseEnvelope")
            )
            material = Fields.of(
                "material", bundle.values["verificationMaterial"], ("publicKey", "tlogEntries")
            )
            hint = Fields.of("publicKey", material.values["publicKey"], ("hint",))
            envelope = Fields.of(
                "envelope", bundle.values["dsseEnvelope"], ("payload", "payloadType", "signatures")
            )
            signature = Fields.of("signature", _only(envelope.items("signatures")), ("sig", "keyid"))
            found = cls(
                as_digest("publicKey.hint", hint.values["hint"]),
                _bytes("envelope.payload", envelope.values["payload"]),
                _bytes("signature.sig", signature.values["sig"]),
            )
        except DomainException as error:
            raise NotVerified(f"{what} is not a model signature: {error}") from error
        if found.to_bytes() != data:
            raise NotVerified(f"{what} is not a model signature: reading and writing it gives other bytes")
        return found


def statement(manifest: Manifest, *, as_file: bool = False) -> bytes:
    """The in-toto statement about a manifest's files, canonical JSON.

    Args:
        as_file: for a model of one file, sign it as a file, which `model_signing verify key FILE` expects;
            otherwise it is signed as a directory that holds the files at their paths.

    Raises:
        InvalidInput: `as_file`, but there are several files.
    """
    files = _resources(manifest.artifact, as_file=as_file)
    # The format's digest of a model: over the raw digests of its files, one after the other.
    root = hashlib.sha256(b"".join(bytes.fromhex(sha256) for _, sha256 in files)).hexdigest()
    return encode(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": manifest.model_id, "digest": {"sha256": root}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "serialization": _SERIALIZATION,
                "resources": [
                    {"name": name, "algorithm": "sha256", "digest": sha256} for name, sha256 in files
                ],
            },
        }
    )


def pre_authentication_encoding(payload: bytes) -> bytes:
    """The bytes that are signed for a payload: DSSE version 1, section 'Signature Definition'."""
    head = f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} "
    return head.encode("ascii") + payload


def sign_model(manifest: Manifest, signer: SignerPort, *, as_file: bool = False) -> ModelSignature:
    """Sign a manifest's files with the signer's current key; no file is read.

    Raises:
        InvalidInput: the signer's key is of another algorithm than the format takes.
        Unavailable: the signer cannot be used now.
    """
    key = signer.public_keys()[0]
    if key.algorithm != ALGORITHM:
        raise InvalidInput("artifact key", key.algorithm, f"sign models with an {ALGORITHM} key")
    payload = statement(manifest, as_file=as_file)
    return ModelSignature(fingerprint(key), payload, signer.sign(pre_authentication_encoding(payload)))


def verify_model(signature: ModelSignature, manifest: Manifest, key: PublicKey, verify: Verify) -> None:
    """Check that the key signed this manifest's files.

    Raises:
        NotVerified: another key signed, other files or another manifest are signed, or the signature does
            not hold.
    """
    if key.algorithm != ALGORITHM or fingerprint(key) != signature.key:
        raise NotVerified(f"it is by the key {signature.key}, not by {fingerprint(key)}")
    if signature.payload not in _statements(manifest):
        raise NotVerified("it signs other files than the manifest lists, or another manifest")
    if not verify(key, pre_authentication_encoding(signature.payload), signature.signature):
        raise NotVerified(f"the signature by the key {signature.key} does not hold")


def _statements(manifest: Manifest) -> tuple[bytes, ...]:
    """What may be signed for a manifest, which does not tell a file from a directory with one file."""
    if len(manifest.artifact.files) > 1:
        return (statement(manifest),)
    return statement(manifest), statement(manifest, as_file=True)


def _resources(artifact: Artifact, *, as_file: bool) -> list[tuple[str, Digest]]:
    """Names and SHA-256 of the files in the format's order, which sorts by the parts of paths."""
    if as_file:
        if len(artifact.files) > 1:
            raise InvalidInput("as_file", len(artifact.files), "sign several files as a directory")
        return [(_LONE_FILE, artifact.files[0].sha256)]
    files = sorted(artifact.files, key=lambda file: file.path.split("/"))
    return [(file.path, file.sha256) for file in files]


def _only(signatures: list[Any]) -> object:
    if len(signatures) != 1:
        raise InvalidInput("envelope.signatures", len(signatures), "give one signature")
    return signatures[0]


def _bytes(name: str, value: object) -> bytes:
    data = decode64(value) if isinstance(value, str) else None
    if data is None:
        raise InvalidInput(name, value, "give a base64 text")
    return data
