"""The proof bundle: one file with all that an outsider needs to check what is said of a version.

`docs/formats.md` publishes the format. Reading is strict, as everywhere: writing what was read gives the
same bytes. What a bundle proves is said by `proof_check`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from domain.registry.base64_text import decode64, encode64
from domain.registry.canonical import Digest, as_digest, decode, encode
from domain.registry.errors import DomainException, InvalidInput, NotVerified
from domain.registry.events.record import as_version
from domain.registry.ledger.merkle import HASH_SIZE
from domain.registry.metadata import as_model_name
from domain.registry.records import Fields

PROOF_FORMAT = "veritasvault/proof/v1"

Scope = Literal["version", "full"]
"""Which entries a bundle carries: those about its version and about keys, or all up to the checkpoint."""

SCOPES: tuple[Scope, ...] = ("version", "full")


@dataclass(frozen=True, slots=True)
class BundledEntry:
    """An entry of the ledger with its way to the root.

    Attributes:
        index: its place in the ledger, from 0.
        data: the canonical bytes of its event.
        proof: the RFC 9162 inclusion proof, 32 bytes each; empty in full bundles, whose entries give
            the root.
    """

    index: int
    data: bytes = field(repr=False)
    proof: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProofBundle:
    """What a bundle file holds; nothing of it is checked yet.

    Attributes:
        name, version, index: the version that the bundle is about, and the entry that registers it.
        key: the public key that signed the checkpoint, in the form of signed notes (`checkpoint.vkey`).
        checkpoint: the signed note.
        entries: in the order of the ledger, each index once.
        manifest: the manifest's bytes.
        attachments: contents by SHA-256.
    """

    name: str
    version: int
    index: int
    scope: Scope
    key: str
    checkpoint: bytes = field(repr=False)
    entries: tuple[BundledEntry, ...] = field(repr=False)
    manifest: bytes = field(repr=False)
    attachments: Mapping[Digest, bytes] = field(repr=False)

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"

    def to_bytes(self) -> bytes:
        """The canonical bytes of a bundle file; texts stand in it as text, all other bytes as base64."""
        return encode(
            {
                "format": PROOF_FORMAT,
                "subject": {"name": self.name, "version": self.version, "index": self.index},
                "scope": self.scope,
                "key": self.key,
                "checkpoint": self.checkpoint.decode(),
                "entries": [
                    {
                        "index": entry.index,
                        "entry": entry.data.decode(),
                        "proof": [encode64(step) for step in entry.proof],
                    }
                    for entry in self.entries
                ],
                "manifest": self.manifest.decode(),
                "attachments": {sha256: encode64(data) for sha256, data in self.attachments.items()},
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, what: str = "bundle") -> ProofBundle:
        """Read what `to_bytes` writes.

        Raises:
            NotVerified: for anything else, naming `what`.
        """
        try:
            bundle = _read(decode(data, what))
        except DomainException as error:
            raise NotVerified(f"{what} is not a proof bundle: {error}") from error
        if bundle.to_bytes() != data:
            raise NotVerified(f"{what} is not a proof bundle: reading and writing it gives other bytes")
        return bundle


def _read(value: object) -> ProofBundle:
    names = "format subject scope key checkpoint entries manifest attachments"
    fields = Fields.of("bundle", value, tuple(names.split()))
    found = fields.values
    if found["format"] != PROOF_FORMAT:
        raise InvalidInput("bundle.format", found["format"], f"only {PROOF_FORMAT} is known")
    subject = Fields.of("subject", found["subject"], ("name", "version", "index"))
    entries = tuple(_entry(item) for item in fields.items("entries"))
    indices = [entry.index for entry in entries]
    if indices != sorted(set(indices)):
        raise InvalidInput("bundle.entries", indices, "give each entry once, in the order of the ledger")
    return ProofBundle(
        name=as_model_name("subject.name", subject.values["name"]),
        version=as_version("subject.version", subject.values["version"]),
        index=subject.integer("index"),
        scope=_scope(found["scope"]),
        key=fields.text("key"),
        checkpoint=_text("bundle.checkpoint", found["checkpoint"]),
        entries=entries,
        manifest=_text("bundle.manifest", found["manifest"]),
        attachments={
            as_digest("bundle.attachments", sha256): _bytes(f"attachments.{sha256}", content)
            for sha256, content in fields.mapping("attachments").items()
        },
    )


def _entry(value: object) -> BundledEntry:
    fields = Fields.of("entry", value, ("index", "entry", "proof"))
    proof = tuple(_bytes("entry.proof", step) for step in fields.items("proof"))
    if any(len(step) != HASH_SIZE for step in proof):
        raise InvalidInput("entry.proof", fields.values["proof"], "give base64 texts of 32 bytes each")
    return BundledEntry(fields.integer("index"), _text("entry.entry", fields.values["entry"]), proof)


def _scope(value: object) -> Scope:
    for scope in SCOPES:
        if value == scope:
            return scope
    raise InvalidInput("bundle.scope", value, f"use one of {', '.join(SCOPES)}")


def _text(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise InvalidInput(name, value, "give a text")
    return value.encode()


def _bytes(name: str, value: object) -> bytes:
    data = decode64(value) if isinstance(value, str) else None
    if data is None:
        raise InvalidInput(name, value, "give a base64 text")
    return data
