"""From a panel to the rows of a feature set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.risk.features.definition import FeatureDefinition
from domain.risk.features.market import MarketFactors
from domain.risk.features.panel import Panel
from domain.risk.features.windows import Floats

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """The rows of a panel that have all features.

    Attributes:
        kept: their indices in the panel, ascending; shape (m,).
        columns: by column name, features in order, shape (m,), all finite.
    """

    kept: Places
    columns: dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Labels:
    """The labels that become known in a panel.

    Attributes:
        known: indices of the rows that end a label's window, ascending; shape (m,).
        of: indices of the rows that the labels are the target of, `horizon` rows of the asset before.
        values: the labels, shape (m,), none NaN.
    """

    known: Places
    of: Places
    values: Floats


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
    """Compute the features; rows with an incomplete window or a value that is not finite are dropped."""
    values = feature_values(panel, definition, factors)
    complete = panel.position >= definition.window - 1
    for column in values:
        complete &= np.isfinite(column)
    kept = np.flatnonzero(complete)
    return FeatureRows(
        kept, {name: column[kept] for name, column in zip(definition.columns, values, strict=True)}
    )


def labels(panel: Panel, definition: FeatureDefinition) -> Labels:
    """Compute the labels whose windows end in the panel."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        values = definition.label(panel)
    known = np.flatnonzero((panel.position >= definition.horizon) & ~np.isnan(values))
    return Labels(known, known - definition.horizon, values[known])
