"""What the routes about single versions answer."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel

from domain.registry.events import ModelRegisteredEvent
from domain.registry.evidence import Outcome
from domain.registry.inventory.comparison import Comparison, Difference
from domain.registry.inventory.detail import VersionDetail
from domain.registry.inventory.verification import Checked, Verification
from domain.registry.inventory.versions import Standing
from domain.registry.ledger.verification import Problem
from domain.registry.lifecycle.offers import Command, Offer
from veritasvault.console.answers import Run, Version

_REPORT = "data-validation.json"


class File(BaseModel):
    """A file of the artifact: relative path, bytes, SHA-256."""

    path: str
    size: int
    sha256: str


class Gate(BaseModel):
    """What a gate decided, and on which figures."""

    gate: str
    outcome: Outcome
    figures: dict[str, float]
    reason: str


class Attachment(BaseModel):
    """A piece of evidence: file name, media type, bytes, SHA-256."""

    name: str
    media_type: str
    size: int
    sha256: str


class Links(BaseModel):
    """Where a version comes from.

    Attributes:
        run: the run that registered it.
        tracking: address of the experiment run on the tracking server; null where that is a local file.
        validation_report: relative to this API.
        snapshot: digest of the raw data.
    """

    run: Run | None
    tracking: str | None
    validation_report: str | None
    snapshot: str | None


class OfferedAction(BaseModel):
    """A decision, whether the user may take it now, and if not, why; `roles` are theirs to take it in."""

    action: Command
    roles: list[str]
    allowed: bool
    why_not: str | None


class VersionAnswer(Version):
    """A version with all that is recorded of it; what cannot be read is null, and `problems` says why."""

    reference: str
    name: str
    recipe: str | None
    artifact_digest: str
    index: int
    signed: bool
    registered_at: dt.datetime | None
    supersedes: int | None
    retrain_reason: str | None
    metadata: dict[str, Any] | None
    lineage: dict[str, Any] | None
    files: list[File]
    gates: list[Gate]
    attachments: list[Attachment]
    provenance: dict[str, str]
    state: Standing | None
    evidence: str | None
    incumbent: int | None
    links: Links
    actions: list[OfferedAction]
    problems: list[str]

    @classmethod
    def of_detail(
        cls, detail: VersionDetail, actions: Sequence[OfferedAction], tracking: str | None
    ) -> VersionAnswer:
        row, event, manifest = detail.row, detail.event, detail.manifest
        about = None if manifest is None else manifest.metadata.to_json()
        lineage = None if manifest is None or manifest.lineage is None else manifest.lineage
        files = () if manifest is None else manifest.artifact.files
        return cls(
            **Version.of(row).model_dump(),
            reference=f"{row.name}@{row.version}",
            name=row.name,
            recipe=row.recipe,
            artifact_digest=row.artifact_digest,
            index=row.index,
            signed=detail.signed,
            registered_at=None if event is None else event.at,
            supersedes=None if event is None else event.supersedes,
            retrain_reason=None if event is None else event.retrain_reason,
            metadata=about,
            lineage=None if lineage is None else lineage.to_json(),
            files=[File(**file.to_json()) for file in files],
            gates=[Gate(**gate.to_json()) for gate in detail.gates],
            attachments=[Attachment(**kept.to_json()) for kept in (event.attachments if event else ())],
            provenance={} if event is None else dict(event.provenance),
            state=detail.standing,
            evidence=detail.evidence,
            incumbent=detail.incumbent,
            links=_links(event, tracking),
            actions=list(actions),
            problems=list(detail.problems),
        )


def offered(offer: Offer, refused: str | None) -> OfferedAction:
    """An offer as it is answered; `refused` says why this user may decide nothing at all."""
    why_not = refused or offer.why_not
    return OfferedAction(
        action=offer.action, roles=list(offer.roles), allowed=why_not is None, why_not=why_not
    )


def _links(event: ModelRegisteredEvent | None, tracking: str | None) -> Links:
    if event is None:
        return Links(run=None, tracking=None, validation_report=None, snapshot=None)
    origin, version = event.provenance, f"models/{event.name}/versions/{event.version}"
    report = next((kept for kept in event.attachments if kept.name == _REPORT), None)
    run = origin.get("tracked_as")
    return Links(
        run=Run.of(origin),
        tracking=f"{tracking}/#/runs/{quote(run, safe='')}" if tracking and run else None,
        validation_report=None if report is None else f"{version}/attachments/{report.sha256}",
        snapshot=origin.get("snapshot"),
    )


class VerificationAnswer(BaseModel):
    """What verifying found; `pending` while no signature vouches for the version's entry yet."""

    verified: bool
    pending: bool
    checked: list[Checked]
    problems: list[FoundProblem]

    @classmethod
    def of(cls, found: Verification) -> VerificationAnswer:
        return cls(
            verified=found.verified,
            pending=found.pending,
            checked=list(found.checked),
            problems=[FoundProblem.of(problem) for problem in found.problems],
        )


class FoundProblem(BaseModel):
    """What is wrong with which object."""

    object: str
    problem: str

    @classmethod
    def of(cls, found: Problem) -> FoundProblem:
        return cls(object=found.object, problem=found.reason)


class ComparisonAnswer(BaseModel):
    """Two versions by name of what they have, equal things too; null on the side that lacks it."""

    left: Version
    right: Version
    metrics: list[Difference]
    parameters: list[Difference]
    features: list[Difference]
    data: list[Difference]
    code: list[Difference]

    @classmethod
    def of(cls, found: Comparison) -> ComparisonAnswer:
        return cls(
            left=Version.of(found.left),
            right=Version.of(found.right),
            metrics=list(found.metrics),
            parameters=list(found.parameters),
            features=list(found.features),
            data=list(found.data),
            code=list(found.code),
        )
