"""Search for a trainer's parameters, before the years that the model is judged on.

Trials come in batches of a fixed size. A batch is tested on one year after another, and after each year the
worse half of it stops. Nothing depends on which trial ends first, so the same seed finds the same parameters
on every engine, with any number of workers, and after a kill. The chosen parameters stand in the lineage as
if somebody had written them down: a reproduction trains with them and searches nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from domain.registry.canonical import encode
from domain.registry.errors import InvalidInput
from domain.risk.parameters import Value, choose
from domain.risk.problems import problem
from domain.risk.trial import Trial
from domain.risk.tuning_spec import ParameterRange, TuningSpec

if TYPE_CHECKING:
    from domain.risk.dataset import Dataset
    from domain.risk.folds import Fold
    from domain.risk.parameters import TrainerParameter
    from domain.risk.ports import PrepEnginePort, SearchPort, TrainerPort
    from domain.risk.training_set import TrainingSet

_LOG = logging.getLogger(__name__)

_ONE_AT_A_TIME = Lock()
"""Trainers say how a whole process computes, and a worker of Dask may have several tasks in one."""

YEARS = 3
"""Each trial is tested on at most so many yearly blocks."""


@dataclass(frozen=True, slots=True)
class Exam:
    """What a worker needs to try parameters; small and picklable.

    Attributes:
        features: the feature set, which the worker reaches.
        columns, target: references of the features and the target.
        assets: those that the run asked for.
        before: the first session that the model is judged on; nothing from then on is looked at.
        metric: one that the problem can compare by.
    """

    features: Dataset
    columns: tuple[str, ...]
    target: str
    assets: tuple[str, ...]
    before: dt.date
    problem: str
    trainer: TrainerPort
    seed: int
    metric: str

    def years(self) -> int:
        """How many are tested.

        Raises:
            InvalidInput: there are none before the judged ones that something could be learnt for.
        """
        try:
            return len(self.opened()[1])
        except InvalidInput as error:
            if error.field != "as_of":
                raise
            raise InvalidInput(
                "training.tuning",
                f"years before {self.before}",
                "leave it out or give more history, a search needs three years before those that are judged",
            ) from error

    def opened(self) -> tuple[TrainingSet, tuple[Fold, ...]]:
        """What was known before the judged years, and the years that are tested."""
        return _opened(self.features, self.columns, self.target, self.assets, self.before)


def tried(exam: Exam, item: tuple[Mapping[str, Value], int]) -> float:
    """The metric of parameters in one of the exam's years.

    Args:
        item: the parameters, and the place of the year.
    """
    parameters, year = item
    with _ONE_AT_A_TIME:
        training, folds = exam.opened()
        posed, fold = problem(exam.problem), folds[year]
        model = posed.fit(training, fold.train, exam.trainer, parameters, exam.seed)
        return posed.compare(training, fold, model, model, exam.metric, {}).metrics[exam.metric]


@lru_cache(maxsize=1)
def _opened(
    features: Dataset, columns: tuple[str, ...], target: str, assets: tuple[str, ...], before: dt.date
) -> tuple[TrainingSet, tuple[Fold, ...]]:
    """Read once by each worker, for all that it tries."""
    from domain.risk.features import feature_definition
    from domain.risk.folds import plan_folds
    from domain.risk.training_set import TrainingSet

    definition = feature_definition(columns, target)
    training = TrainingSet.of(features, definition, assets).before(before)
    return training, plan_folds(training, training.last, years=YEARS)


class Notebook:
    """The trials of a search, kept after each batch so that a killed one goes on."""

    def __init__(self, place: Path) -> None:
        self._file = place / "trials.json"

    def read(self) -> list[Trial]:
        """What was tried before; nothing if that cannot be read."""
        try:
            os.utime(self._file.parent)  # gc takes what nobody took up for long
            return [Trial.from_json(one) for one in json.loads(self._file.read_bytes())]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def write(self, trials: Sequence[Trial]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        made = self._file.with_name(f"{self._file.name}.{os.getpid()}")
        made.write_bytes(encode([one.to_json() for one in trials]))
        made.replace(self._file)


def search(
    exam: Exam,
    spec: TuningSpec,
    fixed: Mapping[str, Any],
    proposing: SearchPort,
    engine: PrepEnginePort,
    notebook: Notebook,
) -> list[Trial]:
    """Try batch after batch; all trials, in their order.

    Args:
        fixed: parameters that are not searched for.

    Raises:
        InvalidInput: the space names a parameter that the trainer does not have, or values out of its range;
            or there are too few years before the judged ones.
        Unavailable: the engine failed; the same call goes on behind the last batch that ended.
    """
    known = exam.trainer.parameters()
    space = {name: range_ for name, range_ in spec.space.items() if name not in fixed}
    require_space(space, known)
    # Canonical JSON writes 1.0 as 1: as the trainer takes them they are what was tried, to the type.
    trials = [replace(one, parameters=choose("the search", known, one.parameters)) for one in notebook.read()]
    years = exam.years()
    while len(trials) < spec.trials:
        count = min(spec.batch, spec.trials - len(trials))
        proposed = proposing.propose(space, trials, count, exam.seed)
        batch = [
            Trial(len(trials) + place, choose("the search", known, {**fixed, **found}))
            for place, found in enumerate(proposed)
        ]
        trials = [*trials, *_tested(batch, years, partial(_all_of, engine, exam))]
        notebook.write(trials)
        _LOG.info("%s", _told(trials, spec.trials, exam.metric, tuple(space), engine.name))
    return trials


def _told(trials: Sequence[Trial], planned: int, metric: str, searched: Sequence[str], engine: str) -> str:
    """How far a search is, and the best that it has found."""
    best = best_of(trials)
    found = [(name, best.parameters[name]) for name in searched]
    values = ", ".join(
        f"{name} {f'{value:.6g}' if isinstance(value, float) else value}" for name, value in found
    )
    return (
        f"{len(trials)} of {planned} trials done on {engine}; the best is trial {best.number}, "
        f"{metric} {best.value:.4f}: {values}"
    )


def best_of(trials: Sequence[Trial]) -> Trial:
    """The least mean over all years; of equals the first."""
    finished = [one for one in trials if not one.stopped]
    return min(finished, key=lambda one: (one.value, one.number))


def require_space(space: Mapping[str, ParameterRange], known: Mapping[str, TrainerParameter]) -> None:
    """Check that a trainer takes all values of a space. Raises InvalidInput."""
    for name, searched in space.items():
        for value in searched.extremes:
            choose("the trainer", known, {name: value})
        if type(known[name].default) is int and not searched.choices and not searched.whole:
            given = f"{searched.least} to {searched.most}"
            raise InvalidInput(f"training.tuning.space.{name}", given, "give whole numbers")


def _all_of(
    engine: PrepEnginePort, exam: Exam, items: Sequence[tuple[Mapping[str, Value], int]]
) -> list[float]:
    return engine.map(partial(tried, exam), items)


def _tested(
    batch: Sequence[Trial],
    years: int,
    measure: Callable[[Sequence[tuple[Mapping[str, Value], int]]], list[float]],
) -> list[Trial]:
    """The batch with its values: successive halving (Jamieson and Talwalkar 2016), a year at a time."""
    found = {one.number: one for one in batch}
    for year in range(years):
        going = [one for one in found.values() if not one.stopped]
        values = measure([(one.parameters, year) for one in going])
        going = [replace(one, values=(*one.values, value)) for one, value in zip(going, values, strict=True)]
        ranked = sorted(going, key=lambda one: (one.value, one.number))
        kept = len(ranked) if year == years - 1 else math.ceil(len(ranked) / 2)
        for place, one in enumerate(ranked):
            found[one.number] = replace(one, stopped=place >= kept)
    return list(found.values())
