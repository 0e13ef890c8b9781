"""Trains a registered version again from its own record, says whether it is the same, and records that."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Protocol

from domain.registry.canonical import Digest
from domain.registry.catalog import ModelCatalog
from domain.registry.errors import CodeNotHad, DomainException, IntegrityError, NotFound
from domain.registry.events import DomainEvent, Provenance
from domain.registry.events.reproduction import (
    STAGES,
    ModelReproducedEvent,
    ReproductionEvent,
    ReproductionFailedEvent,
    Stage,
)
from domain.registry.ledger.ledger import Ledger, LedgerView, Recorded
from domain.registry.ports import Clock
from domain.risk.ports import SnapshotPort
from domain.risk.reproduction.comparisons import Comparisons, Floats
from domain.risk.reproduction.findings import Finding, Verdict, judge
from domain.risk.reproduction.record import TrainingRecord
from domain.risk.reproduction.retraining import Retraining, RetrainingParts, Step, code_is, retrain
from domain.risk.workspace import Workspace

Steps = Generator[Step, None, None]
_BEFORE_TRAINING: tuple[Stage, ...] = ("code", "environment")
"""Stages whose difference ends a reproduction, unless what there is here may be used all the same."""


class RecordedCodePort(Protocol):
    """Runs a training by the code of another commit."""

    def retraining(self, code: str, request: Retraining) -> AbstractContextManager[Steps]:
        """The steps of a training by this code, each run when it is asked for; it ends with the block.

        Args:
            code: what the provenance of a version calls its code.

        Raises:
            CodeNotHad: nothing here has that code, or it is from before it could train anything again.
            RetrainingFailed: from the steps, what a retry would meet again.
            Unavailable: from the steps, what it may not.
        """


class ReproductionParts(RetrainingParts, Protocol):
    """The adapters that reproductions work with."""

    @property
    def clock(self) -> Clock: ...
    @property
    def workspace(self) -> Workspace: ...
    @property
    def snapshots(self) -> SnapshotPort: ...
    @property
    def catalog(self) -> ModelCatalog: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def recorded_code(self) -> RecordedCodePort: ...

    def artifact_forecasts(self, artifact: Path, features: Floats) -> Floats:
        """The forecasts (n,) of the model in a directory, for features (n, k). Raises InvalidInput."""

    def code_version(self) -> str:
        """What the code that runs here is called in provenances."""


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
        event = self._record(request, attempt, findings, artifact, verdict)
        return Reproduction(record, attempt.engine, attempt.code, findings, artifact, verdict, event)

    def _findings(self, attempt: _Attempt, scratch: Path, told: Callable[[str], None]) -> tuple[Finding, ...]:
        directory = scratch / "again"
        directory.mkdir()
        record = attempt.record
        try:
            raw = self._raw(attempt, scratch)
        except NotFound as error:
            return (Finding("data", record.lineage.data, None, False, str(error)),)

        @cache
        def registered() -> Path:
            self._parts.catalog.retrieve(record.reference, scratch / "registered")
            return scratch / "registered"

        compare = Comparisons(
            record, directory, registered, self._parts.artifact_forecasts, self._parts.workspace
        )
        request = record.retraining(raw, directory, attempt.engine)
        findings: list[Finding] = []
        under_way = iter(STAGES)
        told(next(under_way))
        try:
            with ExitStack() as stack:
                for step in self._steps(stack, attempt, request):
                    finding = self._explained(attempt, compare.of(step))
                    findings.append(finding)
                    if finding.stage in _BEFORE_TRAINING and not finding.same and not attempt.here:
                        break
                    told(next(under_way, STAGES[-1]))
        except DomainException as error:
            if error.retriable:
                raise
            stage = STAGES[len(findings)]
            findings.append(Finding(stage, _recorded(record, stage), None, False, str(error)))
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

    def _record(
        self,
        request: Request,
        attempt: _Attempt,
        findings: tuple[Finding, ...],
        artifact: Digest | None,
        verdict: Verdict,
    ) -> Recorded:
        row, at = attempt.record.version.row, self._parts.clock.now()
        provenance = {**request.provenance, "trained_with": attempt.code}
        common = (row.name, row.version, 0, request.run, attempt.engine)
        event: ModelReproducedEvent | ReproductionFailedEvent
        if verdict.stage is None:
            assert artifact is not None
            environment = next(one.found for one in findings if one.stage == "environment")
            assert environment is not None
            event = ModelReproducedEvent(*common, environment, artifact, verdict.difference, provenance, at)
        else:
            failing = next(one for one in findings if one.stage == verdict.stage)
            recorded = failing.recorded or attempt.record.artifact_digest
            event = ReproductionFailedEvent(
                *common, verdict.stage, recorded, failing.found, artifact, _sentence(verdict.reason),
                provenance, at,
            )  # fmt: skip
        (found,) = self._parts.ledger.commit(partial(decide_reproduction, event=event))
        self._parts.ledger.checkpoint()
        return found


def decide_reproduction(
    view: LedgerView, event: ModelReproducedEvent | ReproductionFailedEvent
) -> Sequence[DomainEvent]:
    """Pure: the event with the next number of its version, or the one there is if its run said so before."""
    earlier: list[ReproductionEvent] = [one.event for one in view.reproductions(event.name, event.version)]  # type: ignore[misc]
    for other in earlier:
        if type(other) is type(event) and replace(event, sequence=other.sequence, at=other.at) == other:
            return (other,)
    return (replace(event, sequence=len(earlier)),)


def _recorded(record: TrainingRecord, stage: Stage) -> Digest | None:
    lineage = record.lineage
    return {
        "code": lineage.sources,
        "environment": lineage.environment,
        "data": lineage.data,
        "features": record.inputs.feature_set,
    }.get(stage, record.artifact_digest)


def _joined(said: str, amount: str) -> str:
    return f"{said}; {amount}" if amount else said


def _sentence(text: str) -> str:
    """On one line and of a length that an event takes."""
    line = " ".join(text.split())
    return line if len(line) <= 2000 else f"{line[:1999]}…"
