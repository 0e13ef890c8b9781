"""Checkpoints: the size and root of a ledger as a C2SP tlog-checkpoint in an Ed25519 signed note.

Formats: https://c2sp.org/tlog-checkpoint and https://c2sp.org/signed-note. Reading is strict: writing
what was read gives the same bytes, so that no bit of a note can change unseen.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from domain.registry.base64_text import decode64, encode64
from domain.registry.errors import InvalidInput, NotVerified
from domain.registry.ledger.merkle import HASH_SIZE
from domain.registry.ports import PublicKey, SignerPort

Verify = Callable[[PublicKey, bytes, bytes], bool]
"""`SignerPort.verify`: whether the signature is this key's over the message."""

_ED25519 = b"\x01"
_KEY_ID_SIZE = 4
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_SIGNATURE_PREFIX = "— "


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is signed: the ledger's origin, how many entries it has, and their Merkle root (32 bytes)."""

    origin: str
    size: int
    root: bytes

    def to_text(self) -> str:
        """The note text, three lines."""
        return f"{self.origin}\n{self.size}\n{encode64(self.root)}\n"


def key_id(key: PublicKey) -> bytes:
    """The 4 bytes that name a key in a note: SHA-256(name || newline || 0x01 || public key), cut off."""
    return hashlib.sha256(key.name.encode() + b"\n" + _ED25519 + key.raw).digest()[:_KEY_ID_SIZE]


def vkey(key: PublicKey) -> str:
    """The one-line form in which a key is published: name+key id+base64(0x01 || public key)."""
    return f"{key.name}+{key_id(key).hex()}+{encode64(_ED25519 + key.raw)}"


def parse_vkey(text: str) -> PublicKey:
    """Read what `vkey` writes.

    Raises:
        InvalidInput: for anything else.
    """
    parts = text.split("+", 2)
    if len(parts) == 3:
        raw = decode64(parts[2])
        if raw is not None and len(raw) == 33 and raw[:1] == _ED25519:
            key = PublicKey(parts[0], "ed25519", raw[1:])
            if _is_key_name(key.name) and vkey(key) == text:
                return key
    raise InvalidInput("public key", text, "give one line, name+key id+base64, of an Ed25519 key")


def sign_checkpoint(checkpoint: Checkpoint, signer: SignerPort) -> bytes:
    """The checkpoint as a note with one signature, by the signer's current key.

    Raises:
        InvalidInput: the key's name cannot stand in a note.
        Unavailable: the signer cannot be used now.
    """
    key = signer.public_keys()[0]
    if not _is_key_name(key.name):
        raise InvalidInput("signer name", key.name, "use a name without white space and without '+'")
    text = checkpoint.to_text()
    signature = encode64(key_id(key) + signer.sign(text.encode()))
    return f"{text}\n{_SIGNATURE_PREFIX}{key.name} {signature}\n".encode()


def open_note(note: bytes, keys: Iterable[PublicKey], verify: Verify) -> str:
    """The text of a signed note, once every signature on it is checked; there has to be at least one.

    The format lets readers skip signatures of keys they do not know. This reader does not, because a
    skipped signature could be changed unseen.

    Raises:
        NotVerified: malformed, signed by an unknown key, or a signature does not hold.
    """
    try:
        whole = note.decode()
    except UnicodeDecodeError as error:
        raise NotVerified("the note is not UTF-8 text") from error
    body, separator, signatures = whole.rpartition("\n\n")
    lines = signatures.split("\n")
    if not separator or not body or len(lines) < 2 or lines[-1] or _has_control(whole):
        raise NotVerified("the note is not a text, an empty line and signature lines")
    text = f"{body}\n"
    known = {(key.name, key_id(key)): key for key in keys}
    for line in lines[:-1]:
        _check_signature(line, text.encode(), known, verify)
    return text


def parse_checkpoint(text: str) -> Checkpoint:
    """Read what `Checkpoint.to_text` writes. Extension lines are refused: this ledger writes none.

    Raises:
        NotVerified: for anything else.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise NotVerified("the checkpoint does not have the three lines origin, size and root")
    if not _SIZE.fullmatch(lines[1]):
        raise NotVerified(f"the checkpoint's size {lines[1]!r} is not a number of entries")
    root = decode64(lines[2])
    if root is None or len(root) != HASH_SIZE:
        raise NotVerified(f"the checkpoint's root {lines[2]!r} is not the base64 of 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root)


def open_checkpoint(note: bytes, keys: Iterable[PublicKey], verify: Verify) -> Checkpoint:
    """The checkpoint in a note whose signatures all hold. Raises NotVerified."""
    return parse_checkpoint(open_note(note, keys, verify))


def _check_signature(
    line: str, message: bytes, known: dict[tuple[str, bytes], PublicKey], verify: Verify
) -> None:
    name, space, encoded = line.removeprefix(_SIGNATURE_PREFIX).partition(" ")
    decoded = decode64(encoded)
    if not line.startswith(_SIGNATURE_PREFIX) or not space or decoded is None or len(decoded) <= _KEY_ID_SIZE:
        raise NotVerified(f"the note's signature line {line!r} is malformed")
    identifier, signature = decoded[:_KEY_ID_SIZE], decoded[_KEY_ID_SIZE:]
    key = known.get((name, identifier))
    if key is None:
        raise NotVerified(f"the note is signed by {name}+{identifier.hex()}, which is not a known key")
    if not verify(key, message, signature):
        raise NotVerified(f"the note's signature by {name}+{identifier.hex()} does not hold")


def _is_key_name(name: str) -> bool:
    return bool(name) and "+" not in name and not any(c.isspace() or ord(c) < 32 for c in name)


def _has_control(text: str) -> bool:
    """Whether a note holds an ASCII control character other than the newline, which the format forbids."""
    return any(ord(c) < 32 and c != "\n" for c in text)
