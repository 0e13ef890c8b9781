"""What came of monitoring a version on a session: nothing unusual, or drift.

The events about one name are numbered from 0 without gaps, and the number is in the dedupe key, so they are
found without reading the other events.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from domain.registry.canonical import Digest
from domain.registry.errors import InvalidInput
from domain.registry.events.record import ModelName, Provenance, Record, Version
from domain.registry.records import as_text

DriftKind = Literal["data", "prediction", "performance"]
"""What drifts: what the version sees, what it forecasts, or how good that is."""

DRIFT_KINDS: tuple[DriftKind, ...] = ("data", "prediction", "performance")


def monitoring_key(name: str, sequence: int) -> str:
    """Dedupe key of the event with this number about a name."""
    return f"monitoring:{name}:{sequence}"


def as_drift_kind(field: str, value: object) -> DriftKind:
    """Return the name of a kind of drift, or raise InvalidInput."""
    for kind in DRIFT_KINDS:
        if value == kind:
            return kind
    raise InvalidInput(field, value, f"use one of {', '.join(DRIFT_KINDS)}")


def as_figures(field: str, value: object) -> Mapping[str, float]:
    """Return finite numbers by name, or raise InvalidInput."""
    if not isinstance(value, Mapping):
        raise InvalidInput(field, value, "give an object of names and numbers")
    return {as_text(field, name): _number(f"{field}.{name}", number) for name, number in value.items()}


def as_rate(field: str, value: object) -> float:
    """Return a probability above 0 and below 1, or raise InvalidInput."""
    number = _number(field, value)
    if not 0.0 < number < 1.0:
        raise InvalidInput(field, value, "give a number between 0 and 1")
    return number


def _number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInput(field, value, "give a finite number")
    return float(value)


@dataclass(frozen=True, slots=True)
class DriftFinding(Record):
    """What was found of one feature, of the forecasts, or of how good they are.

    Attributes:
        subject: the feature's name, or what the forecasts or losses are of.
        breached: whether it is so unusual that the version is not to be relied on.
        figures: see docs/model-monitoring.md.
    """

    KIND: ClassVar[str] = "finding"

    kind: Annotated[DriftKind, as_drift_kind]
    subject: str
    breached: bool
    figures: Annotated[Mapping[str, float], as_figures]


class MonitoringEvent(Record):
    """An event about the monitoring of a name's champion."""

    __slots__ = ()

    name: str
    version: int
    sequence: int
    as_of: dt.date
    at: dt.datetime

    @property
    def key(self) -> str:
        return monitoring_key(self.name, self.sequence)


@dataclass(frozen=True, slots=True)
class ModelMonitoredEvent(MonitoringEvent):
    """The sessions up to the as-of date are like those that the version was trained on.

    Attributes:
        window_sessions: how many sessions up to the as-of date were looked at.
        false_alarm_rate: the probability that 250 sessions without drift have any breach.
    """

    KIND: ClassVar[str] = "ModelMonitored"

    name: ModelName
    version: Version
    sequence: int
    as_of: dt.date
    window_sessions: int
    false_alarm_rate: Annotated[float, as_rate]
    findings: tuple[DriftFinding, ...]
    provenance: Provenance
    at: dt.datetime


@dataclass(frozen=True, slots=True)
class DriftDetectedEvent(MonitoringEvent):
    """They are not, in what the breached findings name.

    Attributes:
        window_sessions, false_alarm_rate: as in `ModelMonitoredEvent`.
        reason: what drifted, in one sentence.
        report: SHA-256 of the report, an HTML page that is an attachment of the version.
        retrain: whether this event starts a retraining; not where an earlier one of the same breach did.
    """

    KIND: ClassVar[str] = "DriftDetected"

    name: ModelName
    version: Version
    sequence: int
    as_of: dt.date
    window_sessions: int
    false_alarm_rate: Annotated[float, as_rate]
    findings: tuple[DriftFinding, ...]
    reason: str
    report: Digest
    retrain: bool
    provenance: Provenance
    at: dt.datetime


MONITORING_EVENTS: tuple[type[MonitoringEvent], ...] = (ModelMonitoredEvent, DriftDetectedEvent)
