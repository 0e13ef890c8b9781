"""Covariance: of all assets' daily returns at once, judged by the minimum-variance portfolios made of it.

Trainers learn from `returns.Returns.values`: sessions in rows, assets in columns, NaN where an asset has no
return, and all assets with a return on each of the last `window` sessions; they have no target. Their
parameters are `covariance.parameters.PARAMETERS`. Models answer with the annualised covariance, shape
(k, k), for the returns of a window, shape (n, k), finite.

The specification's only feature is `domain.risk.covariance.returns:daily_return`; its target is a volatility
by asset, which the diagonal is scored by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from domain.registry.errors import InvalidInput
from domain.registry.evidence import Evidence, OnnxAgreement
from domain.registry.gates import CHAMPION
from domain.risk.covariance.evaluation import (
    CovarianceEvaluation,
    baselines,
    difference,
    evaluated,
    rebalances_of,
)
from domain.risk.covariance.parameters import PARAMETERS
from domain.risk.covariance.portfolios import LEAST_ASSETS, Backtest
from domain.risk.covariance.returns import Returns
from domain.risk.covariance.scores import METRICS, Outcomes, score
from domain.risk.folds import Fold, one_by_one, plan_folds
from domain.risk.ports import TrainedModel, TrainerPort
from domain.risk.problems.contract import Setting
from domain.risk.training_set import Floats, Integers, TrainingSet


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained model, and how it is used; a `TrainedModel`."""

    model: TrainedModel
    window: int
    holding: int

    def predict(self, features: Floats) -> Floats:
        """The annualised covariance (k, k) of returns (n, k)."""
        return self.model.predict(features)

    def save(self, directory: Path) -> OnnxAgreement | None:
        return self.model.save(directory)


@dataclass(frozen=True, slots=True)
class Covariance:
    """The problem of estimating covariances, see `contract.Problem`."""

    metrics: ClassVar[tuple[Mapping[str, str], ...]] = METRICS
    unmonitored: ClassVar[str] = (
        "nothing watches covariances between trainings yet; each training measures the last eight years anew"
    )

    def evaluate(
        self,
        training: TrainingSet,
        trainer: TrainerPort,
        parameters: Mapping[str, Any],
        seed: int,
        setting: Setting,
    ) -> CovarianceEvaluation:
        """Hold portfolios over each yearly block, by a model that was trained before it."""
        folds = plan_folds(training, setting.as_of or training.last, next_session=setting.next_session)
        models = [self.fit(training, fold.train, trainer, parameters, seed) for fold in one_by_one(folds)]
        return evaluated(
            training,
            folds,
            [model.predict for model in models],
            models[0].window,
            models[0].holding,
            setting.market,
        )

    def fit(
        self,
        training: TrainingSet,
        rows: Integers,
        trainer: TrainerPort,
        parameters: Mapping[str, Any],
        seed: int,
    ) -> Fitted:
        """Train on the returns of the assets that have one on each of the last `window` sessions."""
        window, holding = (int(parameters.get(name, PARAMETERS[name].default)) for name in PARAMETERS)
        returns = Returns.of(training, rows)
        present = returns.complete(window)[-1]
        if np.count_nonzero(present) < LEAST_ASSETS:
            raise InvalidInput(
                "data.assets",
                ", ".join(returns.assets),
                f"give at least {LEAST_ASSETS} with a price on each of the {window} sessions up to "
                f"{returns.sessions[-1]}",
            )
        known = returns.only(present)
        model = trainer.train(known.values, np.empty(0), parameters, seed, known.assets)
        return Fitted(model, window, holding)

    def compare(
        self,
        training: TrainingSet,
        window: Fold,
        challenger: TrainedModel,
        champion: TrainedModel,
        metric: str,
        about: Mapping[str, Any],
    ) -> Evidence:
        """Hold both models' portfolios on the window's sessions, each by estimates of its own window."""
        first, second = (_fitted(model) for model in (challenger, champion))
        returns = Returns.of(training)
        planned = tuple(rebalances_of(returns, window, first.holding))
        tests = [Backtest.of(returns, planned, model.window) for model in (first, second)]
        outcomes = [Outcomes.of(test, training) for test in tests]
        mine, theirs = (
            test.run_all(model.predict) for test, model in zip(tests, (first, second), strict=True)
        )
        found = difference(tests[0], mine, theirs, first.holding)
        others = {name: score(track, outcomes[0]) for name, track in baselines(tests[0]).items()}
        return Evidence(
            metrics=score(mine, outcomes[0]),
            baselines={CHAMPION: score(theirs, outcomes[1]), **others},
            assets_expected=training.expected,
            assets_covered=returns.only(np.any(tests[0].universes, axis=0)).assets,
            details={**about, "window": window.to_json(), "difference": {"squared returns": found.to_json()}},
        )


def _fitted(model: TrainedModel) -> Fitted:
    assert isinstance(model, Fitted), "models that are compared come from fit"
    return model


COVARIANCE = Covariance()
