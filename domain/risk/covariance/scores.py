"""How good covariances were, by the portfolios made of them: the metrics of a track, and of a part of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from domain.risk.covariance.portfolios import Backtest, Track, risk
from domain.risk.features import TRADING_DAYS
from domain.risk.metrics import qlike
from domain.risk.training_set import Flags, Floats, TrainingSet

METRICS: tuple[Mapping[str, str], ...] = (
    {
        "name": "risk",
        "about": "Annualised volatility, around zero, of the minimum-variance portfolio on the sessions "
        "after its covariance was estimated; less is better.",
        "better": "less",
    },
    {
        "name": "bias",
        "about": "Realised over stated volatility of those portfolios, the root mean square of their "
        "returns in units of the stated standard deviation: 1 if covariances are right; above 1 the risk of "
        "a portfolio chosen by them is understated.",
        "better": "neither",
    },
    {
        "name": "qlike",
        "about": "How well the diagonal forecasts each asset's variance over the target's sessions: mean of "
        "x - ln(x) - 1 with x = realised over forecast variance; 0 if perfect, less is better.",
        "better": "less",
    },
    {
        "name": "least_eigenvalue_ratio",
        "about": "The least eigenvalue of any covariance over the mean of its eigenvalues: above 0 only if "
        "all are positive definite; more is better.",
        "better": "more",
    },
    {
        "name": "condition_number",
        "about": "The largest eigenvalue over the least, of the covariance that is conditioned worst; "
        "less is better.",
        "better": "less",
    },
    {
        "name": "turnover",
        "about": "Sum of the absolute changes of weights at a rebalance, on average; less is cheaper.",
        "better": "less",
    },
    {
        "name": "gross_exposure",
        "about": "Sum of the absolute weights, on average: 1 without short sales.",
        "better": "less",
    },
    {
        "name": "shrinkage",
        "about": "By which share covariances between assets lie closer to 0 than in the sample, on average.",
        "better": "neither",
    },
)
"""The metrics in words, the one that counts first."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What came, for the scores of every estimator on a backtest.

    Attributes:
        volatilities: of each asset after each rebalance, over the target's sessions, shape (q, k); NaN where
            it is not known.
    """

    test: Backtest
    volatilities: Floats

    @classmethod
    def of(cls, test: Backtest, training: TrainingSet) -> Outcomes:
        """Look up the target on the session before each rebalance, when its covariance was estimated."""
        eve = test.returns.sessions[[one.start - 1 for one in test.rebalances]]
        found = np.full((eve.size, len(test.returns.assets)), np.nan)
        place = np.minimum(np.searchsorted(eve, training.dates), eve.size - 1)
        asked = eve[place] == training.dates
        found[place[asked], training.assets[asked]] = training.target[asked]
        return cls(test, found)


def score(track: Track, outcomes: Outcomes, chosen: Flags | None = None) -> dict[str, float]:
    """The metrics of a track, or of some of its rebalances, by name.

    Equal weights have no covariance, and no metrics of one.

    Args:
        chosen: which rebalances count, shape (q,), at least one; None for all.
    """
    test = outcomes.test
    rebalances = np.ones(len(test.rebalances), dtype=np.bool_) if chosen is None else chosen
    sessions = rebalances[test.rebalance_of]
    returns, stated = track.returns[sessions], track.stated[sessions]
    weights = track.weights
    found = {"risk": risk(returns), "gross_exposure": float(np.mean(np.abs(weights[rebalances]).sum(axis=1)))}
    changes, changed = np.abs(np.diff(weights, axis=0)).sum(axis=1), rebalances[1:]
    if np.any(changed):
        found["turnover"] = float(np.mean(changes[changed]))
    if np.all(np.isnan(stated)):
        return found
    known = np.isfinite(track.variances) & np.isfinite(outcomes.volatilities) & rebalances[:, None]
    if np.any(known):
        found["qlike"] = qlike(outcomes.volatilities[known], np.sqrt(track.variances[known]))
    return {
        **found,
        "bias": float(np.sqrt(np.mean(TRADING_DAYS * np.square(returns) / stated))),
        "least_eigenvalue_ratio": float(np.min(track.least_ratios[rebalances])),
        "condition_number": float(np.max(track.condition_numbers[rebalances])),
        "shrinkage": float(np.mean(track.shrinkages[rebalances])),
    }


def score_of_asset(track: Track, outcomes: Outcomes, asset: int) -> dict[str, float]:
    """How well the diagonal forecast one asset's variance; empty if that is not known, or not stated."""
    known = np.isfinite(track.variances[:, asset]) & np.isfinite(outcomes.volatilities[:, asset])
    if not np.any(known):
        return {}
    return {
        "qlike": qlike(outcomes.volatilities[known, asset], np.sqrt(track.variances[known, asset])),
        "mean_weight": float(np.mean(track.weights[:, asset])),
    }


def squared_returns(track: Track) -> Floats:
    """Annualised squared returns, shape (m,): the losses whose mean is the square of the risk."""
    losses: Floats = TRADING_DAYS * np.square(track.returns)
    return losses
