"""The steps of a model's pipeline, from raw prices to a registered version; tasks only call them.

Steps hand each other small references (paths and digests) and keep data in a workspace, content-addressed,
so that a step that is retried, cleared or run twice finds or makes the same bytes.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from domain.registry.canonical import Digest, digest_of, encode
from domain.registry.card import Subject, build_card, figures, to_html, to_markdown
from domain.registry.errors import NoSuchSource, NotFound
from domain.registry.events import Provenance
from domain.registry.evidence import Attachment, Evidence, LookAhead
from domain.registry.gates import judge_all
from domain.registry.lineage import Lineage
from domain.registry.manifest import Manifest
from domain.registry.ports import Clock
from domain.registry.registration import ModelRegistration, RegisteredModel
from domain.risk import rivals
from domain.risk.as_of import fill_source, instant_of, resolve_session
from domain.risk.problems import problem, recorded
from domain.risk.reproduction.inputs import training_inputs
from domain.risk.spec import ModelSpec
from domain.risk.workspace import Workspace, artifact_in, read_record, write_record

if TYPE_CHECKING:
    from domain.risk.block_store import BlockStore
    from domain.risk.dataset import Dataset
    from domain.risk.parameters import TrainerParameter
    from domain.risk.ports import (
        CalendarPort,
        DataValidatorPort,
        PrepEnginePort,
        SearchPort,
        SnapshotPort,
        SourcePort,
        TrackedRun,
        TrackerPort,
        TrainerPort,
    )
    from domain.risk.problems.contract import Evaluated
    from domain.risk.training_set import TrainingSet
    from domain.risk.tuned_rival import TunedRival


_LOG = logging.getLogger(__name__)


class PipelineParts(Protocol):
    """The adapters a pipeline works with; each is made when a step first needs it."""

    @property
    def clock(self) -> Clock: ...
    @property
    def workspace(self) -> Workspace: ...
    @property
    def calendar(self) -> CalendarPort: ...
    @property
    def source(self) -> SourcePort: ...
    @property
    def snapshots(self) -> SnapshotPort: ...
    @property
    def validator(self) -> DataValidatorPort: ...
    @property
    def tracker(self) -> TrackerPort: ...
    @property
    def registration(self) -> ModelRegistration: ...
    @property
    def search(self) -> SearchPort: ...

    def engine(self, name: str) -> PrepEnginePort: ...
    def search_engine(self, name: str) -> PrepEnginePort: ...
    def trainer(self, name: str) -> TrainerPort: ...
    def trainers_on(self, engine: str) -> AbstractContextManager[Callable[[str], TrainerPort]]:
        """Trainers by name; an engine that can share a training does, with no influence on the result."""

    def plots(self, problem: str, name: str, evaluation: Evaluated) -> tuple[Attachment, ...]:
        """What an evaluation looks like; `name` is the model's, for the titles."""

    def sources_digest(self, trainer: str) -> Digest: ...
    def environment(self, trainer: str | None = None) -> Mapping[str, Any]:
        """Interpreter and packages that features, or a training with this trainer, depend on, by version."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is asked to do; None leaves the choice to the specification.

    Attributes:
        run_after: the moment the run was due.
    """

    run_after: dt.datetime
    logical_date: dt.datetime | None = None
    as_of: str | None = None
    source: str | None = None
    assets: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Reference to the canonical rows a run may see."""

    path: str
    digest: str
    session: str
    source: str
    snapshot: str
    snapshot_id: str
    assets: list[str]


@dataclass(frozen=True, slots=True)
class Features:
    """Reference to a feature set, and the rows it was made of."""

    path: str
    digest: str
    engine: str
    rows: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Validation:
    """Reference to the result of a data validation, and the report for people."""

    path: str
    report: str
    unmet: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """Reference to a trained candidate: its directory holds artifact, attachments and its record."""

    path: str
    recipe: str
    model_id: str
    tracked_as: str
    engine: str
    rows: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)


class ModelPipeline:
    """One model's pipeline: its specification and the parts it works with."""

    def __init__(self, spec: ModelSpec, parts: PipelineParts) -> None:
        self._spec = spec
        self._parts = parts

    @property
    def parameters(self) -> Mapping[str, TrainerParameter]:
        """What a run may set of its trainer."""
        return self._parts.trainer(self._spec.training.trainer).parameters()

    def ingest(self, request: RunRequest) -> Rows:
        """Resolve the as-of session, keep a snapshot of the raw data and write the rows the run may see.

        Raises:
            DataNotArrived: the source ends before the session and may still grow.
            InvalidInput: a request or data that cannot be used.
        """
        from domain.risk.features import feature_definition
        from domain.risk.rows import canonical_rows, not_arrived, require_session

        measures = feature_definition(self._spec.columns, self._spec.target).measures
        spec, parts = self._spec.data, self._parts
        instant = instant_of(request.as_of, request.logical_date, request.run_after, parts.clock.now())
        session = resolve_session(parts.calendar, spec.calendar, instant)
        source = request.source or spec.source
        uri = fill_source(source, session)
        deadline = instant + dt.timedelta(hours=spec.wait_hours)
        may_arrive = parts.source.grows(uri) and parts.clock.now() < deadline
        assets = (request.assets if request.assets is not None else spec.assets) or None
        with self._parts.workspace.scratch() as scratch:
            try:
                raw = parts.source.fetch(uri, scratch)
            except NoSuchSource as error:
                # A name without a date is there from the start, or wrong.
                if source == uri or not may_arrive:
                    raise
                raise not_arrived(f"the source {uri} does not exist yet", deadline) from error
            snapshot = parts.snapshots.snapshot(raw)
            rows = canonical_rows(raw, session, assets, scratch / "rows", self._blocks(), measures)
            require_session(rows, session, may_arrive_until=deadline if may_arrive else None)
            home = self._parts.workspace.keep(rows.dataset.root, "rows", rows.dataset.digest)
        return Rows(
            path=str(home),
            digest=rows.dataset.digest,
            session=session.isoformat(),
            source=uri,
            snapshot=snapshot.sha256,
            snapshot_id=snapshot.store_id,
            assets=list(rows.assets),
        )

    def prepare(self, rows: Rows, engine: str) -> Features:
        """Assemble the feature set from blocks; those that no run made yet are computed on an engine.

        Every engine gives the same bytes.
        """
        from domain.risk.features import feature_definition
        from domain.risk.preparation import prepare

        definition = feature_definition(self._spec.columns, self._spec.target)
        with self._parts.workspace.scratch() as scratch, self._parts.engine(engine) as executor:
            place, store = scratch / "features", self._blocks()
            prepared = prepare(self._open(rows), definition, executor, place, store=store)
            home = self._parts.workspace.keep(prepared.dataset.root, "features", prepared.dataset.digest)
        _LOG.info("%s", prepared.told(engine))
        return Features(str(home), prepared.dataset.digest, engine, asdict(rows))

    def training_set(self, features: Features) -> TrainingSet:
        """A feature set in memory."""
        from domain.risk.features import feature_definition
        from domain.risk.training_set import TrainingSet

        definition = feature_definition(self._spec.columns, self._spec.target)
        return TrainingSet.of(self._open(features), definition, features.rows["assets"])

    def _blocks(self) -> BlockStore:
        return self._parts.workspace.blocks(digest_of(self._parts.environment()))

    def validate(self, features: Features, run: str) -> Validation:
        """Check rows and features against the expectations; the gates judge what is found."""
        from domain.risk.features import feature_definition

        rows = self._open(Rows(**features.rows))
        measures = feature_definition(self._spec.columns, self._spec.target).measures
        report = self._parts.validator.validate(
            rows, self._open(features), run, store=self._blocks(), measures=measures
        )
        summary: dict[str, Any] = {
            "checked": report.summary.checked,
            "failures": list(report.summary.failures),
        }
        with self._parts.workspace.scratch() as scratch:
            write_record(scratch, summary, report.attachments)
            key = digest_of({"features": features.digest, "run": run, **summary})
            home = self._parts.workspace.keep(scratch, "validations", key)
        return Validation(str(home), report.report, len(report.summary.failures))

    def train(self, features: Features, parameters: Mapping[str, Any]) -> Candidate:
        """Evaluate out of sample, train on everything before the as-of date, and keep the candidate."""
        with self._parts.trainers_on(features.engine) as trainer_of:
            return self._trained(features, *self._entered(features, parameters, trainer_of))

    def _trained(
        self, features: Features, entries: tuple[rivals.Rival, ...], found: TunedRival | None
    ) -> Candidate:
        import numpy as np

        from domain.risk.features import feature_definition

        spec, parts, rows = self._spec, self._parts, Rows(**features.rows)
        training, tested = self._tested(features, entries)
        winner = rivals.best(tested, spec.training.best_by)
        rival, evidence = winner.rival, rivals.with_rivals(winner, tested)
        if found is not None:
            found.require_apart(tested[0].evaluation.folds)
            evidence = found.noted(evidence) if rival is found.rival else evidence
        choice = rivals.recorded_choice(tested, spec.training.best_by)
        environment = parts.environment(rival.name)
        lineage = Lineage(
            data=Digest(rows.digest),
            features=feature_definition(spec.columns, spec.target).digest,
            sources=parts.sources_digest(rival.name),
            environment=digest_of(environment),
            parameters=recorded(spec.problem, rival.name, rival.parameters, choice),
            seed=spec.training.seed,
            as_of=dt.date.fromisoformat(rows.session),
        )
        with self._parts.workspace.scratch() as scratch:
            artifact = scratch / "artifact"
            artifact.mkdir()
            labelled = np.flatnonzero(training.known)
            model = problem(spec.problem).fit(
                training, labelled, rival.trainer, rival.parameters, spec.training.seed
            )
            evidence = evidence.with_onnx(model.save(artifact))
            manifest = Manifest(spec.metadata(rival.trainer.framework), lineage, artifact_in(artifact))
            attachments = (
                *parts.plots(spec.problem, spec.name, winner.evaluation),
                Attachment("environment.json", "application/json", encode(environment)),
                training_inputs(
                    spec.columns,
                    spec.target,
                    rows.assets,
                    self._open(rows),
                    self._open(features),
                    rival.trainer.tolerance,
                ),
            )
            tracked_as = parts.tracker.track(_tracked(manifest, evidence, attachments))
            for run in rivals.tracked_rivals(spec.name, winner, tested, lineage):
                parts.tracker.track(run)
            record = {
                "framework": rival.trainer.framework,
                "lineage": lineage.to_json(),
                "evidence": evidence.to_json(),
            }
            write_record(scratch, record, attachments)
            key = digest_of({"model_id": manifest.model_id, "evidence": evidence.digest})
            home = self._parts.workspace.keep(scratch, "candidates", key)
        return Candidate(
            path=str(home),
            recipe=lineage.recipe,
            model_id=manifest.model_id,
            tracked_as=tracked_as,
            engine=features.engine,
            rows=features.rows,
            metrics=dict(evidence.metrics),
        )

    def _entered(
        self,
        features: Features,
        parameters: Mapping[str, Any],
        trainer_of: Callable[[str], TrainerPort],
    ) -> tuple[tuple[rivals.Rival, ...], TunedRival | None]:
        """Who is tested; the first with what a search finds, if the specification asks for one."""
        from domain.risk.folds import plan_folds
        from domain.risk.tuned_rival import tuned
        from domain.risk.tuning import Exam

        spec, parts = self._spec, self._parts
        entries = rivals.entered(spec, trainer_of, parameters)
        if spec.training.tuning is None:
            return entries, None
        rows = Rows(**features.rows)
        folds = plan_folds(self.training_set(features), dt.date.fromisoformat(rows.session))
        exam = Exam(
            features=self._open(features),
            columns=spec.columns,
            target=spec.target,
            assets=tuple(rows.assets),
            before=folds[0].test_start,
            problem=spec.problem,
            trainer=parts.trainer(spec.training.trainer),
            seed=spec.training.seed,
            metric=spec.training.best_by,
        )
        fixed = {**spec.training.parameters, **parameters}
        found = tuned(entries[0], exam, fixed, spec, features.engine, parts)
        return (found.rival, *entries[1:]), found

    def evaluate(
        self, features: Features, trainer: TrainerPort, parameters: Mapping[str, Any]
    ) -> tuple[TrainingSet, Evaluated, Evidence]:
        """Evaluate out of sample, and probe for look-ahead; the evidence lacks the data validation."""
        rival = rivals.Rival(self._spec.training.trainer, trainer, parameters)
        training, (tested,) = self._tested(features, (rival,))
        return training, tested.evaluation, tested.evidence

    def _tested(
        self, features: Features, entries: Sequence[rivals.Rival]
    ) -> tuple[TrainingSet, list[rivals.Contender]]:
        """Each one evaluated on the same rows and folds."""
        from domain.risk.description import described
        from domain.risk.features import feature_definition
        from domain.risk.folds import check_folds
        from domain.risk.look_ahead import probe
        from domain.risk.problems.contract import Setting
        from domain.risk.regimes import MarketVolatility

        spec, rows = self._spec, Rows(**features.rows)
        definition = feature_definition(spec.columns, spec.target)
        training = self.training_set(features)
        posed = problem(spec.problem)
        setting = Setting(
            as_of=dt.date.fromisoformat(rows.session),
            next_session=partial(self._parts.calendar.first_session, spec.data.calendar),
            market=MarketVolatility.of(self._open(rows)),
            classes=definition.label.classes,
        )
        probes, leaks = probe(self._open(rows), self._open(features), definition)
        about = described(definition, training, spec.data.calendar, posed.metrics, spec.statements)
        # One alone is judged where it is registered; gates have nothing to decide before.
        gates = spec.gates if len(entries) > 1 else ()
        tested = []
        for one in entries:
            evaluation = posed.evaluate(training, one.trainer, one.parameters, spec.training.seed, setting)
            touched = check_folds(evaluation.folds, training)
            found = LookAhead(probes, len(evaluation.folds), (*leaks, *touched))
            evidence = evaluation.evidence(found, about)
            tested.append(rivals.Contender.judged(one, evaluation, evidence, gates))
        return training, tested

    def register(
        self, candidate: Candidate, validation: Validation, provenance: Provenance
    ) -> RegisteredModel:
        """Judge the candidate by the specification's gates and register it.

        Raises:
            GateFailed: with the reasons; the refusal is in the ledger.
        """
        record, attachments = read_record(Path(candidate.path))
        checked, reports = read_record(Path(validation.path))
        evidence = Evidence.from_json({**record["evidence"], "data_validation": checked})
        rows = Rows(**candidate.rows)
        artifact = Path(candidate.path) / "artifact"
        metadata = self._spec.metadata(record["framework"])
        lineage = Lineage.from_json(record["lineage"])
        subject = Subject(
            Manifest(metadata, lineage, artifact_in(artifact)),
            evidence,
            judge_all(self._spec.gates, evidence),
            figures(attachments),
            {"source": rows.source, "snapshot": rows.snapshot},
        )
        return self._parts.registration.register_model(
            metadata,
            artifact,
            lineage=lineage,
            evidence=evidence,
            gates=self._spec.gates,
            attachments=(*attachments, *reports, *_card(subject)),
            provenance={
                **provenance,
                "engine": candidate.engine,
                "source": rows.source,
                "snapshot": rows.snapshot,
                "snapshot_id": rows.snapshot_id,
                "tracked_as": candidate.tracked_as,
                "report": validation.report,
            },
        )

    def _open(self, reference: Rows | Features) -> Dataset:
        dataset = self._parts.workspace.dataset(Path(reference.path))
        if dataset.digest != reference.digest:
            raise NotFound(
                f"dataset {reference.path} is not the one the run made: clear the task that prepares it"
            )
        return dataset


def _card(subject: Subject) -> tuple[Attachment, ...]:
    """The model card as it is known before the registration, for who has nothing but the attachments."""
    card = build_card(subject)
    return (
        Attachment("card.md", "text/markdown", to_markdown(card).encode()),
        Attachment("card.html", "text/html", to_html(card).encode()),
    )


def _tracked(manifest: Manifest, evidence: Evidence, attachments: tuple[Attachment, ...]) -> TrackedRun:
    from domain.risk.ports import TrackedRun

    lineage = manifest.lineage
    assert lineage is not None
    baselines = {
        f"{baseline}.{name}": value
        for baseline, metrics in evidence.baselines.items()
        for name, value in metrics.items()
    }
    return TrackedRun(
        experiment=manifest.metadata.name,
        key=lineage.recipe,
        parameters={**lineage.parameters, "seed": lineage.seed, "as_of": lineage.as_of.isoformat()},
        metrics={**evidence.metrics, **baselines},
        tags={"veritas.model_id": manifest.model_id, "veritas.recipe": lineage.recipe},
        files=attachments,
    )
