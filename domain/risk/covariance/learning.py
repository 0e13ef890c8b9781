"""The shrinkage intensity that past minimum-variance portfolios would have wanted."""

from __future__ import annotations

import numpy as np

from domain.risk.covariance.portfolios import LEAST_ASSETS, Backtest, Spectrum, schedule
from domain.risk.covariance.returns import Returns
from domain.risk.covariance.shrinkage import Moments
from domain.risk.training_set import Floats

INTENSITIES = np.arange(101) / 100.0
"""Those that are tried, shape (101,); the loss is so flat around its least that finer steps say nothing."""


def learnt_intensity(returns: Returns, window: int, holding: int) -> float:
    """Of `INTENSITIES` the one whose portfolios had the least mean squared return on sessions after them.

    DeMiguel, Garlappi, Nogales and Uppal (2009), "A generalized approach to portfolio optimization: improving
    performance by constraining portfolio norms", Management Science 55, 798 to 812, calibrate constraints on
    the weights, of which shrinkage towards the identity is one, by cross-validation of the portfolio's own
    variance; here it goes forward in time. Ledoit and Wolf (2004) ask for the least error of all cells alike;
    here those errors count that a portfolio makes use of.

    Raises:
        InvalidInput: no portfolio can be made of two assets or more and tested on a session after its window.
    """
    losses = portfolio_losses(returns, window, holding)
    return float(INTENSITIES[int(np.argmin(losses))])


def portfolio_losses(returns: Returns, window: int, holding: int) -> Floats:
    """Of each intensity the mean squared daily return of its portfolios, shape as `INTENSITIES`.

    Raises as `learnt_intensity`.
    """
    assets = returns.complete(window).sum(axis=1)
    planned = schedule(window, returns.sessions.size, holding)
    test = Backtest.of(returns, [one for one in planned if assets[one.start] >= LEAST_ASSETS], window)
    losses, count = np.zeros(INTENSITIES.size), 0
    for place in range(len(test.rebalances)):
        moments = Moments.of(test.seen(place))
        # Shrinking moves eigenvalues and no eigenvectors, so one decomposition serves all intensities.
        spectrum = Spectrum.of(moments.sample)
        drawn = np.multiply.outer(1.0 - INTENSITIES, spectrum.values)
        drawn += moments.mean_variance * INTENSITIES[:, None]
        held = test.held(place)
        losses += np.sum(np.square(held @ spectrum.minimum_variance(drawn).T), axis=0)
        count += held.shape[0]
    mean: Floats = losses / count
    return mean
