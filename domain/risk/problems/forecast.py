"""Forecast: one figure, not negative, for each row; models answer with shape (n,) for features (n, k)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from domain.registry.evidence import Evidence
from domain.risk import comparison
from domain.risk.description import METRICS
from domain.risk.evaluation import Evaluation, walk_forward
from domain.risk.folds import Fold
from domain.risk.ports import TrainedModel, TrainerPort
from domain.risk.problems.contract import Setting
from domain.risk.training_set import Integers, TrainingSet


@dataclass(frozen=True, slots=True)
class Forecasting:
    """The problem of forecasting the target, see `contract.Problem`."""

    metrics: ClassVar[tuple[Mapping[str, str], ...]] = METRICS
    unmonitored: ClassVar[str] = ""

    def evaluate(
        self,
        training: TrainingSet,
        trainer: TrainerPort,
        parameters: Mapping[str, Any],
        seed: int,
        setting: Setting,
    ) -> Evaluation:
        """Forecast each yearly block by a model that was trained before it."""
        return walk_forward(
            training,
            trainer,
            parameters,
            seed,
            as_of=setting.as_of,
            next_session=setting.next_session,
            market=setting.market,
        )

    def fit(
        self,
        training: TrainingSet,
        rows: Integers,
        trainer: TrainerPort,
        parameters: Mapping[str, Any],
        seed: int,
    ) -> TrainedModel:
        """Train on features (m, k) and target (m,) of the rows."""
        return trainer.train(training.features[rows], training.target[rows], parameters, seed, training.names)

    def compare(
        self,
        training: TrainingSet,
        window: Fold,
        challenger: TrainedModel,
        champion: TrainedModel,
        metric: str,
        about: Mapping[str, Any],
    ) -> Evidence:
        """Score the forecasts of the window's rows."""
        rows = training.features[window.test]
        return comparison.compare(
            training, window, challenger.predict(rows), champion.predict(rows), metric, about
        )


FORECASTING = Forecasting()
