"""The features and targets that specs can name; each is one short kernel.

Volatilities are annualised decimals, returns are log returns, windows count rows of the asset.
"""

from __future__ import annotations

import numpy as np

from domain.risk.features.declare import feature, target
from domain.risk.features.panel import Panel
from domain.risk.features.windows import Floats, annualised, lagged, log, trailing

EWMA_DECAY = 0.94
"""RiskMetrics' daily decay factor (J. P. Morgan/Reuters, RiskMetrics Technical Document, 1996)."""

EWMA_TERMS = 126
"""Where the exponential weights are cut off, so that the window is finite; the rest weighs 0.04 %."""


def realised_volatility(panel: Panel, length: int) -> Floats:
    """sqrt(252 * mean(r**2)) over the last `length` returns."""
    return annualised(trailing(panel.squared, length) / length)


def momentum(panel: Panel, length: int) -> Floats:
    """Log return over the last `length` rows."""
    return log(panel.close / lagged(panel.close, length))


@feature(rows=2)
def log_return(panel: Panel) -> Floats:
    """Log return since the row before."""
    return panel.returns


@feature(rows=2)
def rv_1(panel: Panel) -> Floats:
    """Realised volatility of one day. With rv_5 and rv_21: Corsi (2009), HAR-RV."""
    return realised_volatility(panel, 1)


@feature(rows=6)
def rv_5(panel: Panel) -> Floats:
    """Realised volatility over 5 days."""
    return realised_volatility(panel, 5)


@feature(rows=22)
def rv_21(panel: Panel) -> Floats:
    """Realised volatility over 21 days."""
    return realised_volatility(panel, 21)


@feature(rows=64)
def rv_63(panel: Panel) -> Floats:
    """Realised volatility over 63 days."""
    return realised_volatility(panel, 63)


@feature(rows=22)
def rsv_21(panel: Panel) -> Floats:
    """Downside volatility over 21 days: sqrt(252 * mean(min(r, 0)**2)). Barndorff-Nielsen et al. (2010)."""
    falls = np.minimum(panel.returns, 0.0)
    return annualised(trailing(falls * falls, 21) / 21)


@feature(rows=EWMA_TERMS + 1)
def ewma_vol(panel: Panel) -> Floats:
    """Exponentially weighted volatility, decay 0.94, weights cut off after 126 terms and normalised."""
    weights = trailing(np.ones(EWMA_TERMS), EWMA_TERMS, decay=EWMA_DECAY)[-1]
    return annualised(trailing(panel.squared, EWMA_TERMS, decay=EWMA_DECAY) / weights)


@feature(rows=22)
def momentum_21(panel: Panel) -> Floats:
    """Log return over 21 rows."""
    return momentum(panel, 21)


@feature(rows=253)
def momentum_252(panel: Panel) -> Floats:
    """Log return over 252 rows."""
    return momentum(panel, 252)


@feature(rows=252)
def drawdown_252(panel: Panel) -> Floats:
    """Close relative to the highest close of the last 252 rows, minus 1: between -1 and 0."""
    return panel.close / trailing(panel.close, 252, combine=np.maximum) - 1.0


@feature(rows=6, of_market=True)
def market_vol_5(panel: Panel) -> Floats:
    """Realised volatility over 5 days of the equally weighted mean return of all assets."""
    return realised_volatility(panel, 5)


@feature(rows=22, of_market=True)
def market_vol_21(panel: Panel) -> Floats:
    """Realised volatility over 21 days of the equally weighted mean return of all assets."""
    return realised_volatility(panel, 21)


@target(horizon=5)
def realised_volatility_5_ahead(panel: Panel) -> Floats:
    """Realised volatility over the next 5 rows."""
    return realised_volatility(panel, 5)
