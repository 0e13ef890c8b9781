"""Walk-forward evaluation of a detector: thresholds from training rows, alarms on rows after them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.registry.evidence import Evidence, LookAhead
from domain.risk.anomaly.alarms import ALARM, baselines, by_kind, chance, episodes_of, threshold, worth
from domain.risk.evaluation import CANDIDATE, Scores
from domain.risk.folds import Fold
from domain.risk.ports import TrainedModel
from domain.risk.regimes import REGIMES, MarketVolatility, regime_of
from domain.risk.training_set import Days, Flags, Floats, Integers, TrainingSet


@dataclass(frozen=True, slots=True)
class Alarms:
    """Tested rows in the order of (asset, date), all of shape (m,).

    Attributes:
        assets: names.
        kinds: the label, 0 for an ordinary row.
        scores: the candidate's, an alarm above `ALARM`.
        by_model: which rows the candidate and each baseline raise an alarm on.
    """

    assets: NDArray[np.str_]
    dates: Days
    kinds: Floats
    scores: Floats
    by_model: Mapping[str, Flags]


@dataclass(frozen=True, slots=True)
class Detection:
    """What an evaluation of a detector found; the same inputs give the same bits.

    Attributes:
        by_kind: see `alarms.by_kind`, of the candidate.
        comparisons: of the candidate with each baseline, see `Evidence.p_value`.
        metrics, baselines, by_asset, by_year, by_regime: as in `domain.risk.evaluation.Evaluation`.
    """

    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    by_kind: Sequence[Mapping[str, Any]]
    by_asset: tuple[Scores, ...]
    by_year: tuple[Scores, ...]
    by_regime: tuple[Scores, ...]
    comparisons: Sequence[Mapping[str, Any]]
    folds: tuple[Fold, ...]
    assets_expected: tuple[str, ...]
    alarms: Alarms = field(repr=False)

    def evidence(
        self, look_ahead: LookAhead | None = None, described: Mapping[str, Any] | None = None
    ) -> Evidence:
        """The facts that gates judge; `described` is added to the details."""
        return Evidence(
            metrics=dict(self.metrics),
            baselines={name: dict(metrics) for name, metrics in self.baselines.items()},
            assets_expected=self.assets_expected,
            assets_covered=tuple(scores.group for scores in self.by_asset),
            look_ahead=look_ahead,
            details={
                "folds": [fold.to_json() for fold in self.folds],
                "by_kind": [dict(found) for found in self.by_kind],
                "by_asset": [scores.to_json() for scores in self.by_asset],
                "by_year": [scores.to_json() for scores in self.by_year],
                "by_regime": [scores.to_json() for scores in self.by_regime],
                "comparisons": [dict(found) for found in self.comparisons],
                **(described or {}),
            },
        )


def detect(
    training: TrainingSet,
    models: Sequence[tuple[Fold, TrainedModel]],
    seed: int,
    kinds: tuple[str, ...],
    market: MarketVolatility | None,
) -> Detection:
    """Score the rows of each fold by the model that was fitted before it.

    Each baseline raises an alarm at the threshold that gives it the same share of alarms on the fold's
    training rows as the model has there.

    Args:
        seed: draws the baseline `random`, and the months of the comparisons.
        kinds: names of the target's values 1, 2, …
    """
    scores = np.full(training.target.shape, np.nan)
    others = baselines(training.names, training.features, seed)
    raised = {name: np.zeros(training.target.shape, dtype=np.bool_) for name in (CANDIDATE, *others)}
    for fold, model in models:
        scores[fold.test] = model.predict(training.features[fold.test])
        raised[CANDIDATE][fold.test] = scores[fold.test] > ALARM
        rate = float(np.mean(model.predict(training.features[fold.train]) > ALARM))
        for name, values in others.items():
            raised[name][fold.test] = values[fold.test] > threshold(values[fold.train], rate)
    rows = np.sort(np.concatenate([fold.test for fold, _ in models]))
    judge = _Judge(training, episodes_of(training.assets, np.nan_to_num(training.target)), raised)
    whole = judge.scores("all", rows).by_model
    tested = {name: alarms[rows] for name, alarms in raised.items()}
    labels, assets = training.target[rows], training.assets[rows]
    folds = tuple(fold for fold, _ in models)
    return Detection(
        metrics=whole[CANDIDATE],
        baselines={name: found for name, found in whole.items() if name != CANDIDATE},
        by_kind=by_kind(kinds, tested[CANDIDATE], labels, judge.episodes[rows]),
        by_asset=tuple(
            judge.scores(training.asset_names[asset], rows[assets == asset]) for asset in np.unique(assets)
        ),
        by_year=tuple(judge.scores(f"{fold.test_start}/{fold.test_end}", fold.test) for fold in folds),
        by_regime=() if market is None else _by_regime(judge, rows, market),
        comparisons=_comparisons(tested, labels, training.dates[rows], seed),
        folds=folds,
        assets_expected=training.expected,
        alarms=Alarms(
            np.array(training.asset_names)[assets], training.dates[rows], labels, scores[rows], tested
        ),
    )


@dataclass(frozen=True, slots=True)
class _Judge:
    training: TrainingSet
    episodes: Integers
    raised: Mapping[str, Flags]

    def scores(self, group: str, rows: Integers) -> Scores:
        kinds, episodes = self.training.target[rows], self.episodes[rows]
        found = {name: worth(alarms[rows], kinds, episodes) for name, alarms in self.raised.items()}
        return Scores(group, int(rows.size), found)


def _by_regime(judge: _Judge, rows: Integers, market: MarketVolatility) -> tuple[Scores, ...]:
    regimes = regime_of(judge.training.dates[rows], market)
    return tuple(
        judge.scores(name, rows[regimes == place])
        for place, name in enumerate(REGIMES)
        if np.any(regimes == place)
    )


def _comparisons(tested: Mapping[str, Flags], labels: Floats, dates: Days, seed: int) -> list[dict[str, Any]]:
    months: Integers = dates.astype("datetime64[M]").astype(np.int64)
    found = []
    for name, alarms in tested.items():
        if name != CANDIDATE:
            mean, p_value = chance(tested[CANDIDATE], alarms, labels, months, seed)
            about = {"metric": "false_discovery_rate", "against": name, "test": "bootstrap of months"}
            found.append({**about, "mean": mean, "p_value": p_value})
    return found
