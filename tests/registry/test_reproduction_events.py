"""The events of reproductions: their published bytes, and how they are numbered."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from functools import partial

import pytest

from domain.registry.canonical import digest
from domain.registry.errors import IntegrityError
from domain.registry.events import event_from_bytes, event_to_bytes
from domain.registry.events.reproduction import (
    REPRODUCTION_EVENTS,
    ModelReproducedEvent,
    ReproductionEvent,
    ReproductionFailedEvent,
)
from domain.registry.ledger.ledger import Ledger
from domain.risk.reproduction.recording import decide_reproduction
from tests.fakes.ledger import FakeLedger
from tests.fakes.signer import FakeSigner
from tests.registry.test_checkpoint import GOLDEN, REWRITE

AT = dt.datetime(2022, 12, 29, 12, 30, 15, 250000, tzinfo=dt.UTC)
WHO = {"actor": "vera", "trained_with": "3f0c1d2e"}
REPRODUCED = ModelReproducedEvent(
    "volatility", 2, 0, "manual__1", "inline", digest(b"environment"), digest(b"artifact"), 0.0, WHO, AT
)
FAILED = ReproductionFailedEvent(
    "volatility", 2, 1, "manual__2", "spark", "data", digest(b"rows"), digest(b"other rows"),
    digest(b"other artifact"), "1 of 5283 rows differ", WHO, AT,
)  # fmt: skip
GOLDEN_EVENTS: dict[str, ReproductionEvent] = {
    "model-reproduced": REPRODUCED,
    "reproduction-failed": FAILED,
}


@pytest.mark.parametrize("name", sorted(GOLDEN_EVENTS))
def test_events_of_reproductions_have_the_golden_bytes(name: str) -> None:
    """An event written today reads forever; REWRITE_GOLDEN=1 rewrites the file on purpose."""
    file, event = GOLDEN / f"event-{name}.json", GOLDEN_EVENTS[name]
    if REWRITE:
        file.write_bytes(event_to_bytes(event))  # type: ignore[arg-type]
    assert event_to_bytes(event) == file.read_bytes()  # type: ignore[arg-type]
    assert event_from_bytes(file.read_bytes(), name) == event
    assert event.key == f"reproduction:volatility:2:{event.sequence}"


def test_every_kind_of_event_has_golden_bytes() -> None:
    assert {type(event) for event in GOLDEN_EVENTS.values()} == set(REPRODUCTION_EVENTS)


@pytest.mark.parametrize("other", [b"nowhere", b"Data", b""])
def test_a_stage_that_there_is_not_is_refused(other: bytes) -> None:
    data = event_to_bytes(FAILED).replace(b'"stage":"data"', b'"stage":"' + other + b'"')
    with pytest.raises(IntegrityError, match="stage"):
        event_from_bytes(data, "entry 3")


def test_reproductions_of_a_version_are_numbered_and_found_without_reading_others() -> None:
    """Each version has numbers of its own, from 0 without gaps, whatever the caller gave."""
    ledger = Ledger(FakeLedger(), FakeSigner())
    for event in (REPRODUCED, FAILED, replace(REPRODUCED, version=3), replace(REPRODUCED, run="manual__3")):
        ledger.commit(partial(decide_reproduction, event=event))
    view = ledger.view()
    found = [one.event for one in view.reproductions("volatility", 2)]
    assert [(event.run, event.sequence) for event in found] == [  # type: ignore[attr-defined]
        ("manual__1", 0),
        ("manual__2", 1),
        ("manual__3", 2),
    ]
    assert [one.event.sequence for one in view.reproductions("volatility", 3)] == [0]  # type: ignore[attr-defined]


def test_a_run_that_is_tried_again_is_recorded_once_unless_it_finds_something_else() -> None:
    """A retry after the commit adds nothing; the same run with another result does."""
    ledger = Ledger(FakeLedger(), FakeSigner())
    later = AT + dt.timedelta(hours=1)
    for event in (REPRODUCED, replace(REPRODUCED, at=later), replace(FAILED, run="manual__1"), REPRODUCED):
        ledger.commit(partial(decide_reproduction, event=event))
    kinds = [one.event.KIND for one in ledger.view().reproductions("volatility", 2)]
    assert kinds == ["ModelReproduced", "ReproductionFailed"]
