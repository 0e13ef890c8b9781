"""Trains a registered version again from its own record, says whether it is the same, and records that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from domain.registry.canonical import Digest
from domain.registry.errors import (
    CodeNotHad,
    DomainException,
    IntegrityError,
    NotFound,
    RetrainingFailed,
)
from domain.registry.events.reproduction import STAGES, Stage
from domain.registry.ledger.ledger import Recorded
from domain.risk.reproduction.comparisons import Comparisons
from domain.risk.reproduction.findings import Finding, Verdict, judge
from domain.risk.reproduction.ports import ReproductionParts, Steps
from domain.risk.reproduction.record import TrainingRecord
from domain.risk.reproduction.recording import Request, decide_reproduction, event_of
from domain.risk.reproduction.retraining import STEPS, Retraining, code_is, retrain

__all__ = ["Reproduction", "Reproductions", "Request"]

_BEFORE_TRAINING: tuple[Stage, ...] = ("code", "environment")
"""Stages whose difference ends a reproduction, unless what there is here may be used all the same."""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of it.

    Attributes:
        code: what the code was called that trained.
        findings: of the stages that were reached, in the order of `STAGES`.
        artifact: digest of what the training gave; None if nothing was trained.
        event: in the ledger.
    """

    record: TrainingRecord
    engine: str
    code: str
    findings: tuple[Finding, ...]
    artifact: Digest | None
    verdict: Verdict
    event: Recorded

    def finding(self, stage: Stage) -> Finding | None:
        """What was found at a stage; None if it was not reached."""
        return next((one for one in self.findings if one.stage == stage), None)


@dataclass(slots=True)
class _Attempt:
    """A reproduction under way."""

    record: TrainingRecord
    engine: str
    here: bool
    code: str
    said_of_code: str = ""
    said_of_data: str = ""


class Reproductions:
    """Reproduces versions. Nothing in the registry changes but the ledger, by one event for each attempt."""

    def __init__(self, parts: ReproductionParts) -> None:
        self._parts = parts

    def reproduce(self, request: Request, told: Callable[[str], None] = lambda _stage: None) -> Reproduction:
        """Train a version again and compare it, stage by stage; the result is in the ledger.

        Args:
            told: is called with the name of each stage before its work begins.

        Raises:
            InvalidInput: the version was trained elsewhere, or its record does not say on what.
            NotFound, IntegrityError: it is not registered, or its record was changed.
            Unavailable: a store, an engine or the disk failed; nothing is recorded, and a retry may succeed.
        """
        parts = self._parts
        record = TrainingRecord.read(parts.catalog, request.reference)
        attempt = _Attempt(record, request.engine or record.engine, request.here, record.code)
        with parts.workspace.scratch() as scratch:
            findings = self._findings(attempt, scratch, told)
        trained = next((one for one in findings if one.stage in ("training", "export")), None)
        artifact = None if trained is None else trained.found
        verdict = judge(findings, record.artifact_digest, artifact, record.inputs.tolerance)
        said = {"trained_with": attempt.code} if artifact else {}
        event = event_of(
            request,
            record,
            attempt.engine,
            {one.stage: one for one in findings},
            artifact,
            verdict,
            {**request.provenance, **said},
            parts.clock.now(),
        )
        (recorded,) = parts.ledger.commit(partial(decide_reproduction, event=event))
        parts.ledger.checkpoint()
        return Reproduction(record, attempt.engine, attempt.code, findings, artifact, verdict, recorded)

    def _findings(self, attempt: _Attempt, scratch: Path, told: Callable[[str], None]) -> tuple[Finding, ...]:
        """What is found at each stage that is reached; what fails for good is the finding of its stage."""
        record, directory, registered = attempt.record, scratch / "again", scratch / "registered"
        directory.mkdir()
        # Before anything is trained: a changed artifact is the registry's trouble, not the record's.
        self._parts.catalog.retrieve(record.reference, registered)
        try:
            raw = self._raw(attempt, scratch)
        except NotFound as error:
            return (Finding("data", record.lineage.data, None, False, str(error)),)
        compare = Comparisons(
            record, directory, registered, self._parts.artifact_forecasts, self._parts.workspace
        )
        findings: list[Finding] = []
        try:
            with ExitStack() as stack:
                steps = self._steps(stack, attempt, record.retraining(raw, directory, attempt.engine))
                for stage in STEPS:
                    told(stage)
                    step = next(steps, None)
                    if step is None or step.name != stage:
                        raise RetrainingFailed(f"the recorded code did not answer with the step {stage}")
                    findings.append(self._explained(attempt, compare.of(step)))
                    if stage in _BEFORE_TRAINING and not findings[-1].same and not attempt.here:
                        break
        except DomainException as error:
            if error.retriable:
                raise
            stage = STAGES[len(findings)]
            said = attempt.said_of_data if stage == "data" else ""
            findings.append(Finding(stage, _recorded(record, stage), None, False, _joined(said, str(error))))
        return tuple(findings)

    def _raw(self, attempt: _Attempt, scratch: Path) -> Path:
        """The snapshot's file; one that was changed is read too, to say what changed in it."""
        try:
            return self._parts.snapshots.materialize(attempt.record.snapshot, scratch / "raw")
        except IntegrityError as error:
            attempt.said_of_data = str(error)
            return self._parts.snapshots.examine(attempt.record.snapshot, scratch / "raw")

    def _steps(self, stack: ExitStack, attempt: _Attempt, request: Retraining) -> Steps:
        """The steps by the recorded code, or by the code here if it is the same or has to do."""
        record, parts = attempt.record, self._parts
        if code_is(parts, record.inputs.columns, record.inputs.target, record.lineage):
            attempt.code = parts.code_version()
        else:
            try:
                return stack.enter_context(parts.recorded_code.retraining(record.code, request))
            except CodeNotHad as error:
                if not attempt.here:
                    raise
                attempt.said_of_code, attempt.code = str(error), parts.code_version()
        return stack.enter_context(closing(retrain(request, parts)))

    def _explained(self, attempt: _Attempt, finding: Finding) -> Finding:
        """The finding with what else has to be said of its stage."""
        if finding.stage == "data" and attempt.said_of_data:
            return replace(finding, amount=_joined(attempt.said_of_data, finding.amount))
        if finding.same:
            return finding
        if finding.stage == "code":
            said = attempt.said_of_code or f"it is not what {attempt.code} was when it trained the version"
            return replace(finding, amount=_joined(said, finding.amount))
        if finding.stage == "environment" and not attempt.here:
            return replace(finding, amount=f"{finding.amount}; --here trains in this one all the same")
        return finding


def _recorded(record: TrainingRecord, stage: Stage) -> Digest | None:
    lineage = record.lineage
    return {
        "code": lineage.sources,
        "environment": lineage.environment,
        "data": lineage.data,
        "features": record.inputs.feature_set,
    }.get(stage, record.artifact_digest)


def _joined(said: str, amount: str) -> str:
    return "; ".join(part for part in (said, amount) if part)
