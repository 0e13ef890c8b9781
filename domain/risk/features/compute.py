"""From a panel to the rows of a feature set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.risk.features.definition import FeatureDefinition
from domain.risk.features.market import MarketFactors
from domain.risk.features.panel import Panel
from domain.risk.features.windows import Floats


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """The rows of a panel that have all features.

    Attributes:
        kept: their indices in the panel, ascending; shape (m,).
        columns: by column name, features in order and then the target, shape (m,); only the target has NaN,
            where its label window is not complete.
    """

    kept: NDArray[np.intp]
    columns: dict[str, Floats]


def feature_values(panel: Panel, definition: FeatureDefinition, factors: MarketFactors) -> list[Floats]:
    """Each feature's values in order, of shape (n,); meaningless in rows with position < window - 1.

    Args:
        factors: the market's features by date, or `NO_FACTORS`.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return [
            factors.at(feature.name, panel.date) if feature.of_market else feature(panel)
            for feature in definition.features
        ]


def feature_rows(panel: Panel, definition: FeatureDefinition, factors: MarketFactors) -> FeatureRows:
    """Compute a definition's columns; rows with an incomplete window or a value not finite are dropped."""
    values = feature_values(panel, definition, factors)
    complete = panel.position >= definition.window - 1
    for column in values:
        complete &= np.isfinite(column)
    kept = np.flatnonzero(complete)
    label = definition.label
    named = dict(zip(definition.columns, values, strict=True)) | {label.name: label(panel)}
    return FeatureRows(kept, {name: column[kept] for name, column in named.items()})
