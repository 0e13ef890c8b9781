"""What the routes answer: JSON by these models, from what the domain read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Literal, Self
from urllib.parse import quote

from pydantic import BaseModel

from domain.registry.evidence import Outcome
from domain.registry.inventory.audited import Audited
from domain.registry.inventory.models import InventoryModel
from domain.registry.inventory.versions import InventoryVersion, Standing
from domain.registry.ports import VersionRow


class Me(BaseModel):
    """Who is signed in, with their roles in decisions; `may_decide` is what Airflow says."""

    user: str
    roles: list[str]
    may_decide: bool


class Run(BaseModel):
    """A run of a DAG; `url` is relative to where Airflow's UI begins."""

    dag_id: str
    run_id: str
    url: str

    @classmethod
    def of(cls, provenance: Mapping[str, str]) -> Run | None:
        """The run that made something; None if no run of Airflow did."""
        dag_id, run_id = provenance.get("dag_id"), provenance.get("run_id")
        if dag_id is None or run_id is None:
            return None
        return cls(
            dag_id=dag_id, run_id=run_id, url=f"dags/{quote(dag_id, safe='')}/runs/{quote(run_id, safe='')}"
        )


class Version(BaseModel):
    """Which version of a model; `as_of` is null for a model trained elsewhere."""

    version: int
    as_of: dt.date | None
    model_id: str

    @classmethod
    def of(cls, row: VersionRow) -> Self:
        return cls(version=row.version, as_of=row.as_of, model_id=row.model_id)


class Latest(Version):
    """The newest version; `registered_at` is null if its ledger entry cannot be read."""

    registered_at: dt.datetime | None
    run: Run | None


class Champion(Version):
    """The version in use; `deadline_days` is the age at which it is overdue."""

    since: dt.datetime
    age_days: int | None
    deadline_days: int | None
    overdue: bool


class Drift(BaseModel):
    """What the last monitoring of the champion found; `report` is relative to this API."""

    status: Literal["ok", "breach"]
    at: dt.datetime
    as_of: dt.date | None
    report: str | None


class Verified(BaseModel):
    """What the last audit of the registry found about a model."""

    status: Literal["verified", "failed"]
    at: dt.datetime
    problems: list[str]

    @classmethod
    def of(cls, audited: Audited) -> Verified:
        status: Literal["verified", "failed"] = "verified" if audited.verified else "failed"
        return cls(status=status, at=audited.at, problems=list(audited.problems))


class Model(BaseModel):
    """A model; tier, owner and purpose are null if its manifest cannot be read, and `problems` says why."""

    name: str
    risk_tier: int | None
    owner: str | None
    purpose: str | None
    latest: Latest
    champion: Champion | None
    challenger: Version | None
    halted: str | None
    drift: Drift | None
    verified: Verified | None
    problems: list[str]

    @classmethod
    def of(cls, model: InventoryModel) -> Model:
        event, about, champion = model.registered, model.metadata, model.champion
        return cls(
            name=model.name,
            risk_tier=None if about is None else int(about.risk_tier),
            owner=None if about is None else about.owner,
            purpose=None if about is None else about.purpose,
            latest=Latest(
                **Version.of(model.latest).model_dump(),
                registered_at=None if event is None else event.at,
                run=None if event is None else Run.of(event.provenance),
            ),
            champion=None
            if champion is None
            else Champion(
                **Version.of(champion.row).model_dump(),
                since=champion.since,
                age_days=champion.age_days,
                deadline_days=None if champion.deadline is None else champion.deadline.days,
                overdue=champion.overdue,
            ),
            challenger=None if model.challenger is None else Version.of(model.challenger),
            halted=model.halted,
            drift=_drift(model),
            verified=None if model.audited is None else Verified.of(model.audited),
            problems=list(model.problems),
        )


def _drift(model: InventoryModel) -> Drift | None:
    found, champion = model.drift, model.champion
    if found is None or champion is None:
        return None
    version = f"models/{model.name}/versions/{champion.row.version}"
    return Drift(
        status="breach" if found.breached else "ok",
        at=found.at,
        as_of=found.as_of,
        report=None if found.report is None else f"{version}/attachments/{found.report}",
    )


class Models(BaseModel):
    """A page of models in the order of names; `total` counts those of all pages."""

    models: list[Model]
    next: str | None
    total: int


class VersionRowAnswer(Version):
    """A version in a list; `problem` says why its entry or its evidence cannot be read."""

    registered_at: dt.datetime | None
    gates: Outcome
    state: Standing | None
    metrics: dict[str, float]
    problem: str | None

    @classmethod
    def of_version(cls, found: InventoryVersion) -> VersionRowAnswer:
        return cls(
            **Version.of(found.row).model_dump(),
            registered_at=None if found.registered is None else found.registered.at,
            gates=found.gates,
            state=found.standing,
            metrics={} if found.evidence is None else dict(found.evidence.metrics),
            problem=found.problem,
        )


class Versions(BaseModel):
    """A page of versions, newest first."""

    versions: list[VersionRowAnswer]
    next: str | None
