"""Models that were trained elsewhere, judged by the same gates as those that were trained here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from domain.registry.canonical import encode
from domain.registry.catalog import ModelCatalog
from domain.registry.errors import InvalidInput
from domain.registry.evidence import DataValidation, Evidence, GateResult, OnnxAgreement
from domain.registry.gates import judge_all
from domain.registry.lifecycle.service import ModelLifecycle
from domain.registry.ports import ModelRegistryPort, VersionRow
from domain.risk.as_registered import AsRegistered
from domain.risk.pipeline import ModelPipeline, PipelineParts, RunRequest
from domain.risk.spec import ModelSpec
from domain.risk.workspace import read_record

if TYPE_CHECKING:
    from domain.risk.ports import RegisteredForecastPort


class EvaluationParts(PipelineParts, Protocol):
    """What a pipeline works with, and where the versions are that are judged."""

    @property
    def registry(self) -> ModelRegistryPort: ...
    @property
    def catalog(self) -> ModelCatalog: ...
    @property
    def lifecycle(self) -> ModelLifecycle: ...
    @property
    def forecasts(self) -> RegisteredForecastPort: ...


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of an evaluation.

    Attributes:
        report: where people can read the data validation.
        recorded: whether it is new in the ledger; not where the version was judged on this evidence before.
    """

    row: VersionRow
    evidence: Evidence
    gates: tuple[GateResult, ...]
    report: str
    recorded: bool

    @property
    def passed(self) -> bool:
        return all(gate.outcome == "passed" for gate in self.gates)


class OutsideEvaluation:
    """Evaluates a version as it was registered on a specification's data, and records what its gates say."""

    def __init__(self, spec: ModelSpec, parts: EvaluationParts) -> None:
        self._spec = spec
        self._parts = parts

    def evaluate(self, reference: str, request: RunRequest, engine: str, actor: str) -> Judged:
        """Let the artifact forecast the sessions that a training of this specification is tested on.

        What it was trained on is not known: it may have seen these sessions. Nobody can tell from outside,
        and the evidence says so.

        Raises:
            InvalidInput: the version has another name than the specification, was trained here, or cannot be
                run on these features.
            DataNotArrived: see `ModelPipeline.ingest`.
        """
        row = self._parts.catalog.resolve(reference)
        if row.name != self._spec.name:
            raise InvalidInput("--spec", self._spec.name, f"give the specification of {row.name}")
        if row.recipe is not None:
            raise InvalidInput(
                "REF", f"{row.name}@{row.version}", "it was trained here and judged when it was registered"
            )
        pipeline = ModelPipeline(self._spec, self._parts)
        rows = pipeline.ingest(request)
        features = pipeline.prepare(rows, engine)
        validation = pipeline.validate(features, f"{row.name}@{row.version} as of {rows.session}")
        registered = AsRegistered(self._parts.forecasts, f"{row.name}@{row.version}")
        training, _, found = pipeline.evaluate(features, registered, {})
        checked, _ = read_record(Path(validation.path))
        # What was evaluated is the file itself, run by ONNX Runtime: nothing else can be evaluated.
        found = found.with_onnx(OnnxAgreement(int(training.known.sum()), 0.0))
        evidence = replace(
            found,
            data_validation=DataValidation(checked["checked"], tuple(checked["failures"])),
            details={**found.details, "evaluated": _about(rows.session, rows.digest, rows.snapshot)},
        )
        gates = judge_all(self._spec.gates, evidence)
        outcome = self._parts.lifecycle.evaluate(
            row.name,
            row.version,
            evidence.digest,
            gates,
            actor,
            attach=lambda: self._parts.registry.attach(row.model_id, encode(evidence.to_json())),
        )
        return Judged(row, evidence, gates, validation.report, bool(outcome.events))


def _about(session: str, rows: str, snapshot: str) -> Mapping[str, str]:
    return {
        "as_of": session,
        "data": rows,
        "snapshot": snapshot,
        "training": "elsewhere; the sessions of this evaluation may be among those it was trained on",
    }
