"""Whether one forecast is better than another: challenger and champion, or a model and its baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from domain.registry.evidence import Evidence
from domain.registry.gates import CHAMPION
from domain.risk import baselines
from domain.risk.folds import Fold
from domain.risk.metrics import LOSSES, score
from domain.risk.training_set import Floats, TrainingSet

DIEBOLD_MARIANO = "Diebold-Mariano"


@dataclass(frozen=True, slots=True)
class Difference:
    """One model's loss less another's, averaged over the assets of each session.

    Attributes:
        mean: over the sessions; below 0 where the one is better.
        statistic: of Diebold and Mariano; 0 when all forecasts are the same.
        p_value: how probable so large a statistic of any sign is between two equally good models.
    """

    sessions: int
    mean: float
    statistic: float
    p_value: float

    def to_json(self) -> dict[str, float]:
        return {
            "sessions": self.sessions,
            "mean": self.mean,
            "statistic": self.statistic,
            "p_value": self.p_value,
        }


def compare(
    training: TrainingSet,
    window: Fold,
    challenger: Floats,
    champion: Floats,
    metric: str,
    about: Mapping[str, Any],
) -> Evidence:
    """Score both forecasts of the window's rows, and the baselines beside them.

    Args:
        challenger, champion: annualised volatilities, decimals, shape (m,), one for each of `window.test`.
        metric: of `LOSSES`.
        about: what is compared with what, for the evidence's details; plain JSON.
    """
    realised = training.target[window.test]
    columns = {name: training.features[window.test, place] for place, name in enumerate(training.names)}
    others = {CHAMPION: champion, **baselines.forecasts(columns)}
    losses = LOSSES[metric]
    difference = diebold_mariano(
        losses(realised, challenger) - losses(realised, champion),
        training.dates[window.test],
        training.horizon,
    )
    covered = {training.asset_names[asset] for asset in np.unique(training.assets[window.test])}
    return Evidence(
        metrics=score(realised, challenger),
        baselines={name: score(realised, forecast) for name, forecast in others.items()},
        assets_expected=training.expected,
        assets_covered=tuple(sorted(covered)),
        details={**about, "window": window.to_json(), "difference": {metric: difference.to_json()}},
    )


def against(
    realised: Floats, forecast: Floats, others: Mapping[str, Floats], dates: np.ndarray, horizon: int
) -> list[dict[str, Any]]:
    """What a forecast's losses are beside those of others on the same rows, as evidence tells it.

    Args:
        realised, forecast: annualised volatilities, decimals, shape (n,).
        others: further forecasts, shape (n,), by whose they are.
        dates, horizon: see `diebold_mariano`.

    Returns:
        For each other one and each metric of `LOSSES` the metric, whom it is against, the test's name and
        what it found, see `Difference`.
    """
    return [
        {
            "metric": metric,
            "against": name,
            "test": DIEBOLD_MARIANO,
            **diebold_mariano(losses(realised, forecast) - losses(realised, other), dates, horizon).to_json(),
        }
        for name, other in others.items()
        for metric, losses in LOSSES.items()
    ]


def diebold_mariano(differences: Floats, dates: np.ndarray, horizon: int) -> Difference:
    """Test whether two forecasts are equally good.

    Diebold and Mariano (1995), "Comparing predictive accuracy", Journal of Business & Economic Statistics 13,
    253 to 263, on the sessions' mean differences, with the variance of Newey and West (1987) over the
    `horizon` - 1 lags by which the outcomes overlap.

    Args:
        differences: of the losses, row by row, shape (n,).
        dates: the row's session, shape (n,).
        horizon: sessions that a forecast looks ahead.
    """
    _, session = np.unique(dates, return_inverse=True)
    daily = np.bincount(session, weights=differences) / np.bincount(session)
    count, mean = daily.size, float(np.mean(daily))
    centred = daily - mean
    variance = float(np.mean(np.square(centred)))
    for lag in range(1, min(horizon, count)):
        variance += 2 * (1 - lag / horizon) * float(np.sum(centred[lag:] * centred[:-lag])) / count
    if variance <= 0.0:
        return Difference(count, mean, 0.0, 1.0)
    statistic = mean / math.sqrt(variance / count)
    return Difference(count, mean, statistic, math.erfc(abs(statistic) / math.sqrt(2)))
