"""A ledger's prefix answers as the ledger did when it was so long."""

from __future__ import annotations

import pytest

from domain.registry.errors import InvalidInput
from domain.registry.events import DomainEvent
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.prefix import LedgerPrefix
from domain.registry.ledger.verification import verify_ledger
from domain.registry.ports import Batch, StoredCheckpoint
from tests.fakes.events import refused, registered
from tests.fakes.ledger import FakeLedger
from tests.fakes.signer import FakeSigner

EVENTS: tuple[DomainEvent, ...] = (
    registered(1, 1, "a"),
    refused(1),
    registered(2, 1, "b"),
    registered(3, 2, "a"),
    refused(2),
    registered(4, 3, "a"),
    registered(5, 2, "b"),
)


@pytest.mark.parametrize("size", range(len(EVENTS) + 1))
def test_what_came_later_is_not_there(size: int) -> None:
    """Every verb, on a ledger that grew to its full length, gives what it gave at the prefix's size."""
    signer = FakeSigner("ed25519")
    port = FakeLedger()
    ledger = Ledger(port, signer)
    then: dict[str, object] = {}
    for length in range(len(EVENTS) + 1):
        if length:
            ledger.commit(lambda _, event=EVENTS[length - 1]: (event,))  # type: ignore[misc]
            ledger.checkpoint()
        if length == size:
            then = _answers(port)
    prefix = LedgerPrefix(port, size)
    assert _answers(prefix) == then
    assert verify_ledger(prefix, signer).problems == ()


def test_nothing_is_written_to_a_prefix() -> None:
    prefix = LedgerPrefix(FakeLedger(), 0)
    with pytest.raises(InvalidInput):
        prefix.append(0, Batch((), (), ()))
    with pytest.raises(InvalidInput):
        prefix.add_checkpoint(StoredCheckpoint(0, b"note"))


def _answers(port: FakeLedger | LedgerPrefix) -> dict[str, object]:
    ids = [event.model_id for event in EVENTS]  # type: ignore[attr-defined]
    places = [(level, index) for level in range(4) for index in range(8)]
    return {
        "origin": port.origin(),
        "size": port.size(),
        "find": [port.find(event.key) for event in EVENTS],
        "find_each": port.find_each([event.key for event in EVENTS]),
        "read": (tuple(port.read(0)), tuple(port.read(2)), tuple(port.read(1, 6))),
        "nodes": port.nodes(places),
        "all_nodes": tuple(port.all_nodes()),
        "versions": (
            tuple(port.versions()),
            tuple(port.versions("a", limit=1)),
            tuple(port.versions(before=4)),
        ),
        "version": [port.version(name, number) for name in "ab" for number in (1, 2, 3)],
        "by_model_id": [port.by_model_id(model_id) for model_id in ids],
        "checkpoints": tuple(port.checkpoints()),
        "last_checkpoint": port.last_checkpoint(),
    }
