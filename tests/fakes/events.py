"""Events for tests of the ledger, distinct by a number."""

from __future__ import annotations

import datetime as dt

from domain.registry.canonical import digest
from domain.registry.events import ModelRegisteredEvent, RegistrationRefusedEvent
from domain.registry.evidence import AttachmentRef, GateResult
from domain.registry.ledger.view import LedgerView
from domain.registry.manifest import ModelId

AT = dt.datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=dt.UTC)


def registered(
    number: int, version: int, name: str = "volatility", **changes: object
) -> ModelRegisteredEvent:
    """The registration of a model that only this number has."""
    fields: dict[str, object] = {
        "name": name,
        "version": version,
        "model_id": ModelId(digest(f"model {name} {number}".encode())),
        "recipe": digest(f"recipe {name} {number}".encode()),
        "as_of": dt.date(2020, 1, 1) + dt.timedelta(days=number % 700),
        "artifact_digest": digest(f"artifact {number}".encode()),
        "supersedes": None,
        "retrain_reason": None,
        "gates": (GateResult("qlike", "passed", "0.54 is below 0.58", {"qlike": 0.54}),),
        "attachments": (AttachmentRef("metrics.json", "application/json", 2, digest(b"{}")),),
        "provenance": {"host": "test", "run": f"run-{number}"},
        "at": AT,
    }
    return ModelRegisteredEvent(**{**fields, **changes})  # type: ignore[arg-type]


def refused(number: int) -> RegistrationRefusedEvent:
    """A refusal that only this number has."""
    return RegistrationRefusedEvent(
        name="volatility",
        model_id=ModelId(digest(f"refused {number}".encode())),
        recipe=None,
        evidence=digest(f"evidence {number}".encode()),
        gates=(GateResult("coverage", "failed", "one asset is missing"),),
        provenance={"host": "test"},
        at=AT,
    )


def next_registered(view: LedgerView, number: int, name: str = "volatility") -> ModelRegisteredEvent:
    """The registration with the version that follows in the view."""
    return registered(number, view.next_version(name), name)
