"""Linear shrinkage: (1 - d) S + d m I, the sample covariance S drawn towards its mean variance m by d.

S is centred and divided by the number of sessions, as all the sources here have it. What tells estimators
apart is the intensity d, from 0 (the sample covariance) to 1 (all assets alike, none related to another).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from domain.risk.features import TRADING_DAYS
from domain.risk.training_set import Floats


@dataclass(frozen=True, slots=True)
class Moments:
    """What intensities are made of.

    Attributes:
        centred: returns less their mean, shape (n, k).
        sample: S, shape (k, k).
        mean_variance: m, the mean of S's diagonal.
    """

    centred: Floats
    sample: Floats
    mean_variance: float

    @classmethod
    def of(cls, returns: Floats) -> Moments:
        """Of daily returns, shape (n, k), finite."""
        centred = returns - returns.mean(axis=0)
        sample = _gram(centred) / centred.shape[0]
        return cls(centred, sample, float(np.mean(np.diagonal(sample))))

    @property
    def target(self) -> Floats:
        """m I, shape (k, k)."""
        return self.mean_variance * np.eye(self.sample.shape[0])

    def shrunk(self, intensity: float) -> Floats:
        """(1 - d) S + d m I of daily returns, shape (k, k)."""
        blended: Floats = (1.0 - intensity) * self.sample + intensity * self.target
        return blended


def unshrunk(moments: Moments) -> float:
    """0, the sample covariance as it is."""
    return 0.0


def ledoit_wolf(moments: Moments) -> float:
    """The intensity that minimises the expected squared Frobenius distance to the true covariance.

    Ledoit and Wolf (2004), "A well-conditioned estimator for large-dimensional covariance matrices", Journal
    of Multivariate Analysis 88, 365 to 411: min(b², d²) / d², with d² = |S - m I|² and b² the sum over all
    cells of the variance of x x' around S, over n.
    """
    count, sample = len(moments.centred), moments.sample
    distance = float(np.sum(np.square(sample - moments.target)))
    if distance == 0.0:
        return 0.0
    noise = float(np.sum(_gram(np.square(moments.centred)) / count - np.square(sample))) / count
    return min(noise, distance) / distance


def oracle_approximating(moments: Moments) -> float:
    """The limit of an iteration that starts at Ledoit and Wolf's intensity, for normal returns.

    Chen, Wiesel, Eldar and Hero (2010), "Shrinkage algorithms for MMSE covariance estimation", IEEE
    Transactions on Signal Processing 58, 5016 to 5029, equation 23 as scikit-learn has it, without the terms
    in 2 / k: min(1, (a + m²) / ((n + 1) (a - m² / k))) with a the mean of S's squared cells.
    """
    (count, width), square = moments.centred.shape, moments.mean_variance**2
    cells = float(np.mean(np.square(moments.sample)))
    excess = (count + 1.0) * (cells - square / width)
    return 1.0 if excess <= 0.0 else min(1.0, (cells + square) / excess)


RULES: Mapping[str, Callable[[Moments], float]] = MappingProxyType(
    {"sample": unshrunk, "ledoit_wolf": ledoit_wolf, "oas": oracle_approximating}
)
"""Intensities that follow from the returns of a window alone, by name."""


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """An estimator of covariance.

    Attributes:
        rule: of `RULES`; empty for a fixed intensity.
        fixed: the intensity without a rule.
    """

    rule: str
    fixed: float = 0.0

    def intensity(self, moments: Moments) -> float:
        """From 0 to 1."""
        return rule(moments) if (rule := RULES.get(self.rule)) else self.fixed

    def predict(self, returns: Floats) -> Floats:
        """The annualised covariance, shape (k, k), of daily returns of shape (n, k)."""
        moments = Moments.of(returns)
        covariance: Floats = TRADING_DAYS * moments.shrunk(self.intensity(moments))
        return covariance


def implied_intensity(covariance: Floats, sample: Floats) -> float:
    """The d for which (1 - d) S comes closest to a covariance off the diagonal, by least squares.

    Of linear shrinkage it is the intensity; 0 where the sample has no covariances to shrink.

    Args:
        covariance, sample: in the same unit, shape (k, k).
    """
    off = ~np.eye(sample.shape[0], dtype=np.bool_)
    square = float(np.sum(np.square(sample[off])))
    return 0.0 if square == 0.0 else 1.0 - float(np.sum(covariance[off] * sample[off])) / square


def _gram(values: Floats) -> Floats:
    # Not by BLAS, which adds up in another order with another number of threads.
    products: Floats = np.einsum("ni,nj->ij", values, values)
    return products
