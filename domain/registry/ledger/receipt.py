"""The receipt: what proves, without the ledger, that an entry is in it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass, field

from domain.registry.canonical import decode, encode
from domain.registry.errors import DomainException, InvalidInput, NotVerified
from domain.registry.events import DomainEvent, event_from_bytes
from domain.registry.ledger.checkpoint import Checkpoint, Verify, open_checkpoint
from domain.registry.ledger.merkle import HASH_SIZE, leaf_hash, root_from_inclusion
from domain.registry.ports import PublicKey
from domain.registry.records import Fields

RECEIPT_FORMAT = "veritasvault/receipt/v1"


@dataclass(frozen=True, slots=True)
class Receipt:
    """An entry with its way to a signed root.

    Attributes:
        index: the entry's place in the ledger, from 0.
        entry: the canonical bytes of its event.
        proof: the RFC 9162 inclusion proof, 32 bytes each.
        checkpoint: the signed note whose tree the proof leads to.
    """

    index: int
    entry: bytes = field(repr=False)
    proof: tuple[bytes, ...] = field(repr=False)
    checkpoint: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """The canonical bytes of a receipt file; entry and checkpoint stand in it as readable text."""
        return encode(
            {
                "format": RECEIPT_FORMAT,
                "index": self.index,
                "entry": self.entry.decode(),
                "proof": [base64.b64encode(step).decode("ascii") for step in self.proof],
                "checkpoint": self.checkpoint.decode(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, what: str = "receipt") -> Receipt:
        """Read what `to_bytes` writes.

        Raises:
            NotVerified: for anything else, naming `what`.
        """
        try:
            fields = Fields.of(
                "receipt", decode(data, what), ("format", "index", "entry", "proof", "checkpoint")
            )
            if fields.values["format"] != RECEIPT_FORMAT:
                raise InvalidInput(
                    "receipt.format", fields.values["format"], f"only {RECEIPT_FORMAT} is known"
                )
            receipt = cls(
                fields.integer("index"),
                _text_bytes("entry", fields.values["entry"]),
                tuple(_hash(step) for step in fields.items("proof")),
                _text_bytes("checkpoint", fields.values["checkpoint"]),
            )
        except DomainException as error:
            raise NotVerified(f"{what} is not a receipt: {error}") from error
        if receipt.to_bytes() != data:
            raise NotVerified(f"{what} is not a receipt: reading and writing it gives other bytes")
        return receipt


@dataclass(frozen=True, slots=True)
class Proven:
    """What a verified receipt says: this event stands in the ledger that signed this checkpoint."""

    index: int
    event: DomainEvent
    checkpoint: Checkpoint


def verify_receipt(receipt: Receipt, keys: Iterable[PublicKey], verify: Verify) -> Proven:
    """Check signature, inclusion proof and entry, with nothing but the keys.

    Raises:
        NotVerified: one of them does not hold.
    """
    checkpoint = open_checkpoint(receipt.checkpoint, keys, verify)
    root = root_from_inclusion(receipt.index, checkpoint.size, leaf_hash(receipt.entry), receipt.proof)
    if root != checkpoint.root:
        raise NotVerified(
            f"the receipt's entry {receipt.index} is not under the root of its checkpoint of size "
            f"{checkpoint.size}: entry, place or proof was changed"
        )
    try:
        event = event_from_bytes(receipt.entry, f"the receipt's entry {receipt.index}")
    except DomainException as error:
        raise NotVerified(str(error)) from error
    return Proven(receipt.index, event, checkpoint)


def _text_bytes(name: str, value: object) -> bytes:
    if not isinstance(value, str):
        raise InvalidInput(f"receipt.{name}", value, "give a text")
    return value.encode()


def _hash(value: object) -> bytes:
    try:
        data = base64.b64decode(value, validate=True) if isinstance(value, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != HASH_SIZE:
        raise InvalidInput("receipt.proof", value, "give base64 texts of 32 bytes each")
    return data
