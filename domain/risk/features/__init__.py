"""Features and targets: named kernels on one partition, and the definition of a feature set."""

from domain.risk.features.declare import Feature, Target, feature, target
from domain.risk.features.definition import FeatureDefinition, feature_definition
from domain.risk.features.panel import Panel
from domain.risk.features.windows import TRADING_DAYS, annualised, lagged, log, trailing

__all__ = [
    "TRADING_DAYS",
    "Feature",
    "FeatureDefinition",
    "Panel",
    "Target",
    "annualised",
    "feature",
    "feature_definition",
    "lagged",
    "log",
    "target",
    "trailing",
]
