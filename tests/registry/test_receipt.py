"""Receipts: offline proofs whose every changed bit is found, in a format that stays readable."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.registry.canonical import encode
from domain.registry.errors import IntegrityError, NotFound, NotVerified
from domain.registry.events import (
    DomainEvent,
    NotReproducedEvent,
    event_from_bytes,
    event_to_bytes,
)
from domain.registry.ledger.checkpoint import Checkpoint, parse_vkey, sign_checkpoint
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.receipt import RECEIPT_FORMAT, Receipt, verify_receipt
from domain.registry.ledger.verification import verify_receipt_against
from tests.fakes.events import AT, next_registered, refused, registered
from tests.fakes.ledger import FakeLedger
from tests.registry.test_checkpoint import GOLDEN, REWRITE, FixedSigner
from veritasvault.adapters.local_signer import LocalSigner


def golden_events() -> dict[str, DomainEvent]:
    """One event of each kind."""
    first = registered(1, 1)
    assert first.recipe is not None
    different = NotReproducedEvent(
        name=first.name,
        version=1,
        recipe=first.recipe,
        first_artifact=first.artifact_digest,
        other_artifact=registered(2, 2).artifact_digest,
        provenance={"host": "test"},
        at=AT,
    )
    return {"model-registered": first, "registration-refused": refused(1), "not-reproduced": different}


def golden_ledger(directory: Path) -> Ledger:
    """A ledger whose origin, key and entries are always the same."""
    port = FakeLedger()
    port._origin = "veritasvault/ledger/00112233445566778899aabbccddeeff"
    ledger = Ledger(port, FixedSigner(directory))
    events = tuple(golden_events().values())
    ledger.commit(lambda view: events)
    ledger.commit(lambda view: [next_registered(view, number) for number in (2,)])
    ledger.commit(lambda view: [next_registered(view, number) for number in (3,)])
    return ledger


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return golden_ledger(tmp_path_factory.mktemp("keys"))


def opened(receipt: Receipt, ledger: Ledger) -> DomainEvent:
    return verify_receipt(receipt, ledger.signer.public_keys(), ledger.signer.verify).event


@pytest.mark.parametrize("name", sorted(golden_events()))
def test_events_have_the_golden_bytes(name: str) -> None:
    """An event written today reads forever; REWRITE_GOLDEN=1 rewrites the file on purpose."""
    file, event = GOLDEN / f"event-{name}.json", golden_events()[name]
    if REWRITE:
        file.write_bytes(event_to_bytes(event))
    assert event_to_bytes(event) == file.read_bytes()
    assert event_from_bytes(file.read_bytes(), name) == event


def test_the_dedupe_keys_are_the_golden_ones() -> None:
    """A key that changed would let a registration happen twice."""
    keys = "".join(f"{event.key}\n" for event in golden_events().values())
    file = GOLDEN / "event-keys.txt"
    if REWRITE:
        file.write_text(keys)
    assert keys == file.read_text()
    last = golden_events()["not-reproduced"]
    assert isinstance(last, NotReproducedEvent)
    assert last.key == f"not-reproduced:{last.name}:{last.recipe}:{last.other_artifact}"


def test_a_receipt_has_the_golden_bytes_and_verifies_with_the_published_key(ledger: Ledger) -> None:
    """A receipt handed out today verifies forever; REWRITE_GOLDEN=1 rewrites the file on purpose."""
    file = GOLDEN / "receipt.json"
    if REWRITE:
        file.write_bytes(ledger.receipt(1).to_bytes())
    assert ledger.receipt(1).to_bytes() == file.read_bytes()
    key = parse_vkey((GOLDEN / "signer.vkey").read_text().strip())
    proven = verify_receipt(Receipt.from_bytes(file.read_bytes()), [key], ledger.signer.verify)
    assert proven.event == golden_events()["registration-refused"]
    assert (proven.index, proven.checkpoint.size) == (1, 5)


@pytest.mark.parametrize("index", range(5))
def test_each_entry_has_a_receipt_that_survives_its_file(ledger: Ledger, index: int) -> None:
    receipt = Receipt.from_bytes(ledger.receipt(index).to_bytes())
    assert opened(receipt, ledger) == ledger.event_at(index)
    assert verify_receipt_against(ledger.port, ledger.signer, receipt).index == index


def test_every_flipped_bit_of_a_receipt_file_is_found(ledger: Ledger) -> None:
    data = ledger.receipt(1).to_bytes()
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NotVerified):
            opened(Receipt.from_bytes(bytes(changed)), ledger)


@given(cut=st.integers(0, 4000))
def test_a_receipt_file_that_was_cut_off_is_refused(ledger: Ledger, cut: int) -> None:
    data = ledger.receipt(1).to_bytes()
    with pytest.raises(NotVerified, match="is not a receipt"):
        Receipt.from_bytes(data[: cut % len(data)], "file x")


def test_a_receipt_of_one_entry_does_not_prove_another(ledger: Ledger) -> None:
    first, second = ledger.receipt(0), ledger.receipt(1)
    for mixed in (
        dataclasses.replace(first, entry=second.entry),
        dataclasses.replace(first, index=1),
        dataclasses.replace(first, proof=second.proof),
    ):
        with pytest.raises(NotVerified, match=r"root|proof"):
            opened(mixed, ledger)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "veritasvault/receipt/v2"}, "only veritasvault/receipt/v1 is known"),
        ({"index": -1}, "receipt.index is -1"),
        ({"entry": 1}, "receipt.entry is 1"),
        ({"proof": ["AAAA"]}, "receipt.proof is 'AAAA'"),
        ({"proof": [7]}, "receipt.proof is 7"),
        ({"extra": 1}, "receipt.extra"),
    ],
)
def test_a_receipt_with_a_wrong_field_says_which(change: dict[str, object], message: str) -> None:
    fields = {"format": RECEIPT_FORMAT, "index": 0, "entry": "{}", "proof": [], "checkpoint": "x"}
    with pytest.raises(NotVerified, match=message):
        Receipt.from_bytes(encode({**fields, **change}))  # type: ignore[dict-item]


def test_an_entry_that_is_no_event_is_not_verified_even_under_a_good_signature(tmp_path: Path) -> None:
    from domain.registry.ledger.merkle import leaf_hash

    signer = LocalSigner(tmp_path)
    entry = b'{"a":1}'
    note = sign_checkpoint(Checkpoint("veritasvault/ledger/00", 1, leaf_hash(entry)), signer)
    with pytest.raises(NotVerified, match="entry 0 is not an event"):
        verify_receipt(Receipt(0, entry, (), note), signer.public_keys(), signer.verify)


def test_a_receipt_finds_that_the_ledger_behind_it_was_cut_off(ledger: Ledger, tmp_path: Path) -> None:
    """The one loss that the ledger cannot find by itself: entries and checkpoints gone together."""
    receipt = ledger.receipt(0)
    shorter = Ledger(FakeLedger(), ledger.signer)
    assert isinstance(shorter.port, FakeLedger)
    shorter.port._origin = ledger.port.origin()
    shorter.commit(lambda view: [golden_events()["model-registered"]])
    shorter.checkpoint()
    with pytest.raises(NotVerified, match=r"the ledger has 1 entries, but .* was signed at 5"):
        verify_receipt_against(shorter.port, shorter.signer, receipt)


def test_a_receipt_finds_that_history_was_rewritten(ledger: Ledger) -> None:
    receipt = ledger.receipt(0)
    rewritten = Ledger(FakeLedger(), ledger.signer)
    assert isinstance(rewritten.port, FakeLedger)
    rewritten.port._origin = ledger.port.origin()
    rewritten.commit(lambda view: [golden_events()["model-registered"]])
    rewritten.commit(lambda view: [refused(number) for number in range(9)])
    with pytest.raises(NotVerified, match="its history was rewritten"):
        verify_receipt_against(rewritten.port, rewritten.signer, receipt)
    with pytest.raises(NotVerified, match="ledger entry 3 is not the one that the receipt proves"):
        verify_receipt_against(rewritten.port, rewritten.signer, ledger.receipt(3))


def test_a_receipt_of_another_ledger_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger(FakeLedger(), ledger.signer)
    other.commit(lambda view: [golden_events()["model-registered"]])
    with pytest.raises(NotVerified, match="the receipt is from the ledger"):
        verify_receipt_against(other.port, other.signer, ledger.receipt(0))


def test_no_receipt_is_given_for_what_is_not_there_or_not_proved(tmp_path: Path) -> None:
    ledger = golden_ledger(tmp_path)
    with pytest.raises(NotFound, match="ledger entry 5 does not exist: the ledger has 5 entries"):
        ledger.receipt(5)
    with pytest.raises(NotFound):
        ledger.receipt(-1)
    ledger.checkpoint()
    port = ledger.port
    assert isinstance(port, FakeLedger)
    port._entries[2] = dataclasses.replace(port._entries[2], data=event_to_bytes(refused(99)))
    with pytest.raises(IntegrityError, match="ledger entry 2"):
        ledger.receipt(2)
