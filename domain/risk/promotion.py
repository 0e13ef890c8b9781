"""From a registered challenger to a proposal that people can decide on: compared, described, proposed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from domain.registry.canonical import Digest, decode, encode
from domain.registry.catalog import ModelCatalog, ModelVersion
from domain.registry.errors import NotFound, StaleDecision
from domain.registry.evidence import EVIDENCE, Evidence, GateResult
from domain.registry.gates import CHAMPION, NoWorseThanChampion
from domain.registry.ledger.ledger import Ledger
from domain.registry.lifecycle.rules import Proposal
from domain.registry.lifecycle.service import ModelLifecycle
from domain.registry.lifecycle.state import Lifecycle, challengers, halt_of
from domain.registry.ports import ModelRegistryPort, VersionRow
from domain.risk.as_registered import AsRegistered
from domain.risk.pipeline import ModelPipeline, PipelineParts, RunRequest
from domain.risk.problems import parameters_of, problem, problem_of
from domain.risk.promotion_request import AS_REGISTERED, CHALLENGER, TRAINED_BEFORE, describe
from domain.risk.spec import ModelSpec

if TYPE_CHECKING:
    from domain.risk.folds import Fold
    from domain.risk.ports import RegisteredForecastPort, TrainedModel
    from domain.risk.training_set import TrainingSet


_TRIES = 3


class PromotionParts(PipelineParts, Protocol):
    """What a pipeline works with, and what decides on its versions."""

    @property
    def registry(self) -> ModelRegistryPort: ...
    @property
    def catalog(self) -> ModelCatalog: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def lifecycle(self) -> ModelLifecycle: ...
    @property
    def forecasts(self) -> RegisteredForecastPort: ...


@dataclass(frozen=True, slots=True)
class Review:
    """A proposal as it is shown to those who decide; plain JSON, so that tasks can hand it on.

    Attributes:
        at: the moment it was made, ISO 8601.
        approvers: who may approve it, by each role in which somebody has to; none if it needs nobody.
        hours: how long they have.
        subject, body: what they are shown; the body is Markdown.
    """

    name: str
    version: int
    incumbent: int | None
    evidence: str
    reason: str
    actor: str
    at: str
    approvers: Mapping[str, list[str]]
    hours: float
    subject: str
    body: str

    @property
    def proposal(self) -> Proposal:
        """What is decided on, as its author saw things."""
        return Proposal(
            "promote", self.version, self.incumbent, Digest(self.evidence), self.reason, self.actor,
            dt.datetime.fromisoformat(self.at), automatic=True,
        )  # fmt: skip

    def answered_by(self, person: str, reason: str, at: dt.datetime) -> Proposal:
        """The proposal as this person's own, to approve it or to let it expire."""
        return replace(self.proposal, actor=person, reason=reason, at=at, automatic=False)


class Promotions:
    """Puts a model's challenger before those who decide, and the decided one in the champion's place."""

    def __init__(self, spec: ModelSpec, parts: PromotionParts) -> None:
        self._spec = spec
        self._parts = parts

    def due(self, *, again: bool = False) -> VersionRow | None:
        """The challenger, if there is something to do about it.

        First comes what people have approved. Of the others it is the newest one on which no gate has failed;
        there is nothing to do about that where people are asked about this challenger, this champion and this
        evidence, or were and did not answer. During a halt there is nothing to do at all.

        Args:
            again: ask people again who did not answer, and judge again what failed.
        """
        view = self._parts.ledger.view()
        name = self._spec.name
        if next(view.versions(name, limit=1), None) is None:
            return None
        state = Lifecycle.of(view, name)
        if halt_of(view, state) is not None:
            return None
        wanting = list(challengers(view, state))
        approved = (
            row
            for row in wanting
            if row.version in state.proposed and self._parts.lifecycle.is_approved(name, row.version)
        )
        if (row := next(approved, None)) is not None:
            return row
        for row in wanting:
            candidate = self._parts.lifecycle.candidate(name, row.version)
            if candidate.evidence is None:
                continue
            case = (row.version, state.champion, candidate.evidence)
            failed = state.was_refused(*case) and any(gate.outcome != "passed" for gate in candidate.gates)
            if failed and not again:
                continue
            return row if again or self._is_to_be_asked(state, *case) else None
        return None

    def _is_to_be_asked(
        self, state: Lifecycle, version: int, incumbent: int | None, evidence: Digest
    ) -> bool:
        """Whether people were not asked yet; or were, and what they answered was not enough, or got lost.

        The run that asked lets its proposal expire. One that waits twice as long has no run any more.
        """
        case = (version, incumbent, evidence)
        if not state.was_proposed(*case):
            return True
        return state.ended_in_refusal(*case) or (state.is_waiting(*case) and self._is_lost(state, version))

    def _is_lost(self, state: Lifecycle, version: int) -> bool:
        patience = dt.timedelta(hours=2 * self._spec.promotion.answer_hours)
        return state.proposed[version].at + patience < self._parts.clock.now()

    def review(self, actor: str, *, again: bool = False) -> Review | None:
        """Compare the challenger with the champion, and propose it; None if there is nothing to do.

        Where the champion changes meanwhile, it is done again with the new one.

        Args:
            actor: whose run proposes it; they approve nothing of it.
            again: as in `due`.

        Raises:
            NotPermitted: nobody may approve it.
            NotFound, NoSuchSource: its data is not there any more.
            StaleDecision: the champion changes all the time.
        """
        for _ in range(_TRIES - 1):
            with suppress(StaleDecision):
                return self._reviewed(actor, again=again)
        return self._reviewed(actor, again=again)

    def _reviewed(self, actor: str, *, again: bool) -> Review | None:
        row = self.due(again=again)
        if row is None:
            return None
        lifecycle, name = self._parts.lifecycle, self._spec.name
        state = lifecycle.state(name)
        evidence, gates = self._compared(row, state.champion)
        lifecycle.evaluate(
            name,
            row.version,
            evidence.digest,
            gates,
            actor,
            attach=lambda: self._parts.registry.attach(row.model_id, encode(evidence.to_json())),
        )
        reason = "newest challenger" if state.champion is None else f"compared with version {state.champion}"
        now = lifecycle.propose("promote", name, row.version, reason, actor, automatic=True)
        # As it was compared: if something else is true by now, nothing is proposed.
        proposal = replace(now, incumbent=state.champion, evidence=evidence.digest)
        if proposal != now:
            raise StaleDecision(f"the champion of {name} changed while {name}@{row.version} was compared")
        subject, body = describe(self._parts.catalog.show(f"{name}@{row.version}"), proposal, evidence, gates)
        approvers = lifecycle.approvers(name, proposal)
        if lifecycle.foreseen(name, proposal, approvers):
            # Nobody is asked for what would be refused anyway; carrying it out says why.
            approvers = {}
        if approvers:
            if row.version in state.waiting and self._is_lost(state, row.version):
                lost = replace(proposal, reason="the run that asked has ended")
                lifecycle.expire(name, lost)
            lifecycle.open(name, proposal)
        return Review(
            name=name,
            version=row.version,
            incumbent=proposal.incumbent,
            evidence=proposal.evidence,
            reason=reason,
            actor=actor,
            at=proposal.at.isoformat(),
            approvers={role: list(people) for role, people in approvers.items()},
            hours=self._spec.promotion.answer_hours,
            subject=subject,
            body=body,
        )

    def _compared(self, row: VersionRow, champion: int | None) -> tuple[Evidence, tuple[GateResult, ...]]:
        """Evidence and gates to decide on: those of the registration, or of the comparison added to them."""
        shown = self._parts.catalog.show(f"{row.name}@{row.version}")
        if champion is None:
            return self._evidence(shown), shown.event.gates
        incumbent = self._parts.catalog.show(f"{row.name}@{champion}")
        compared = self._compare(shown, incumbent)
        gate = NoWorseThanChampion(self._spec.promotion.metric, self._spec.promotion.tolerance)
        return compared, (*shown.event.gates, gate.judge(compared))

    def _evidence(self, shown: ModelVersion) -> Evidence:
        """The evidence that a version was registered on."""
        kept = next(kept for kept in shown.event.attachments if kept.name == EVIDENCE)
        content = self._parts.catalog.attachment(shown.event, kept)
        return Evidence.from_json(decode(content, EVIDENCE))

    def _compare(self, shown: ModelVersion, incumbent: ModelVersion) -> Evidence:
        from domain.risk.folds import plan_window

        evidence = self._evidence(shown)
        training = self._training_set(shown, evidence)
        settings = self._spec.promotion
        window = plan_window(training, settings.window_sessions)
        how, challenger = self._fitted(shown, training, window)
        how_champion, champion = self._fitted(incumbent, training, window)
        about = {
            "challenger": f"{shown.row.name}@{shown.row.version}",
            "champion": f"{incumbent.row.name}@{incumbent.row.version}",
            "forecasts": {CHALLENGER: how, CHAMPION: how_champion},
            "evidence_at_registration": evidence.digest,
        }
        posed = problem(self._spec.problem)
        return posed.compare(training, window, challenger, champion, settings.metric, about)

    def _training_set(self, shown: ModelVersion, evidence: Evidence) -> TrainingSet:
        """The rows that the challenger was trained on, from its own snapshot."""
        lineage, origin = shown.manifest.lineage, shown.event.provenance
        assert lineage is not None
        pipeline = ModelPipeline(self._spec, self._parts)
        rows = pipeline.ingest(
            RunRequest(
                run_after=self._parts.clock.now(),
                as_of=lineage.as_of.isoformat(),
                source=f"snapshot:{origin['snapshot']}",
                assets=evidence.assets_expected,
            )
        )
        if rows.digest != lineage.data:
            raise NotFound(
                f"snapshot:{origin['snapshot']} does not give the rows {lineage.data} that "
                f"{shown.row.name}@{shown.row.version} was trained on: run veritas reproduce to see why"
            )
        return pipeline.training_set(pipeline.prepare(rows, "inline"))

    def _has_this_recipe(self, version: ModelVersion) -> bool:
        """Whether a version was trained here, for the specification's problem, features and target."""
        lineage = version.manifest.lineage
        if lineage is None or problem_of(lineage.parameters) != self._spec.problem:
            return False
        from domain.risk.features import feature_definition

        said = self._evidence(version).details
        columns = tuple(feature["name"] for feature in said["features"])
        # By the columns' names: a specification may name a module of its own before them.
        today = feature_definition(self._spec.columns, self._spec.target)
        return (columns, said["target"]["name"]) == (today.columns, today.target)

    def _fitted(self, version: ModelVersion, training: TrainingSet, window: Fold) -> tuple[str, TrainedModel]:
        """How a version answers for the window, and the model that does: made by its recipe, on what was
        known before.

        A version that was trained elsewhere has no recipe, and the recipe of one with other features or
        another target is not the specification's: these answer as they are.
        """
        lineage, posed = version.manifest.lineage, problem(self._spec.problem)
        if lineage is None or not self._has_this_recipe(version):
            reference = f"{version.row.name}@{version.row.version}"
            registered = AsRegistered(self._parts.forecasts, reference)
            return AS_REGISTERED, posed.fit(training, window.train, registered, {}, 0)
        trainer = self._parts.trainer(lineage.parameters["trainer"])
        chosen = parameters_of(lineage.parameters)
        return TRAINED_BEFORE, posed.fit(training, window.train, trainer, chosen, lineage.seed)
