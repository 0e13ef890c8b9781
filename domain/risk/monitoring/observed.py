"""The rows that a monitoring looks at: those the version was trained on, and the sessions after them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from domain.risk import baselines
from domain.risk.training_set import Days, Flags, Floats, Integers, TrainingSet

BASELINE = "ewma"
"""What a forecast has to beat, where the features that the baseline is made of are there."""


@dataclass(frozen=True, slots=True)
class Observed:
    """Rows of all assets; only the order of their sessions matters.

    Attributes:
        names: of the features.
        days: the sessions, ascending, shape (s,).
        session: index of each row's session, shape (n,).
        reference: which rows the version was trained on, shape (n,).
        features: shape (n, k).
        forecasts: of the version for each row, annualised decimals, shape (n,).
        realised: what came, shape (n,); NaN where it is not known yet.
        baseline: forecasts of `BASELINE`, shape (n,); None where its features are not there.
        horizon: sessions after which an outcome is known.
    """

    names: tuple[str, ...]
    days: Days
    session: Integers = field(repr=False)
    reference: Flags = field(repr=False)
    features: Floats = field(repr=False)
    forecasts: Floats = field(repr=False)
    realised: Floats = field(repr=False)
    baseline: Floats | None = field(repr=False)
    horizon: int

    @classmethod
    def of(cls, trained: TrainingSet, recent: TrainingSet, forecast: Callable[[Floats], Floats]) -> Self:
        """Join what a version was trained on with what there is now.

        Args:
            trained: made from the snapshot of the training. Rows without a label there are not of the
                reference, and are taken from `recent`, where their outcome is known.
            recent: made from today's source, with the same features.
            forecast: of the version, shape (n,) for features (n, k).
        """
        old = trained.known
        new = recent.dates > trained.dates[old].max()
        features = np.concatenate([trained.features[old], recent.features[new]])
        days, session = np.unique(
            np.concatenate([trained.dates[old], recent.dates[new]]), return_inverse=True
        )
        columns = {name: features[:, place] for place, name in enumerate(trained.names)}
        return cls(
            names=trained.names,
            days=days,
            session=session,
            reference=np.repeat([True, False], [np.count_nonzero(old), np.count_nonzero(new)]),
            features=features,
            # An unusual input can lead a linear model below zero, which is no volatility.
            forecasts=np.maximum(forecast(features), 0.0),
            realised=np.concatenate([trained.target[old], recent.target[new]]),
            baseline=baselines.forecasts(columns).get(BASELINE),
            horizon=trained.horizon,
        )

    @property
    def sessions_of_reference(self) -> int:
        """How many of the sessions, the first ones, belong to the reference."""
        return int(self.session[self.reference].max()) + 1
