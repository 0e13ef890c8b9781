"""All trainers by name; no framework is imported, for every parse of a DAG file asks for their parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

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


def trainer(name: str) -> TrainerPort:
    """A trainer by name.

    Raises:
        InvalidInput: no such trainer.
    """
    if name not in TRAINERS:
        raise InvalidInput(TRAINER, name, f"use one of {', '.join(TRAINERS)}")
    return TRAINERS[name]


@contextmanager
def trainers_on_ray(address: str | None) -> Iterator[Callable[[str], TrainerPort]]:
    """The same trainers, which learn on Ray what can be shared; `address` as `RayPrepEngine` takes it.

    Ray is asked for by the first that shares, and left at the end.
    """
    with TorchOnRay(address) as learner:

        def sharing(name: str) -> TrainerPort:
            found = trainer(name)
            if isinstance(found, torch_trainer.TorchSequenceTrainer):
                return torch_trainer.TorchSequenceTrainer(learner)
            return found

        yield sharing
