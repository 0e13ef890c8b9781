"""All trainers by name; no framework is imported, for every parse of a DAG file asks for their parameters."""

from __future__ import annotations

from collections.abc import Mapping

from domain.registry.errors import InvalidInput
from domain.risk.ports import TrainerPort
from veritasvault.adapters import (
    anomaly_trainer,
    covariance_trainer,
    lightgbm_trainer,
    sklearn_trainer,
    tensorflow_trainer,
    torch_trainer,
)
from veritasvault.adapters.frameworks import TRAINER

TRAINERS: Mapping[str, TrainerPort] = {
    **sklearn_trainer.TRAINERS,
    **lightgbm_trainer.TRAINERS,
    **torch_trainer.TRAINERS,
    **tensorflow_trainer.TRAINERS,
    **covariance_trainer.TRAINERS,
    **anomaly_trainer.TRAINERS,
}


def trainer(name: str) -> TrainerPort:
    """A trainer by name.

    Raises:
        InvalidInput: no such trainer.
    """
    if name not in TRAINERS:
        raise InvalidInput(TRAINER, name, f"use one of {', '.join(TRAINERS)}")
    return TRAINERS[name]
