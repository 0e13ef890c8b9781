"""What evidence says of a model beside its figures, for the readers of its card."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from domain.risk.features import Feature, FeatureDefinition, Target
from domain.risk.training_set import TrainingSet

METRICS = (
    {
        "name": "qlike",
        "about": "Mean of x - ln(x) - 1 with x = realised over forecast variance: 0 if perfect, less is "
        "better; harder on forecasts that are too low than on those that are too high.",
        "better": "less",
    },
    {
        "name": "rmse",
        "about": "Root of the mean squared error of annualised volatility, in its unit; less is better.",
        "better": "less",
    },
    {
        "name": "r2",
        "about": "Share of the variance of realised volatility that is explained: 1 if perfect, more is "
        "better; below 0 the mean would have been better.",
        "better": "more",
    },
)
"""The metrics of `metrics.py` in words, the one that counts first."""


def described(
    definition: FeatureDefinition,
    training: TrainingSet,
    calendar: str,
    metrics: Sequence[Mapping[str, str]],
    statements: Mapping[str, str],
) -> dict[str, Any]:
    """Features, target, data, metrics and what the owner states, as plain JSON.

    Args:
        metrics: of the problem, see `domain.risk.problems.contract.Problem`.
        statements: texts by name, see `domain.registry.card.measured.STATEMENTS`.
    """
    return {
        "features": [
            {"name": feature.name, "about": _about(feature), "rows": feature.rows}
            for feature in definition.features
        ],
        "target": {
            "name": definition.target,
            "about": _about(definition.label),
            "horizon": definition.horizon,
        },
        "data": {
            "calendar": calendar,
            "first_session": training.first.isoformat(),
            "last_session": training.last.isoformat(),
            "rows_with_features": int(training.target.size),
            "rows_with_label": int(training.known.sum()),
        },
        "metrics": [dict(metric) for metric in metrics],
        "statements": dict(statements),
    }


def _about(declared: Feature | Target) -> str:
    """The first line of what its author wrote on it; empty if that is nothing."""
    return (inspect.getdoc(declared.kernel) or "").partition("\n")[0]
