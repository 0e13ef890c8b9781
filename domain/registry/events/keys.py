"""What happens to signing keys: one is introduced before its first use, one is revoked.

The events about keys are numbered from 0 without gaps, and the number is in the dedupe key, so the keys of a
ledger are found without reading its other events.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from domain.registry.base64_text import decode64, encode64
from domain.registry.canonical import Digest
from domain.registry.errors import InvalidInput
from domain.registry.events.record import Provenance, Record
from domain.registry.ports import PublicKey
from domain.registry.signing.public_keys import fingerprint, from_spki, to_spki

KeyRole = Literal["artifact", "checkpoint"]
"""What a key signs: the artifacts of versions, or the checkpoints of the ledger."""

KEY_ROLES: tuple[KeyRole, ...] = ("artifact", "checkpoint")


def key_event_key(sequence: int) -> str:
    """Dedupe key of the event about keys with this number."""
    return f"keys:{sequence}"


def as_key_role(field: str, value: object) -> KeyRole:
    """Return 'artifact' or 'checkpoint', or raise InvalidInput."""
    for role in KEY_ROLES:
        if value == role:
            return role
    raise InvalidInput(field, value, f"use one of {', '.join(KEY_ROLES)}")


@dataclass(frozen=True, slots=True)
class KeyIntroducedEvent(Record):
    """From here on signatures of this key are accepted, until an entry revokes it.

    Attributes:
        name: the key's name, which stands in signed notes.
        public_key: base64 of the key's SubjectPublicKeyInfo.
        fingerprint: SHA-256 of the key's PEM text, by which signatures and revocations name it.
        provenance: which run and person brought it.
    """

    KIND: ClassVar[str] = "KeyIntroduced"

    sequence: int
    role: Annotated[KeyRole, as_key_role]
    name: str
    public_key: str
    fingerprint: Digest
    provenance: Provenance
    at: dt.datetime

    def __post_init__(self) -> None:
        if fingerprint(self.to_public_key()) != self.fingerprint:
            raise InvalidInput("fingerprint", self.fingerprint, f"it is not that of the key {self.name}")

    @classmethod
    def of(
        cls, sequence: int, role: KeyRole, key: PublicKey, provenance: Provenance, at: dt.datetime
    ) -> KeyIntroducedEvent:
        """The event that introduces a key."""
        return cls(sequence, role, key.name, encode64(to_spki(key)), fingerprint(key), provenance, at)

    @property
    def key(self) -> str:
        return key_event_key(self.sequence)

    def to_public_key(self) -> PublicKey:
        """The key itself. Raises InvalidInput if the event holds none."""
        der = decode64(self.public_key)
        if der is None:
            raise InvalidInput("public_key", self.public_key, "give the base64 of a public key's DER")
        return from_spki(self.name, der)


@dataclass(frozen=True, slots=True)
class KeyRevokedEvent(Record):
    """From here on signatures of this key are refused; those of earlier entries stay valid.

    What counts is a signature's place in the ledger and never a time that somebody claims, because whoever
    has the key can claim any time.
    """

    KIND: ClassVar[str] = "KeyRevoked"

    sequence: int
    fingerprint: Digest
    reason: str
    provenance: Provenance
    at: dt.datetime

    @property
    def key(self) -> str:
        return key_event_key(self.sequence)


KEY_EVENTS: tuple[type[Record], ...] = (KeyIntroducedEvent, KeyRevokedEvent)
