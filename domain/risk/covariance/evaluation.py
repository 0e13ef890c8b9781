"""Walk-forward evaluation of covariances: portfolios on sessions that no estimate and no training saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from domain.registry.evidence import Evidence, LookAhead
from domain.risk.comparison import DIEBOLD_MARIANO, Difference, diebold_mariano
from domain.risk.covariance.portfolios import Backtest, Estimate, Rebalance, Track, schedule
from domain.risk.covariance.returns import Returns
from domain.risk.covariance.scores import Outcomes, score, score_of_asset, squared_returns
from domain.risk.covariance.shrinkage import RULES, Shrinkage
from domain.risk.evaluation import CANDIDATE, Scores
from domain.risk.folds import Fold
from domain.risk.regimes import REGIMES, MarketVolatility, regime_of
from domain.risk.training_set import Flags, Integers, TrainingSet

EQUAL_WEIGHTS = "equal_weights"
BASELINES: tuple[str, ...] = (EQUAL_WEIGHTS, *RULES)
"""What a model has to beat: no covariance at all, and estimators that learn nothing from the past."""

PROBLEM = {
    "name": "covariance",
    "about": "The annualised covariance of all assets' daily returns, for portfolio construction. It is "
    "judged by the portfolio of least variance that it chooses, on the sessions after it was estimated; the "
    "target serves to score its diagonal alone.",
}
NOT_APPLICABLE = {
    "importance": "The model sees one feature, the assets' daily returns, so there is nothing to rank."
}


@dataclass(frozen=True, slots=True)
class CovarianceEvaluation:
    """What an evaluation found; the same inputs give the same bits.

    Attributes:
        folds: with the sessions that the intensities were learnt on, and those that portfolios were held on.
        tracks: of the candidate and of each baseline, on the same backtest.
        by_year: one for each fold, the oldest first; its group is `test_start/test_end`.
        by_asset: how the diagonal forecast each asset's variance, and the mean weight in the portfolios.
        by_regime: one for each of `REGIMES` with a rebalance; none without the market's volatility.
        assets_expected: assets that the run was asked for.
        assets_covered: assets that were in a portfolio.
        comparisons: of the squared returns with those of each baseline, as evidence tells it.
    """

    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    folds: tuple[Fold, ...]
    by_year: tuple[Scores, ...]
    by_asset: tuple[Scores, ...]
    by_regime: tuple[Scores, ...]
    comparisons: tuple[Mapping[str, Any], ...]
    assets_expected: tuple[str, ...]
    assets_covered: tuple[str, ...]
    test: Backtest = field(repr=False)
    tracks: Mapping[str, Track] = field(repr=False)

    def evidence(
        self, look_ahead: LookAhead | None = None, described: Mapping[str, Any] | None = None
    ) -> Evidence:
        """See `domain.risk.problems.contract.Evaluated`."""
        details = {
            "folds": [fold.to_json() for fold in self.folds],
            "by_asset": [scores.to_json() for scores in self.by_asset],
            "by_year": [scores.to_json() for scores in self.by_year],
            "by_regime": [scores.to_json() for scores in self.by_regime],
            "comparisons": [dict(found) for found in self.comparisons],
            "problem": dict(PROBLEM),
            "not_applicable": dict(NOT_APPLICABLE),
        }
        return Evidence(
            metrics=dict(self.metrics),
            baselines={name: dict(metrics) for name, metrics in self.baselines.items()},
            assets_expected=self.assets_expected,
            assets_covered=self.assets_covered,
            look_ahead=look_ahead,
            details={**details, **(described or {})},
        )


def evaluated(
    training: TrainingSet,
    folds: Sequence[Fold],
    estimates: Sequence[Estimate],
    window: int,
    holding: int,
    market: MarketVolatility | None,
) -> CovarianceEvaluation:
    """Hold the portfolios of each fold's estimator on the fold's sessions, and those of the baselines.

    Args:
        estimates: one for each fold, made of what was known before it.
        window: sessions that an estimate is made of.
        holding: sessions until the next rebalance.

    Raises:
        InvalidInput: see `Backtest.of`.
    """
    returns = Returns.of(training)
    planned = [
        (place, rebalance)
        for place, fold in enumerate(folds)
        for rebalance in rebalances_of(returns, fold, holding)
    ]
    fold_of = np.array([place for place, _ in planned], dtype=np.int64)
    test = Backtest.of(returns, [rebalance for _, rebalance in planned], window)
    tracks = {CANDIDATE: test.run(lambda place: estimates[fold_of[place]]), **baselines(test)}
    outcomes = Outcomes.of(test, training)
    metrics = {name: score(track, outcomes) for name, track in tracks.items()}
    covered = np.any(test.universes, axis=0)
    return CovarianceEvaluation(
        metrics=metrics[CANDIDATE],
        baselines={name: found for name, found in metrics.items() if name != CANDIDATE},
        folds=tuple(folds),
        by_year=tuple(
            _scores(f"{fold.test_start}/{fold.test_end}", tracks, outcomes, fold_of == place)
            for place, fold in enumerate(folds)
        ),
        by_asset=tuple(_by_asset(tracks, outcomes, np.flatnonzero(covered))),
        by_regime=() if market is None else tuple(_by_regime(tracks, outcomes, market)),
        comparisons=tuple(
            {
                "metric": "risk",
                "against": name,
                "test": f"{DIEBOLD_MARIANO} on squared returns",
                **difference(test, tracks[CANDIDATE], tracks[name], holding).to_json(),
            }
            for name in BASELINES
        ),
        assets_expected=training.expected,
        assets_covered=returns.only(covered).assets,
        test=test,
        tracks=tracks,
    )


def rebalances_of(returns: Returns, fold: Fold, holding: int) -> Iterator[Rebalance]:
    """The rebalances on a fold's test sessions, the first one before its first session."""
    start = int(np.searchsorted(returns.sessions, np.datetime64(fold.test_start)))
    stop = int(np.searchsorted(returns.sessions, np.datetime64(fold.test_end))) + 1
    return schedule(start, stop, holding)


def baselines(test: Backtest) -> dict[str, Track]:
    """The tracks of `BASELINES`."""
    estimates = {EQUAL_WEIGHTS: None, **{rule: Shrinkage(rule).predict for rule in RULES}}
    return {name: test.run_all(estimate) for name, estimate in estimates.items()}


def difference(test: Backtest, one: Track, other: Track, holding: int) -> Difference:
    """Whether two estimators' portfolios are equally risky: Diebold and Mariano's test on squared returns.

    The sessions of one portfolio share its weights, so differences are taken to depend on each other over a
    holding's sessions.
    """
    sessions = test.returns.sessions[test.sessions]
    return diebold_mariano(squared_returns(one) - squared_returns(other), sessions, holding)


def _scores(group: str, tracks: Mapping[str, Track], outcomes: Outcomes, chosen: Flags) -> Scores:
    sessions = int(np.count_nonzero(chosen[outcomes.test.rebalance_of]))
    return Scores(group, sessions, {name: score(track, outcomes, chosen) for name, track in tracks.items()})


def _by_asset(tracks: Mapping[str, Track], outcomes: Outcomes, assets: Integers) -> Iterator[Scores]:
    for asset in assets.tolist():
        by_model = {name: score_of_asset(track, outcomes, asset) for name, track in tracks.items()}
        rows = int(np.count_nonzero(outcomes.test.universes[:, asset]))
        yield Scores(outcomes.test.returns.assets[asset], rows, by_model)


def _by_regime(tracks: Mapping[str, Track], outcomes: Outcomes, market: MarketVolatility) -> Iterator[Scores]:
    """By the market's volatility on the session before the rebalance, when the portfolio was chosen."""
    test = outcomes.test
    regimes = regime_of(test.returns.sessions[[one.start - 1 for one in test.rebalances]], market)
    for place, name in enumerate(REGIMES):
        if np.any(regimes == place):
            yield _scores(name, tracks, outcomes, regimes == place)
