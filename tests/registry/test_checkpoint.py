"""Checkpoints: published notes, the golden note, and every single bit of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.registry.errors import InvalidInput, NotVerified
from domain.registry.ledger.checkpoint import (
    Checkpoint,
    open_checkpoint,
    open_note,
    parse_checkpoint,
    parse_vkey,
    sign_checkpoint,
    vkey,
)
from domain.registry.ports import PublicKey
from veritasvault.adapters.local_signer import LocalSigner

GOLDEN = Path(__file__).parents[1] / "golden" / "v1"
REWRITE = os.environ.get("REWRITE_GOLDEN") == "1"

# Published by the note package of the Go project.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann "
    "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()

# Signed by the Go checksum database.
SUMDB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
SUMDB_NOTE = (
    "go.sum database tree\n"
    "63096908\n"
    "8lHrQPRYe4KT4WQ9/Qk8/taKnD6IRHbFgfN7vQE2Y54=\n"
    "\n"
    "— sum.golang.org "
    "Az3gri/oVBN1jAhNZ/iS+W31psFAWRT20/GyrhpU6taFwulQGetBkH5S7wpGXdS935jiIGiUUAXBVHzT/P6fYhqAmAk=\n"
).encode()

HEAD = Checkpoint("veritasvault/ledger/00112233445566778899aabbccddeeff", 17, bytes(range(32)))


class FixedSigner(LocalSigner):
    """A local signer whose key is always the same, so that what it signs can be compared as bytes."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "veritasvault")
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
def signer(tmp_path: Path) -> FixedSigner:
    return FixedSigner(tmp_path)


def test_a_note_signed_by_another_implementation_opens(signer: LocalSigner) -> None:
    assert open_note(NEUMANN_NOTE, [parse_vkey(NEUMANN)], signer.verify).startswith("If you think")


def test_a_checkpoint_of_a_public_log_opens(signer: LocalSigner) -> None:
    head = open_checkpoint(SUMDB_NOTE, [parse_vkey(SUMDB)], signer.verify)
    assert (head.origin, head.size) == ("go.sum database tree", 63096908)


@pytest.mark.parametrize("text", [NEUMANN, SUMDB])
def test_published_keys_are_written_as_they_were_read(text: str) -> None:
    assert vkey(parse_vkey(text)) == text


def test_the_note_has_the_golden_bytes(signer: LocalSigner) -> None:
    """A checkpoint of today reads and verifies forever; REWRITE_GOLDEN=1 rewrites it on purpose."""
    note, key = GOLDEN / "checkpoint.note", GOLDEN / "signer.vkey"
    if REWRITE:
        note.write_bytes(sign_checkpoint(HEAD, signer))
        key.write_text(vkey(signer.public_keys()[0]) + "\n")
    assert sign_checkpoint(HEAD, signer) == note.read_bytes()
    assert open_checkpoint(note.read_bytes(), [parse_vkey(key.read_text().strip())], signer.verify) == HEAD


def test_every_flipped_bit_of_a_note_is_found(signer: LocalSigner) -> None:
    note, keys = sign_checkpoint(HEAD, signer), signer.public_keys()
    for bit in range(len(note) * 8):
        changed = bytearray(note)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NotVerified):
            open_checkpoint(bytes(changed), keys, signer.verify)


def test_every_removed_or_doubled_byte_of_a_note_is_found(signer: LocalSigner) -> None:
    note, keys = sign_checkpoint(HEAD, signer), signer.public_keys()
    for place in range(len(note)):
        shorter = note[:place] + note[place + 1 :]
        longer = note[:place] + note[place : place + 1] + note[place:]
        for changed in (shorter, longer):
            with pytest.raises(NotVerified):
                open_checkpoint(changed, keys, signer.verify)


def test_every_flipped_bit_of_a_published_key_is_found() -> None:
    """The key id commits to name and key, so a mistyped key is refused and not merely unused."""
    for bit in range(len(NEUMANN) * 8):
        changed = bytearray(NEUMANN.encode())
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidInput):
            parse_vkey(changed.decode("latin-1"))


def test_a_signature_by_an_unknown_key_is_refused_even_beside_a_good_one(signer: LocalSigner) -> None:
    note = sign_checkpoint(HEAD, signer)
    cosigned = note + NEUMANN_NOTE.rpartition(b"\n\n")[2]
    with pytest.raises(NotVerified, match=r"PeterNeumann\+c74f20a3, which is not a known key"):
        open_checkpoint(cosigned, signer.public_keys(), signer.verify)


def test_a_key_of_another_name_does_not_open_the_note(signer: LocalSigner) -> None:
    key = signer.public_keys()[0]
    renamed = PublicKey("somebody", key.algorithm, key.raw)
    with pytest.raises(NotVerified, match="not a known key"):
        open_checkpoint(sign_checkpoint(HEAD, signer), [renamed], signer.verify)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "o\n1\n",
        "o\n01\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n-1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=\n",
        "o\n1\nAAAA\n",
        "\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        "o\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nextension\n",
        "o\n\u0661\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
    ],
)
def test_a_text_that_is_not_exactly_a_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NotVerified, match="checkpoint"):
        parse_checkpoint(text)


@pytest.mark.parametrize("note", [b"", b"\n\n", b"text\n", b"text\n\n", b"\xff\n\n\n", b"o\n\nsignature\n"])
def test_a_file_that_is_not_a_note_is_refused(note: bytes, signer: LocalSigner) -> None:
    with pytest.raises(NotVerified, match="note"):
        open_note(note, signer.public_keys(), signer.verify)
