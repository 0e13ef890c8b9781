"""Problems: what a model is to find out, and all that follows from it.

A specification names its problem (`problem = "covariance"` on its first line; a forecast of one figure for
each row when it names none). Everything that every model goes through asks the problem, and nobody else:

- `ModelPipeline.evaluate`: `evaluate` tests a trainer out of sample. What comes back is `Evaluated`: its
  folds, which are checked for look-ahead, and the evidence that gates judge. Metrics, baselines and tables
  are the problem's own; the gates `threshold` and `better_than_baseline` take any.
- `ModelPipeline.train`, `Promotions` and `retrain`: `fit` trains on the rows that it is given and on no
  others. The final model, a champion's recipe before the sessions of a comparison, and a reproduction are all
  trained by it, so it has to be a function of its arguments alone.
- `Promotions`: `compare` scores two fitted models on the same sessions. The evidence has the champion among
  the baselines, under `gates.CHAMPION`, with the metric that the specification's [promotion] names.
- `ModelMonitoring`: `unmonitored` says in a sentence why nothing watches its versions; it is empty where
  forecasts of rows are watched.
- `ModelScoring`: `Listed.by_row` says whether there is a figure for each row to keep.
- the model card: `metrics` puts the metrics into words, the one that counts first.
- plots: `bootstrap` has a table of what draws the evaluations of each problem; one without draws none.

What is always the same: rows come as `TrainingSet`, with the features and the target that the specification
names (`target` has to be there, finite and not negative, but a problem need not learn it: it may be what a
model is judged by, or how far ahead the folds are purged); folds come from `folds.plan_folds`; artifacts are
written by the trainer. A trainer is a `TrainerPort` whatever it learns, and says which problem it is for by
an attribute `problem`; one that says nothing forecasts. What its rows, columns and target are is said by the
problem (the target is empty where nothing is learnt from one), and so is what `TrainedModel.predict` answers.

A new problem is a module here, with an object that satisfies `contract.Problem`, a line in `PROBLEMS`, and a
line in `bootstrap.PLOTS` if it has plots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from domain.registry.errors import InvalidInput

if TYPE_CHECKING:
    from domain.risk.ports import TrainerPort
    from domain.risk.problems.contract import Problem

FORECAST = "forecast"
"""The problem of a specification, a trainer or a record that names none."""


@dataclass(frozen=True, slots=True)
class Listed:
    """What reading a DAG file needs to know of a problem; it must not import numpy for that.

    Attributes:
        reference: the object that solves it, `module:name`.
        comparable: metrics by which a promotion may compare, all of them less for better; the first is the
            default.
        by_row: whether models answer with one figure for each row, so that `ModelScoring` can keep them.
    """

    reference: str
    comparable: tuple[str, ...]
    by_row: bool = True


PROBLEMS: Mapping[str, Listed] = MappingProxyType(
    {
        FORECAST: Listed("domain.risk.problems.forecast:FORECASTING", ("qlike", "rmse")),
        "covariance": Listed("domain.risk.problems.covariance:COVARIANCE", ("risk",), by_row=False),
        "anomaly": Listed("domain.risk.problems.anomaly:ANOMALY_DETECTION", ("false_discovery_rate",)),
    }
)

_RECORDED = ("problem", "trainer", "chosen_from", "chosen_by")
"""Names in a lineage's parameters that are no trainer's; the last two are of `rivals.recorded_choice`."""


def listed(name: object) -> Listed:
    """What is known of a problem by its name. Raises InvalidInput."""
    if not isinstance(name, str) or name not in PROBLEMS:
        raise InvalidInput("problem", name, f"use one of {', '.join(PROBLEMS)}")
    return PROBLEMS[name]


def problem(name: str) -> Problem:
    """The problem of a name. Raises InvalidInput."""
    module, _, attribute = listed(name).reference.partition(":")
    found: Problem = getattr(import_module(module), attribute)
    return found


def require_solves(trainer: TrainerPort, name: str, of_problem: str) -> None:
    """Check that a trainer is for a problem.

    Args:
        name: the trainer's, for the error's sentence.

    Raises:
        InvalidInput: it is for another.
    """
    learns = getattr(trainer, "problem", FORECAST)
    if learns != of_problem:
        raise InvalidInput(
            "training.trainer",
            name,
            f"its problem is {learns}, use a trainer for {of_problem}",
        )


def recorded(
    of_problem: str, trainer: str, parameters: Mapping[str, Any], choice: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The parameters of a lineage: problem and trainer by name, what the trainer was given, and its choice.

    A forecast is not named, as it was not before there were other problems: its recipes stay what they are.
    """
    named = {} if of_problem == FORECAST else {"problem": of_problem}
    return {**named, "trainer": trainer, **(choice or {}), **parameters}


def problem_of(recorded: Mapping[str, Any]) -> str:
    """The name of the problem in a lineage's parameters."""
    return str(recorded.get("problem", FORECAST))


def parameters_of(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """What the trainer was given, of a lineage's parameters."""
    return {name: value for name, value in recorded.items() if name not in _RECORDED}
