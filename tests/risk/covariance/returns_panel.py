"""Training sets of daily returns that move together, for tests of covariances."""

from __future__ import annotations

import numpy as np

from domain.risk.training_set import Floats, TrainingSet, label_ends

HORIZON = 5


def returns_set(values: Floats) -> TrainingSet:
    """Returns of shape (sessions, assets) as a training set, with the target that the specification names."""
    sessions, width = values.shape
    days = np.busday_offset(np.datetime64("2012-01-02"), np.arange(sessions))
    squares = np.vstack([np.zeros((1, width)), np.cumsum(np.square(values), axis=0)])
    target = np.full(values.shape, np.nan)
    ahead = squares[1 + HORIZON :] - squares[1:-HORIZON]
    target[:-HORIZON] = np.sqrt(252 * ahead / HORIZON)
    assets = np.repeat(np.arange(width), sessions)
    dates = np.tile(days, width)
    names = tuple(f"A{place}" for place in range(width))
    return TrainingSet(
        asset_names=names,
        expected=names,
        names=("daily_return",),
        horizon=HORIZON,
        assets=assets,
        dates=dates,
        label_ends=label_ends(assets, dates, HORIZON),
        features=values.T.reshape(-1, 1),
        target=target.T.reshape(-1),
    )


def common_market(sessions: int = 1300, assets: int = 5) -> Floats:
    """Returns of shares that one factor drives, of different volatilities."""
    random = np.random.default_rng(5)
    moves = random.normal(size=(sessions, assets)) + random.normal(size=(sessions, 1))
    scaled: Floats = moves * np.linspace(0.006, 0.014, assets)
    return scaled
