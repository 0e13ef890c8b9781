"""The published bytes of the lifecycle's events."""

from __future__ import annotations

import datetime as dt

import pytest

from domain.registry.canonical import digest
from domain.registry.events import event_from_bytes, event_to_bytes
from domain.registry.events.lifecycle import (
    EVERY_MODEL,
    LIFECYCLE_EVENTS,
    ApprovalExpiredEvent,
    LifecycleEvent,
    ModelApprovedEvent,
    ModelEvaluatedEvent,
    ModelPromotedEvent,
    ModelRejectedEvent,
    ModelRetiredEvent,
    ModelRolledBackEvent,
    PromotionProposedEvent,
    PromotionRefusedEvent,
    PromotionsHaltedEvent,
    PromotionsResumedEvent,
)
from domain.registry.evidence import GateResult
from domain.registry.policy import Decision
from tests.registry.test_checkpoint import GOLDEN, REWRITE

NAME, SEEN = "volatility", digest(b"evidence")
AT = dt.datetime(2022, 12, 29, 12, 30, 15, 250000, tzinfo=dt.UTC)
ALLOWED = Decision(True, (), digest(b"policy"), digest(b"input"))
DENIED = Decision(False, ("no promotions on Fridays",), digest(b"policy"), digest(b"input"))
GATE = GateResult("qlike no worse than the champion's", "passed", "qlike is 0.5", {"qlike": 0.5})

GOLDEN_EVENTS: dict[str, LifecycleEvent] = {
    "model-evaluated": ModelEvaluatedEvent(NAME, 0, 2, SEEN, (GATE,), "airflow", AT),
    "promotion-proposed": PromotionProposedEvent(
        NAME, 1, 2, 1, SEEN, ("risk_officer",), "compared with version 1", "airflow", AT
    ),
    "model-approved": ModelApprovedEvent(
        NAME, 2, 2, "promote", 1, SEEN, "risk_officer", "figures are fine", "olga", AT
    ),
    "approval-expired": ApprovalExpiredEvent(NAME, 3, 2, None, SEEN, "nobody answered", "airflow", AT),
    "model-rejected": ModelRejectedEvent(NAME, 4, 2, SEEN, "odd prices", "vera", AT),
    "model-promoted": ModelPromotedEvent(
        NAME, 5, 2, dt.date(2022, 12, 28), 1, SEEN, (2,), ALLOWED, "compared with version 1", "airflow", AT
    ),
    "promotion-refused": PromotionRefusedEvent(
        NAME, 6, 2, "promote", 1, SEEN, ("no promotions on Fridays",), DENIED, "airflow", AT
    ),
    "model-rolled-back": ModelRolledBackEvent(NAME, 7, 1, 2, SEEN, (8, 9), ALLOWED, "it drifts", "olga", AT),
    "model-retired": ModelRetiredEvent(NAME, 8, 2, ALLOWED, "replaced", "olga", AT),
    "promotions-halted": PromotionsHaltedEvent(EVERY_MODEL, 0, "change freeze", "vera", AT),
    "promotions-resumed": PromotionsResumedEvent(EVERY_MODEL, 1, "freeze is over", "olga", AT),
}


@pytest.mark.parametrize("name", sorted(GOLDEN_EVENTS))
def test_events_of_the_lifecycle_have_the_golden_bytes(name: str) -> None:
    """An event written today reads forever; REWRITE_GOLDEN=1 rewrites the file on purpose."""
    file, event = GOLDEN / f"event-{name}.json", GOLDEN_EVENTS[name]
    if REWRITE:
        file.write_bytes(event_to_bytes(event))
    assert event_to_bytes(event) == file.read_bytes()
    assert event_from_bytes(file.read_bytes(), name) == event
    assert event.key == f"lifecycle:{event.name}:{event.sequence}"


def test_every_kind_of_event_has_golden_bytes() -> None:
    assert {type(event) for event in GOLDEN_EVENTS.values()} == set(LIFECYCLE_EVENTS)
