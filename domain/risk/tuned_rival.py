"""A trainer with the parameters that a search found, and what is told of the search."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from domain.registry.canonical import Digest, digest_of
from domain.registry.errors import InvalidInput
from domain.risk.parameters import choose
from domain.risk.ports import TrackedRun
from domain.risk.rivals import Rival
from domain.risk.trial import Trial
from domain.risk.tuning import Exam, Notebook, best_of, search

if TYPE_CHECKING:
    from domain.registry.evidence import Evidence
    from domain.risk.folds import Fold
    from domain.risk.ports import PrepEnginePort, SearchPort, TrackerPort
    from domain.risk.spec import ModelSpec
    from domain.risk.tuning_spec import TuningSpec
    from domain.risk.workspace import Workspace


class SearchParts(Protocol):
    """The adapters that a search works with."""

    @property
    def workspace(self) -> Workspace: ...
    @property
    def tracker(self) -> TrackerPort: ...
    @property
    def search(self) -> SearchPort: ...

    def search_engine(self, name: str) -> PrepEnginePort:
        """What tries parameters where the run computes on that engine."""

    def sources_digest(self, trainer: str) -> Digest: ...
    def environment(self, trainer: str | None = None) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class TunedRival:
    """A rival with the best parameters of a search.

    Attributes:
        trials: all that were tried.
        before: the first session that the search did not look at.
        key: of the search, under which the tracker has its trials.
        by: what proposed them, and its release.
    """

    rival: Rival
    trials: tuple[Trial, ...]
    before: dt.date
    key: Digest
    by: str

    def require_apart(self, folds: Sequence[Fold]) -> None:
        """Check that the model is judged on nothing that the search looked at. Raises InvalidInput."""
        if min(fold.test_start for fold in folds) < self.before:
            raise InvalidInput(
                "training.tuning",
                self.rival.name,
                "leave it out, this problem judges models on the years that a search would look at",
            )

    def noted(self, evidence: Evidence) -> Evidence:
        """The evidence with all trials in its details."""
        told = {
            "trials": [one.to_json() for one in self.trials],
            "chosen": best_of(self.trials).number,
            "before": self.before.isoformat(),
            "by": self.by,
        }
        return replace(evidence, details={**evidence.details, "tuning": told})


def tuned(
    rival: Rival, exam: Exam, fixed: Mapping[str, Any], spec: ModelSpec, engine: str, parts: SearchParts
) -> TunedRival:
    """Search for the parameters of a rival on an engine, and track every trial.

    Args:
        fixed: parameters that the specification or the run sets.

    Raises:
        InvalidInput: see `tuning.search`.
        Unavailable: the engine or the tracker failed; the same call goes on where it was.
    """
    tuning = spec.training.tuning
    assert tuning is not None
    key = _key(rival.name, exam, fixed, tuning, parts)
    notebook = Notebook(parts.workspace.place("searches", key))
    with parts.search_engine(engine) as running:
        trials = search(exam, tuning, fixed, parts.search, running, notebook)
    for one in trials:
        parts.tracker.track(_tracked(spec.name, exam, one, key))
    chosen = choose(rival.name, exam.trainer.parameters(), best_of(trials).parameters)
    return TunedRival(
        replace(rival, parameters=chosen), tuple(trials), exam.before, key, parts.search.version
    )


def _key(trainer: str, exam: Exam, fixed: Mapping[str, Any], spec: TuningSpec, parts: SearchParts) -> Digest:
    """Of everything that a search depends on."""
    space = {
        name: [searched.least, searched.most, searched.log, list(searched.choices)]
        for name, searched in spec.space.items()
    }
    return digest_of(
        {
            "features": exam.features.digest,
            "before": exam.before.isoformat(),
            "problem": exam.problem,
            "metric": exam.metric,
            "trainer": trainer,
            "seed": exam.seed,
            "fixed": dict(fixed),
            "space": space,
            "trials": spec.trials,
            "batch": spec.batch,
            "search": parts.search.version,
            "sources": parts.sources_digest(trainer),
            "environment": digest_of(parts.environment(trainer)),
        }
    )


def _tracked(model: str, exam: Exam, trial: Trial, key: Digest) -> TrackedRun:
    years = {f"{exam.metric}.year_{place}": value for place, value in enumerate(trial.values, start=1)}
    return TrackedRun(
        experiment=model,
        key=digest_of({"search": key, "trial": trial.number}),
        parameters={**trial.parameters, "seed": exam.seed},
        metrics={exam.metric: trial.value, **years},
        tags={
            "veritas.search": key,
            "veritas.trial": str(trial.number),
            "veritas.stopped": str(trial.stopped),
        },
        files=(),
    )
