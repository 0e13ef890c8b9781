"""Several trainers for one model: all are tested on the same folds, and the best whose gates pass is taken.

Which one is chosen follows from data, specification and code alone. What was chosen, and from what, is among
the parameters of the lineage, so it is part of the recipe; the figures of all of them are in the evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from domain.registry.canonical import digest_of
from domain.registry.evidence import DataValidation, Evidence, OnnxAgreement
from domain.registry.gates import Gate, judge_all
from domain.risk.parameters import choose
from domain.risk.ports import TrackedRun
from domain.risk.problems import require_solves

if TYPE_CHECKING:
    from domain.registry.lineage import Lineage
    from domain.risk.ports import TrainerPort
    from domain.risk.problems.contract import Evaluated
    from domain.risk.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class Rival:
    """A trainer that wants to be the model's, with all of its parameters."""

    name: str
    trainer: TrainerPort
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Contender:
    """A rival and what its evaluation found.

    Attributes:
        failed: labels of the gates that it does not pass.
    """

    rival: Rival
    evaluation: Evaluated
    evidence: Evidence
    failed: tuple[str, ...]

    @classmethod
    def judged(
        cls, rival: Rival, evaluation: Evaluated, evidence: Evidence, gates: Sequence[Gate]
    ) -> Contender:
        """With the gates' judgement, but for what is not known yet.

        The data is the same for all and validated later; the ONNX file is of the one that is trained last.
        """
        supposed = replace(evidence, data_validation=DataValidation(1)).with_onnx(OnnxAgreement(1, 0.0))
        results = judge_all(gates, supposed)
        failed = tuple(result.gate for result in results if result.outcome != "passed")
        return cls(rival, evaluation, evidence, failed)


def entered(
    spec: ModelSpec, trainer: Callable[[str], TrainerPort], parameters: Mapping[str, Any]
) -> tuple[Rival, ...]:
    """The specification's trainer, then its rivals.

    Args:
        parameters: what a run sets of the first one's.

    Raises:
        InvalidInput: there is no such trainer, it is for another problem, or it has no such parameter.
    """
    first = {spec.training.trainer: {**spec.training.parameters, **parameters}}
    found = []
    for name, given in {**first, **spec.training.rivals}.items():
        made = trainer(name)
        require_solves(made, name, spec.problem)
        found.append(Rival(name, made, choose(name, made.parameters(), given)))
    return tuple(found)


def best(tested: Sequence[Contender], metric: str) -> Contender:
    """The one with the least of a metric among those that pass; of equals the one that was named first.

    Where none passes it is the best of all: the registration refuses it, with the reasons in the ledger.
    """
    passing = [one for one in tested if not one.failed] or tested
    return min(passing, key=lambda one: one.evidence.metrics[metric])


def recorded_choice(tested: Sequence[Contender], metric: str) -> dict[str, str]:
    """What a lineage says of a choice; nothing where there was none."""
    if len(tested) < 2:
        return {}
    return {"chosen_from": ", ".join(one.rival.name for one in tested), "chosen_by": metric}


def with_rivals(winner: Contender, tested: Sequence[Contender]) -> Evidence:
    """The evidence of the winner, with the figures of all in its details; as it was where it had no rival."""
    if len(tested) < 2:
        return winner.evidence
    rivals = [
        {
            "trainer": one.rival.name,
            "framework": one.rival.trainer.framework,
            "parameters": dict(one.rival.parameters),
            "metrics": dict(one.evidence.metrics),
            "gates_failed": list(one.failed),
            "chosen": one is winner,
        }
        for one in tested
    ]
    return replace(winner.evidence, details={**winner.evidence.details, "rivals": rivals})


def tracked_rivals(
    name: str, winner: Contender, tested: Sequence[Contender], lineage: Lineage
) -> list[TrackedRun]:
    """A run for the tracker of each that was not chosen; that of the model itself has figures of its own.

    Args:
        name: the model's.
        lineage: of the one that was chosen.
    """
    return [
        TrackedRun(
            experiment=name,
            key=digest_of({"recipe": lineage.recipe, "rival": one.rival.name}),
            parameters={
                "trainer": one.rival.name,
                **one.rival.parameters,
                "seed": lineage.seed,
                "as_of": lineage.as_of.isoformat(),
            },
            metrics=dict(one.evidence.metrics),
            tags={"veritas.rival_of": lineage.recipe, "veritas.gates_failed": ", ".join(one.failed)},
            files=(),
        )
        for one in tested
        if one is not winner
    ]
