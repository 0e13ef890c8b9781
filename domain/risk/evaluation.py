"""Walk-forward evaluation: forecasts of sessions that no training saw, scored against baselines."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.registry.evidence import Evidence, LookAhead
from domain.risk import baselines
from domain.risk.comparison import against
from domain.risk.folds import Fold, check_folds, one_by_one, plan_folds
from domain.risk.importance import Importance, Shuffled, importance, shuffled
from domain.risk.metrics import score
from domain.risk.ports import TrainerPort
from domain.risk.regimes import REGIMES, MarketVolatility, regime_of
from domain.risk.training_set import Days, Floats, Integers, TrainingSet

__all__ = ["Evaluation", "Fold", "Forecasts", "Scores", "TrainingSet", "check_folds", "walk_forward"]

CANDIDATE = "candidate"
"""The name under which tables hold the model that was evaluated, beside its baselines."""


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Out-of-sample forecasts, row by row in the order of (asset, date); annualised decimals, shape (m,).

    Attributes:
        assets: names, shape (m,).
        by_model: forecasts of the candidate and of each baseline.
    """

    assets: NDArray[np.str_]
    dates: Days
    realised: Floats
    by_model: Mapping[str, Floats]

    @property
    def candidate(self) -> Floats:
        return self.by_model[CANDIDATE]


@dataclass(frozen=True, slots=True)
class Scores:
    """Metrics of a group of rows: by model, by metric."""

    group: str
    rows: int
    by_model: Mapping[str, Mapping[str, float]]

    def to_json(self) -> dict[str, Any]:
        metrics = {model: dict(values) for model, values in self.by_model.items()}
        return {"group": self.group, "rows": self.rows, "metrics": metrics}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a walk-forward evaluation found; the same inputs give the same bits.

    Attributes:
        metrics: of the candidate over all test rows, by name.
        baselines: of each baseline over the same rows, by name.
        by_asset: one for each asset with forecasts.
        by_year: one for each fold, the oldest first; its group is `test_start/test_end`.
        by_regime: one for each of `REGIMES` that has rows; none when the market's volatility was not given.
        importance: of each feature, the most important first.
        assets_expected: assets that the run was asked for.
        comparisons: of the candidate with each baseline, see `domain.risk.comparison.against`.
    """

    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    by_asset: tuple[Scores, ...]
    by_year: tuple[Scores, ...]
    by_regime: tuple[Scores, ...]
    importance: tuple[Importance, ...]
    folds: tuple[Fold, ...]
    assets_expected: tuple[str, ...]
    forecasts: Forecasts = field(repr=False)
    comparisons: tuple[Mapping[str, Any], ...] = ()

    @property
    def assets_covered(self) -> tuple[str, ...]:
        """Assets that have forecasts."""
        return tuple(scores.group for scores in self.by_asset)

    def details(self) -> dict[str, Any]:
        """Folds and tables as plain JSON, nothing rounded."""
        return {
            "folds": [fold.to_json() for fold in self.folds],
            "by_asset": [scores.to_json() for scores in self.by_asset],
            "by_year": [scores.to_json() for scores in self.by_year],
            "by_regime": [scores.to_json() for scores in self.by_regime],
            "importance": [found.to_json() for found in self.importance],
            "comparisons": [dict(found) for found in self.comparisons],
        }

    def evidence(
        self, look_ahead: LookAhead | None = None, described: Mapping[str, Any] | None = None
    ) -> Evidence:
        """The facts that gates judge; `described` is added to the details."""
        return Evidence(
            metrics=dict(self.metrics),
            baselines={name: dict(metrics) for name, metrics in self.baselines.items()},
            assets_expected=self.assets_expected,
            assets_covered=self.assets_covered,
            look_ahead=look_ahead,
            details={**self.details(), **(described or {})},
        )


def walk_forward(
    training: TrainingSet,
    trainer: TrainerPort,
    parameters: Mapping[str, Any],
    seed: int,
    *,
    as_of: dt.date | None = None,
    next_session: Callable[[dt.date], dt.date] | None = None,
    market: MarketVolatility | None = None,
) -> Evaluation:
    """Refit for each yearly block before the as-of date and forecast the block.

    Args:
        as_of: the session the run stands for; None for the training set's last.
        next_session: see `plan_folds`.
        market: what tells regimes apart; None leaves them out.

    Raises:
        InvalidInput: too little history before the as-of date, or wrong parameters.
    """
    folds = plan_folds(training, as_of or training.last, next_session=next_session)
    forecast = np.full(training.target.shape, np.nan)
    rises: list[Shuffled] = []
    for fold in one_by_one(folds):
        model = trainer.train(
            training.features[fold.train], training.target[fold.train], parameters, seed, training.names
        )
        forecast[fold.test] = model.predict(training.features[fold.test])
        rises.append(shuffled(model, training, fold, seed))
    rows = np.sort(np.concatenate([fold.test for fold in folds]))
    columns = {name: training.features[:, place] for place, name in enumerate(training.names)}
    models = {CANDIDATE: forecast, **baselines.forecasts(columns)}
    whole = _scores("all", rows, training, models).by_model
    tested = {name: values[rows] for name, values in models.items()}
    others = {name: values for name, values in tested.items() if name != CANDIDATE}
    return Evaluation(
        metrics=whole[CANDIDATE],
        baselines={name: metrics for name, metrics in whole.items() if name != CANDIDATE},
        by_asset=tuple(
            _scores(training.asset_names[asset], rows[training.assets[rows] == asset], training, models)
            for asset in np.unique(training.assets[rows])
        ),
        by_year=tuple(
            _scores(f"{fold.test_start}/{fold.test_end}", fold.test, training, models) for fold in folds
        ),
        by_regime=() if market is None else _by_regime(rows, training, models, market),
        importance=importance(training.names, rises),
        folds=folds,
        assets_expected=training.expected,
        forecasts=Forecasts(
            assets=np.array(training.asset_names)[training.assets[rows]],
            dates=training.dates[rows],
            realised=training.target[rows],
            by_model=tested,
        ),
        comparisons=tuple(
            against(training.target[rows], tested[CANDIDATE], others, training.dates[rows], training.horizon)
        ),
    )


def _scores(group: str, rows: Integers, training: TrainingSet, models: Mapping[str, Floats]) -> Scores:
    realised = training.target[rows]
    return Scores(
        group, int(rows.size), {name: score(realised, values[rows]) for name, values in models.items()}
    )


def _by_regime(
    rows: Integers, training: TrainingSet, models: Mapping[str, Floats], market: MarketVolatility
) -> tuple[Scores, ...]:
    regimes = regime_of(training.dates[rows], market)
    return tuple(
        _scores(name, rows[regimes == place], training, models)
        for place, name in enumerate(REGIMES)
        if np.any(regimes == place)
    )
