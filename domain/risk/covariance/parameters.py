"""What every trainer of covariances takes; apart, for every parse of a DAG file asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from domain.risk.parameters import TrainerParameter

PARAMETERS: Mapping[str, TrainerParameter] = MappingProxyType(
    {
        "window": TrainerParameter(126, "Sessions that a covariance is estimated from.", 20, 504),
        "holding": TrainerParameter(5, "Sessions until a portfolio is chosen anew, in evaluations.", 1, 63),
    }
)
"""The defaults also hold for models that were trained elsewhere."""
