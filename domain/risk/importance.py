"""Permutation importance: how much worse forecasts become when one feature says nothing any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from domain.risk.folds import Fold
from domain.risk.metrics import qlike_losses
from domain.risk.ports import TrainedModel
from domain.risk.training_set import Floats, TrainingSet

MOST_ROWS = 2_000
"""So many test rows of a fold are enough, and keep the cost a fraction of training's."""


@dataclass(frozen=True, slots=True)
class Importance:
    """What shuffling a feature does to the forecasts, out of sample.

    Attributes:
        qlike_rise: mean QLIKE with the feature shuffled, minus mean QLIKE of the same rows as they are.
        folds_worse: in how many of the folds QLIKE rose.
    """

    feature: str
    qlike_rise: float
    folds_worse: int

    def to_json(self) -> dict[str, Any]:
        return {"feature": self.feature, "qlike_rise": self.qlike_rise, "folds_worse": self.folds_worse}


@dataclass(frozen=True, slots=True)
class Shuffled:
    """How much the losses of a fold's rows rose: the number of rows, and the sum for each feature, (k,)."""

    rows: int
    rises: Floats


def shuffled(model: TrainedModel, training: TrainingSet, fold: Fold, seed: int) -> Shuffled:
    """Shuffle each feature in turn among at most `MOST_ROWS` of a fold's test rows, and forecast them again.

    One feature's values change places, the others stay (Breiman 2001, "Random forests", Machine Learning 45,
    section 10). Features that say the same thing stand in for each other, so each of them can look
    unimportant. The same seed and fold draw the same rows and the same order.
    """
    random = np.random.default_rng((seed, fold.test_start.toordinal()))
    drawn = random.permutation(fold.test)[:MOST_ROWS]
    order = random.permutation(drawn.size)
    rows = training.features[drawn]
    width = rows.shape[1]
    # As they are, and once for each feature; in one call, for some models pay for each.
    variants = np.repeat(rows[np.newaxis], width + 1, axis=0)
    for column in range(width):
        variants[column + 1, :, column] = rows[order, column]
    # Values that do not fit each other can lead a linear model below zero, where QLIKE has its floor.
    forecasts = np.maximum(model.predict(variants.reshape(-1, width)), 0.0)
    losses = qlike_losses(np.tile(training.target[drawn], width + 1), forecasts)
    sums = losses.reshape(width + 1, -1).sum(axis=1)
    return Shuffled(drawn.size, sums[1:] - sums[0])


def importance(names: Sequence[str], folds: Sequence[Shuffled]) -> tuple[Importance, ...]:
    """Each feature's importance over all folds, the most important first."""
    rises = np.stack([fold.rises for fold in folds])
    rows = sum(fold.rows for fold in folds)
    found = [
        Importance(name, float(np.sum(rises[:, place])) / rows, int(np.count_nonzero(rises[:, place] > 0.0)))
        for place, name in enumerate(names)
    ]
    return tuple(sorted(found, key=lambda item: (-item.qlike_rise, item.feature)))
