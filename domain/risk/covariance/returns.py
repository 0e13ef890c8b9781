"""Daily returns: the feature that covariances are made of, and all assets' side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from domain.registry.errors import InvalidInput
from domain.risk.features import Panel, feature, lagged
from domain.risk.training_set import Days, Flags, Floats, Integers, TrainingSet


@feature(rows=2)
def daily_return(panel: Panel) -> Floats:
    """Simple return since the row before; those of a portfolio are the weighted sum of its assets'."""
    return panel.close / lagged(panel.close, 1) - 1.0


@dataclass(frozen=True, slots=True)
class Returns:
    """Simple daily returns by session and asset.

    Attributes:
        assets: names, sorted.
        sessions: ascending, shape (t,), datetime64[D].
        values: decimals, shape (t, k); NaN where an asset has no return on a session.
    """

    assets: tuple[str, ...]
    sessions: Days
    values: Floats

    @classmethod
    def of(cls, training: TrainingSet, rows: Integers | None = None) -> Self:
        """Of all rows of a training set, or of some of them.

        Raises:
            InvalidInput: its only feature is not `daily_return`.
        """
        if training.names != (daily_return.name,):
            raise InvalidInput(
                "features.columns",
                list(training.names),
                f"name {daily_return.module}:{daily_return.name} alone, covariances are made of nothing else",
            )
        chosen = np.arange(training.dates.size) if rows is None else rows
        sessions, place = np.unique(training.dates[chosen], return_inverse=True)
        values = np.full((sessions.size, len(training.asset_names)), np.nan)
        values[place, training.assets[chosen]] = training.features[chosen, 0]
        return cls(training.asset_names, sessions, values)

    def complete(self, window: int) -> Flags:
        """Of each session, which assets have a return on each of the `window` sessions before it.

        Shape (t + 1, k): the last row speaks of the session after all there are.
        """
        there = np.zeros((self.values.shape[0] + 1, self.values.shape[1]), dtype=np.int64)
        np.cumsum(np.isfinite(self.values), axis=0, out=there[1:])
        flags: Flags = np.zeros(there.shape, dtype=np.bool_)
        flags[window:] = there[window:] - there[: there.shape[0] - window] == window
        return flags

    def only(self, assets: Flags) -> Self:
        """Some of the assets alone; `assets` has shape (k,)."""
        names = [name for name, kept in zip(self.assets, assets.tolist(), strict=True) if kept]
        return type(self)(tuple(names), self.sessions, self.values[:, assets])
