"""Minimum-variance portfolios, rebalanced on a schedule, and what they returned on sessions they did not see.

The portfolio of least variance is where an error of a covariance costs most: it puts the most weight on what
is underestimated most (Michaud 1989, "The Markowitz optimization enigma", Financial Analysts Journal 45).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from domain.registry.errors import InvalidInput
from domain.risk.covariance.returns import Returns
from domain.risk.covariance.shrinkage import Moments, implied_intensity
from domain.risk.features import TRADING_DAYS
from domain.risk.training_set import Flags, Floats, Integers

Estimate = Callable[[Floats], Floats]
"""The annualised covariance (k, k) of daily returns (n, k)."""

_EPSILON = float(np.finfo(np.float64).eps)
LEAST_ASSETS = 2


@dataclass(frozen=True, slots=True)
class Rebalance:
    """A portfolio is chosen after session `start` - 1, and held until `stop`.

    Attributes:
        start, stop: places of the first session it is held on, and of the first one it is not.
    """

    start: int
    stop: int


def schedule(start: int, stop: int, holding: int) -> Iterator[Rebalance]:
    """A rebalance every `holding` sessions from `start` to `stop` - 1; the last one is held until `stop`."""
    for place in range(start, stop, holding):
        yield Rebalance(place, min(place + holding, stop))


@dataclass(frozen=True, slots=True)
class Spectrum:
    """A covariance by its eigenvalues (ascending, shape (k,)) and eigenvectors (columns, shape (k, k))."""

    values: Floats
    vectors: Floats

    @classmethod
    def of(cls, covariance: Floats) -> Self:
        """Of a symmetric matrix, shape (k, k); its lower triangle counts."""
        values, vectors = np.linalg.eigh(covariance)
        return cls(values, vectors)

    @property
    def least_ratio(self) -> float:
        """The least eigenvalue over the mean of all: above 0 only for a positive definite matrix."""
        return float(self.values[0] / np.mean(self.values))

    @property
    def condition_number(self) -> float:
        """The largest eigenvalue over the least; 1 / epsilon, 4.5e15, for a matrix that is singular."""
        return float(self.values[-1] / max(self.values[0], _EPSILON * self.values[-1]))

    def minimum_variance(self, values: Floats | None = None) -> Floats:
        """Weights that add up to 1 and have the least variance: inv(C) 1 / (1' inv(C) 1).

        Short sales are allowed, so that no bound hides a covariance's errors. Of a singular matrix the
        pseudo-inverse is taken.

        Args:
            values: eigenvalues in the place of its own, shape (..., k).

        Returns:
            Shape (..., k).
        """
        given = self.values if values is None else values
        floor = self.values.size * _EPSILON * np.max(given, axis=-1, keepdims=True)
        with np.errstate(divide="ignore"):
            inverse = np.where(given > floor, 1.0 / given, 0.0)
        raw = (inverse * self.vectors.sum(axis=0)) @ self.vectors.T
        weights: Floats = raw / raw.sum(axis=-1, keepdims=True)
        return weights


@dataclass(frozen=True, slots=True)
class Track:
    """What the portfolios of one estimator did, on the sessions tested (m) and at the rebalances (q).

    Attributes:
        returns: of the portfolio held on each session, shape (m,).
        stated: the annualised variance that the estimate stated for that portfolio, shape (m,); NaN without
            an estimate.
        weights: at each rebalance, shape (q, k); 0 for assets that were left out.
        variances: the estimate's diagonal at each rebalance, shape (q, k); NaN for assets left out.
        least_ratios, condition_numbers: of the estimates, shape (q,); NaN without.
        shrinkages: see `implied_intensity`, shape (q,); NaN without.
    """

    returns: Floats
    stated: Floats
    weights: Floats
    variances: Floats
    least_ratios: Floats
    condition_numbers: Floats
    shrinkages: Floats


@dataclass(frozen=True, slots=True)
class Backtest:
    """A schedule of rebalances over a panel; estimators that are compared are tested on the same one.

    Attributes:
        window: sessions that an estimate is made of, those right before the rebalance.
        universes: the assets of each rebalance, those with a return on all sessions of its window, (q, k).
    """

    returns: Returns
    rebalances: tuple[Rebalance, ...]
    window: int
    universes: Flags

    @classmethod
    def of(cls, returns: Returns, rebalances: Sequence[Rebalance], window: int) -> Self:
        """Plan it.

        Raises:
            InvalidInput: the first rebalance has too few sessions before it, or one has too few assets.
        """
        before = rebalances[0].start if rebalances else returns.sessions.size
        if not rebalances or before < window:
            raise InvalidInput(
                "training.parameters.window",
                window,
                f"make it shorter, there are {before} sessions before the first portfolio",
            )
        universes = returns.complete(window)[[one.start for one in rebalances]]
        few = np.flatnonzero(universes.sum(axis=1) < LEAST_ASSETS)
        if few.size:
            raise InvalidInput(
                "data.assets",
                ", ".join(returns.assets),
                f"give at least {LEAST_ASSETS} with a price on each of the {window} sessions before "
                f"{returns.sessions[rebalances[few[0]].start]}",
            )
        return cls(returns, tuple(rebalances), window, universes)

    def seen(self, place: int) -> Floats:
        """The returns that the estimate of a rebalance is made of, shape (window, assets of its universe)."""
        start = self.rebalances[place].start
        values = self.returns.values[start - self.window : start, self.universes[place]]
        return np.ascontiguousarray(values)

    def held(self, place: int) -> Floats:
        """What the universe returned while the portfolio was held, shape (sessions, assets of its universe).

        0 for an asset without a price: whoever held it could not sell it, and saw no other price.
        """
        one = self.rebalances[place]
        values = self.returns.values[one.start : one.stop, self.universes[place]]
        return np.nan_to_num(values, nan=0.0)

    @property
    def sessions(self) -> Integers:
        """Places of the sessions on which portfolios are held, in order, shape (m,)."""
        return np.concatenate([np.arange(one.start, one.stop) for one in self.rebalances])

    @property
    def rebalance_of(self) -> Integers:
        """For each of `sessions` which rebalance it belongs to, shape (m,)."""
        return np.repeat(np.arange(len(self.rebalances)), [one.stop - one.start for one in self.rebalances])

    def run_all(self, estimate: Estimate | None) -> Track:
        """See `run`; the same estimator for all rebalances."""
        return self.run(lambda _: estimate)

    def run(self, estimate_for: Callable[[int], Estimate | None]) -> Track:
        """Hold the portfolios of least variance by an estimator, with constant weights between rebalances.

        Args:
            estimate_for: the estimator for the rebalance of this place in `rebalances`; None for equal
                weights.
        """
        count, width = self.universes.shape
        weights, variances = np.zeros((count, width)), np.full((count, width), np.nan)
        ratios, conditions, drawn = (np.full(count, np.nan) for _ in range(3))
        earned, stated = [], []
        for place, universe in enumerate(self.universes):
            estimate, variance = estimate_for(place), np.nan
            if estimate is None:
                chosen = np.full(np.count_nonzero(universe), 1.0 / np.count_nonzero(universe))
            else:
                seen = self.seen(place)
                covariance = estimate(seen)
                spectrum = Spectrum.of(covariance)
                chosen = spectrum.minimum_variance()
                variance = float(chosen @ covariance @ chosen)
                variances[place, universe] = np.diagonal(covariance)
                ratios[place], conditions[place] = spectrum.least_ratio, spectrum.condition_number
                drawn[place] = implied_intensity(covariance, TRADING_DAYS * Moments.of(seen).sample)
            weights[place, universe] = chosen
            held = self.held(place)
            earned.append(held @ chosen)
            stated.append(np.full(held.shape[0], variance))
        return Track(
            np.concatenate(earned), np.concatenate(stated), weights, variances, ratios, conditions, drawn
        )


def risk(returns: Floats) -> float:
    """Annualised root mean square of daily returns: sqrt(252 * mean(r²)), a decimal.

    Around zero and not around the mean, which is small beside it and would be one more estimate.
    """
    return float(np.sqrt(TRADING_DAYS * np.mean(np.square(returns))))
