"""Monitors a version: compares what it sees, forecasts and is worth with its training, and records that."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from domain.registry.canonical import digest
from domain.registry.card import to_html
from domain.registry.catalog import ModelCatalog
from domain.registry.collection.collector import Collector
from domain.registry.collection.state import require_still_stored
from domain.registry.errors import InvalidInput, NotFound
from domain.registry.events import DomainEvent, Provenance
from domain.registry.events.monitoring import DriftDetectedEvent, ModelMonitoredEvent
from domain.registry.ledger.ledger import Decide, Ledger, Recorded
from domain.registry.ledger.view import LedgerView
from domain.registry.ports import ModelRegistryPort
from domain.risk.champions import champion_of
from domain.risk.monitoring.recording import decide_monitoring
from domain.risk.pipeline import ModelPipeline, PipelineParts, RunRequest
from domain.risk.problems import problem, problem_of
from domain.risk.reproduction.record import TrainingRecord
from domain.risk.spec import ModelSpec

if TYPE_CHECKING:
    from domain.registry.evidence import Attachment
    from domain.risk.monitoring.judgement import Judgement
    from domain.risk.monitoring.observed import Observed
    from domain.risk.ports import RegisteredForecastPort


class NothingNew(InvalidInput):
    """A version has seen the session that it is to be monitored on."""


class NotMonitored(InvalidInput):
    """Nothing watches versions of the problem."""


class MonitoringParts(PipelineParts, Protocol):
    """What a pipeline works with, and where the versions are that are monitored."""

    @property
    def registry(self) -> ModelRegistryPort: ...
    @property
    def catalog(self) -> ModelCatalog: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def collector(self) -> Collector: ...
    @property
    def forecasts(self) -> RegisteredForecastPort: ...

    def monitoring_plots(
        self, name: str, observed: Observed, judgement: Judgement
    ) -> tuple[Attachment, ...]: ...


@dataclass(frozen=True, slots=True)
class Monitored:
    """What came of a monitoring.

    Attributes:
        event: in the ledger; not appended where the same was recorded before.
        report: the page for people, HTML.
    """

    event: Recorded
    report: bytes

    @property
    def outcome(self) -> ModelMonitoredEvent | DriftDetectedEvent:
        """What the event says."""
        event = self.event.event
        assert isinstance(event, ModelMonitoredEvent | DriftDetectedEvent)
        return event

    @property
    def drifted(self) -> bool:
        return isinstance(self.outcome, DriftDetectedEvent)

    @property
    def reason(self) -> str:
        """What drifted, in one sentence; empty if nothing did."""
        return self.outcome.reason if isinstance(self.outcome, DriftDetectedEvent) else ""

    @property
    def retrain(self) -> bool:
        """Whether it starts a retraining."""
        return isinstance(self.outcome, DriftDetectedEvent) and self.outcome.retrain

    @property
    def reference(self) -> str:
        return f"{self.outcome.name}@{self.outcome.version}"


class ModelMonitoring:
    """Monitors the versions of a specification's name. Nothing changes but the ledger; no version does."""

    def __init__(self, spec: ModelSpec, parts: MonitoringParts) -> None:
        self._spec = spec
        self._parts = parts

    def champion(self) -> str | None:
        """The reference of the version in use; None if there is none, or nothing of the name."""
        return champion_of(self._parts.ledger, self._spec.name)

    def monitor(
        self, reference: str, request: RunRequest, provenance: Provenance, engine: str = "inline"
    ) -> Monitored:
        """Judge the sessions up to a run's, and record what is found.

        Raises:
            InvalidInput: the version has another name than the specification, or was trained elsewhere.
            NotMonitored: nothing watches versions of its problem.
            NothingNew: it was trained on the session.
            NotFound: its snapshot is not kept any more, or does not give the rows it was trained on.
            DataNotArrived: see `ModelPipeline.ingest`.
        """
        from domain.risk.monitoring.judgement import Judgement
        from domain.risk.monitoring.measures import Measures
        from domain.risk.monitoring.report import report_of

        record, settings = self._record(reference), self._spec.monitoring
        _require_monitored(problem_of(record.lineage.parameters))
        as_of, observed = self._observed(record, request, engine)
        measures = Measures.of(
            observed, settings.window_sessions, self._spec.promotion.metric, settings.least_psi
        )
        judgement = Judgement.of(measures, settings.false_alarm_rate)
        plots = self._parts.monitoring_plots(record.reference, observed, judgement)
        report = to_html(report_of(record.reference, record.lineage.as_of, judgement, plots)).encode()
        return Monitored(self._recorded(record, as_of, judgement, report, provenance), report)

    def _record(self, reference: str) -> TrainingRecord:
        row = self._parts.catalog.resolve(reference)
        if row.name != self._spec.name:
            raise InvalidInput("--spec", self._spec.name, f"give the specification of {row.name}")
        if row.recipe is None:
            raise InvalidInput(
                "REF", reference, "it was trained elsewhere, so nobody knows what it was trained on"
            )
        return TrainingRecord.read(self._parts.catalog, f"{row.name}@{row.version}")

    def _observed(self, record: TrainingRecord, request: RunRequest, engine: str) -> tuple[dt.date, Observed]:
        from domain.risk.monitoring.observed import Observed

        # As it was trained, whatever the specification says today.
        spec = replace(self._spec, columns=record.inputs.columns, target=record.inputs.target)
        pipeline = ModelPipeline(spec, self._parts)
        before = record.lineage.as_of
        rows = pipeline.ingest(replace(request, assets=record.inputs.assets))
        as_of = dt.date.fromisoformat(rows.session)
        if as_of <= before:
            raise NothingNew(
                "as_of", rows.session, f"give a later session, {record.reference} has seen {before}"
            )
        recent = pipeline.training_set(pipeline.prepare(rows, engine))
        kept = pipeline.ingest(
            RunRequest(
                run_after=request.run_after,
                as_of=before.isoformat(),
                source=f"snapshot:{record.snapshot}",
                assets=record.inputs.assets,
            )
        )
        if kept.digest != record.lineage.data:
            raise NotFound(
                f"snapshot:{record.snapshot} does not give the rows that {record.reference} was trained on: "
                "run veritas reproduce to see why"
            )
        trained = pipeline.training_set(pipeline.prepare(kept, engine))
        forecasts = self._parts.forecasts
        return as_of, Observed.of(
            trained, recent, lambda rows: forecasts.forecast(record.reference, rows, trained.names)
        )

    def _recorded(
        self, record: TrainingRecord, as_of: dt.date, judged: Judgement, report: bytes, provenance: Provenance
    ) -> Recorded:
        from domain.risk.monitoring.judgement import sentence

        parts, row = self._parts, record.version.row
        findings, at = judged.findings(), parts.clock.now()
        window, cooldown = judged.measures.window, dt.timedelta(days=self._spec.monitoring.cooldown_days)
        if not any(one.breached for one in findings):
            calm = ModelMonitoredEvent(
                row.name, row.version, 0, as_of, window, judged.rate, findings, provenance, at
            )
            return self._commit(lambda view: decide_monitoring(view, calm, cooldown))
        drift = DriftDetectedEvent(
            row.name, row.version, 0, as_of, window, judged.rate, findings, sentence(findings),
            digest(report), False, provenance, at,
        )  # fmt: skip
        since = parts.collector.settled(row.model_id, provenance)
        parts.registry.attach(row.model_id, report)

        def decide(view: LedgerView) -> Sequence[DomainEvent]:
            require_still_stored(view, since, row.model_id)
            return decide_monitoring(view, drift, cooldown)

        return self._commit(decide)

    def _commit(self, decide: Decide) -> Recorded:
        (recorded,) = self._parts.ledger.commit(decide)
        self._parts.ledger.checkpoint()
        return recorded


def _require_monitored(name: str) -> None:
    if why := problem(name).unmonitored:
        raise NotMonitored("problem", name, why)
