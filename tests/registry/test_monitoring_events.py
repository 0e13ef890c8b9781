"""The events of monitoring: published bytes, numbers, and when one starts a retraining."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from domain.registry.canonical import digest
from domain.registry.errors import IntegrityError
from domain.registry.events import event_from_bytes, event_to_bytes
from domain.registry.events.monitoring import (
    MONITORING_EVENTS,
    DriftDetectedEvent,
    DriftFinding,
    ModelMonitoredEvent,
    MonitoringEvent,
)
from domain.registry.ledger.ledger import Ledger
from domain.risk.monitoring.recording import Outcome, decide_monitoring
from tests.fakes.ledger import FakeLedger
from tests.fakes.signer import FakeSigner
from tests.registry.test_checkpoint import GOLDEN, REWRITE

AT = dt.datetime(2022, 12, 29, 12, 30, 15, 250000, tzinfo=dt.UTC)
WHO = {"actor": "airflow", "run_id": "scheduled__1"}
DAY = dt.date(2022, 12, 28)
FIGURES = {"psi": 0.31, "ks": 0.2, "shift": 0.11, "p_value": 1.0}
CALM = ModelMonitoredEvent(
    "volatility", 2, 0, DAY, 21, 0.05, (DriftFinding("data", "rv_5", False, FIGURES),), WHO, AT
)
DRIFT = DriftDetectedEvent(
    "volatility", 2, 1, DAY, 21, 0.05,
    (
        DriftFinding("prediction", "forecasts", True, {**FIGURES, "p_value": 0.03125}),
        DriftFinding("performance", "qlike against ewma", False, {"loss": 0.4, "baseline_loss": 0.5}),
    ),
    "prediction drift of forecasts", digest(b"report"), True, WHO, AT,
)  # fmt: skip
GOLDEN_EVENTS: dict[str, MonitoringEvent] = {"model-monitored": CALM, "drift-detected": DRIFT}
COOLDOWN = dt.timedelta(days=30)


@pytest.mark.parametrize("name", sorted(GOLDEN_EVENTS))
def test_events_of_monitoring_have_the_golden_bytes(name: str) -> None:
    """An event written today reads forever; REWRITE_GOLDEN=1 rewrites the file on purpose."""
    file, event = GOLDEN / f"event-{name}.json", GOLDEN_EVENTS[name]
    if REWRITE:
        file.write_bytes(event_to_bytes(event))  # type: ignore[arg-type]
    assert event_to_bytes(event) == file.read_bytes()  # type: ignore[arg-type]
    assert event_from_bytes(file.read_bytes(), name) == event
    assert event.key == f"monitoring:volatility:{event.sequence}"


def test_every_kind_of_event_has_golden_bytes() -> None:
    assert {type(event) for event in GOLDEN_EVENTS.values()} == set(MONITORING_EVENTS)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (b'"kind":"prediction"', b'"kind":"luck"', "kind"),
        (b'"false_alarm_rate":0.05', b'"false_alarm_rate":1', "false_alarm_rate"),
        (b'"psi":0.31', b'"psi":"much"', "psi"),
        (b'"retrain":true', b'"retrain":1', "retrain"),
    ],
)
def test_what_is_no_finding_is_refused_and_named(old: bytes, new: bytes, named: str) -> None:
    data = event_to_bytes(DRIFT)
    assert old in data
    with pytest.raises(IntegrityError, match=named):
        event_from_bytes(data.replace(old, new), "entry 3")


def recorded(*events: Outcome) -> list[Any]:
    """The events of a ledger that these were recorded in, one after the other."""
    ledger = Ledger(FakeLedger(), FakeSigner())
    for event in events:
        ledger.commit(partial(decide_monitoring, event=event, cooldown=COOLDOWN))
    return [one.event for one in ledger.view().monitoring("volatility")]


def drift(days: int, version: int = 2) -> DriftDetectedEvent:
    return replace(DRIFT, as_of=DAY + dt.timedelta(days), version=version, retrain=False)


def calm(days: int, version: int = 2) -> ModelMonitoredEvent:
    return replace(CALM, as_of=DAY + dt.timedelta(days), version=version)


def retrained(*events: Outcome) -> list[int]:
    """On which days after the first one a retraining was started."""
    return [(event.as_of - DAY).days for event in recorded(*events) if getattr(event, "retrain", False)]


def test_monitorings_of_a_name_are_numbered_over_all_its_versions() -> None:
    found = recorded(calm(0), drift(1), replace(calm(1), name="other"), calm(2, version=3))
    assert [(event.sequence, event.version) for event in found] == [(0, 2), (1, 2), (2, 3)]


def test_a_retry_is_recorded_once_and_another_result_of_the_day_again() -> None:
    """Whoever tries, and when, makes no difference; a retry of what started a retraining started it."""
    later = {"at": AT + dt.timedelta(hours=1), "provenance": {"run_id": "scheduled__2"}}
    found = recorded(drift(0), replace(drift(0), **later), calm(0), replace(calm(0), **later))
    assert [event.KIND for event in found] == ["DriftDetected", "ModelMonitored"]
    assert found[0].retrain


def test_drift_starts_one_retraining_while_it_lasts() -> None:
    """However long that is."""
    assert retrained(calm(0), drift(1), drift(2), drift(40), drift(400)) == [1]


def test_new_drift_starts_another_one_after_the_cooldown() -> None:
    """A calm session ends a drift; what comes back within the cooldown waits until that is over."""
    assert retrained(drift(0), calm(1), drift(2), drift(29), drift(30), drift(31)) == [0, 30]


def test_another_champion_in_drift_is_retrained_after_the_cooldown() -> None:
    assert retrained(drift(0), drift(3, version=3), drift(35, version=3), drift(36, version=3)) == [0, 35]


def test_a_session_before_one_that_was_looked_at_starts_nothing() -> None:
    """A backfill of monitoring tells what was; there is nothing to retrain for it."""
    assert retrained(calm(5), drift(0), drift(4)) == []
