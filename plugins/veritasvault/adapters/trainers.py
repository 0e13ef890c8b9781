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
from veritasvault.adapters.torch_on_ray import TorchOnRay

TRAINERS: Mapping[str, TrainerPort] = {
    **sklearn_trainer.TRAINERS,
    **lightgbm_trainer.TRAINERS,
    **torch_trainer.TRAINERS,
    **tensorflow_trainer.TRAINERS,
    **covariance_trainer.TRAINERS,
    **anomaly_trainer.TRAINERS,
}


def trainer_on_ray(name: str, address: str | None) -> TrainerPort:
    """The same trainer, which learns on Ray what can be shared; `address` as `RayPrepEngine` takes it.

    Raises:
        InvalidInput: no such trainer.
    """
    found = trainer(name)
    if isinstance(found, torch_trainer.TorchSequenceTrainer):
        return torch_trainer.TorchSequenceTrainer(TorchOnRay(address))
    return found


def trainer(name: str) -> TrainerPort:
    """A trainer by name.

    Raises:
        InvalidInput: no such trainer.
    """
    if name not in TRAINERS:
        raise InvalidInput(TRAINER, name, f"use one of {', '.join(TRAINERS)}")
    return TRAINERS[name]
