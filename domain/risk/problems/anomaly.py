"""Anomaly: which rows are unusual; models answer with a score of shape (n,), above 1 an alarm.

Nothing is learnt from the target, which labels rows of a known kind, 0 for none: detectors are judged by it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from domain.registry.evidence import Evidence
from domain.registry.gates import CHAMPION
from domain.risk.anomaly.alarms import ALARM, METRICS, baselines, episodes_of, threshold, worth
from domain.risk.anomaly.detection import Detection, detect
from domain.risk.folds import Fold, one_by_one, plan_folds
from domain.risk.ports import TrainedModel, TrainerPort
from domain.risk.problems.contract import Setting
from domain.risk.training_set import Floats, Integers, TrainingSet

ALL_YEARS = 100
"""Labels are rare, so every year with two before it is tested."""


@dataclass(frozen=True, slots=True)
class AnomalyDetection:
    """The problem of raising alarms on unusual rows, see `contract.Problem`."""

    metrics: ClassVar[tuple[Mapping[str, str], ...]] = METRICS
    unmonitored: ClassVar[str] = (
        "alarms are not monitored: whether one was right is known only when somebody has looked into it"
    )

    def evaluate(
        self,
        training: TrainingSet,
        trainer: TrainerPort,
        parameters: Mapping[str, Any],
        seed: int,
        setting: Setting,
    ) -> Detection:
        """Score each yearly block by a detector that was fitted before it, threshold included."""
        folds = plan_folds(
            training, setting.as_of or training.last, next_session=setting.next_session, years=ALL_YEARS
        )
        fitted = [
            (fold, self.fit(training, fold.train, trainer, parameters, seed)) for fold in one_by_one(folds)
        ]
        return detect(training, fitted, seed, setting.classes, setting.market)

    def fit(
        self,
        training: TrainingSet,
        rows: Integers,
        trainer: TrainerPort,
        parameters: Mapping[str, Any],
        seed: int,
    ) -> TrainedModel:
        """Fit on the features (m, k) of the rows; the trainer is given no target."""
        return trainer.train(training.features[rows], np.empty(0), parameters, seed, training.names)

    def compare(
        self,
        training: TrainingSet,
        window: Fold,
        challenger: TrainedModel,
        champion: TrainedModel,
        metric: str,
        about: Mapping[str, Any],
    ) -> Evidence:
        """The worth of both models' alarms on the window, and of baselines at the challenger's rate."""
        rows, features = window.test, training.features
        kinds = training.target[rows]
        episodes = episodes_of(training.assets, np.nan_to_num(training.target))[rows]
        rate = float(np.mean(challenger.predict(features[window.train]) > ALARM))
        limits = {
            name: (scores[rows], threshold(scores[window.train], rate))
            for name, scores in baselines(training.names, features, 0).items()
        }

        def found(scores: Floats, limit: float = ALARM) -> dict[str, float]:
            return worth(scores > limit, kinds, episodes)

        others = {name: found(*scored) for name, scored in limits.items()}
        covered = np.unique(training.assets[rows])
        return Evidence(
            metrics=found(challenger.predict(features[rows])),
            baselines={CHAMPION: found(champion.predict(features[rows])), **others},
            assets_expected=training.expected,
            assets_covered=tuple(training.asset_names[asset] for asset in covered),
            details={**about, "window": window.to_json()},
        )


ANOMALY_DETECTION = AnomalyDetection()
