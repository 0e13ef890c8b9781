"""What a run of a pipeline came to, by what it left in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from domain.registry.canonical import encode
from domain.registry.events import ModelRegisteredEvent, NotReproducedEvent, RegistrationRefusedEvent
from domain.registry.ledger.view import LedgerView

Result = Literal["registered", "not_reproduced", "refused"]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run registered, or why it did not.

    Attributes:
        version: None if its candidate was refused.
        reasons: a sentence for each gate that refused it.
    """

    name: str
    version: int | None
    outcome: Result
    reasons: tuple[str, ...] = ()


def results_of_run(view: LedgerView, dag_id: str, run_id: str) -> tuple[RunResult, ...]:
    """The results of a run, the newest first; none if it recognised a version that was there already.

    Raises:
        InvalidInput: the run's id is no text.
        IntegrityError: one of the entries was changed.
    """
    found = []
    for one in view.mentioning(b'"run_id":' + encode(run_id)):
        origin = getattr(one.event, "provenance", {})
        if (origin.get("dag_id"), origin.get("run_id")) != (dag_id, run_id):
            continue
        match one.event:
            case ModelRegisteredEvent() as event:
                found.append(RunResult(event.name, event.version, "registered"))
            case NotReproducedEvent() as event:
                found.append(RunResult(event.name, event.version, "not_reproduced"))
            case RegistrationRefusedEvent() as event:
                reasons = tuple(gate.reason for gate in event.gates if gate.outcome != "passed")
                found.append(RunResult(event.name, None, "refused", reasons))
    return tuple(found)
