"""The event that a reproduction comes to, once for each time it is asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from domain.registry.canonical import Digest
from domain.registry.events import DomainEvent, Provenance
from domain.registry.events.reproduction import (
    ModelReproducedEvent,
    ReproductionEvent,
    ReproductionFailedEvent,
)
from domain.registry.ledger.ledger import LedgerView
from domain.risk.reproduction.findings import Finding, Verdict
from domain.risk.reproduction.record import TrainingRecord

Outcome = ModelReproducedEvent | ReproductionFailedEvent


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes:
        reference: of the version.
        run: tells this reproduction from others; the same one asked for twice is recorded once.
        engine: what prepares the features; None takes what the version was made on.
        here: use the code and the environment that run here where the recorded ones cannot be had.
    """

    reference: str
    run: str
    provenance: Provenance
    engine: str | None = None
    here: bool = False


def event_of(
    request: Request,
    record: TrainingRecord,
    engine: str,
    findings: Mapping[str, Finding],
    artifact: Digest | None,
    verdict: Verdict,
    provenance: Provenance,
    at: dt.datetime,
) -> Outcome:
    """The event for a verdict; the ledger gives it its number.

    Args:
        findings: by stage; those that the verdict was reached on.
        artifact: digest of what the training gave; None if nothing was trained.
    """
    row = record.version.row
    common = (row.name, row.version, 0, request.run, engine)
    if verdict.stage is None:
        environment = findings["environment"].found
        assert environment is not None
        assert artifact is not None
        return ModelReproducedEvent(*common, environment, artifact, verdict.difference, provenance, at)
    failing = findings[verdict.stage]
    recorded = failing.recorded or record.artifact_digest
    reason = _sentence(verdict.reason)
    return ReproductionFailedEvent(
        *common, verdict.stage, recorded, failing.found, artifact, reason, provenance, at
    )


def decide_reproduction(view: LedgerView, event: Outcome) -> Sequence[DomainEvent]:
    """Pure: the event with the next number of its version, or the one there is if its run said so before."""
    earlier: list[ReproductionEvent] = [one.event for one in view.reproductions(event.name, event.version)]  # type: ignore[misc]
    for other in earlier:
        if type(other) is type(event) and replace(event, sequence=other.sequence, at=other.at) == other:
            return (other,)
    return (replace(event, sequence=len(earlier)),)


def _sentence(text: str) -> str:
    """On one line and of a length that an event takes."""
    line = " ".join(text.split())
    return line if len(line) <= 2000 else f"{line[:1999]}…"
