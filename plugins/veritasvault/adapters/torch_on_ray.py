"""Ray Train: the shards of a PyTorch training on as many workers, of this machine or of a running cluster."""

from __future__ import annotations

from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from veritasvault.adapters.ray_prep import RayPrepEngine, translated

if TYPE_CHECKING:
    from veritasvault.adapters.sequence_network import Lesson, Weights

_TRIES = 3


class TorchOnRay:
    """A `Learner`: each worker computes the gradient of one shard, all gather those of all, and step alike.

    A worker that dies ends the training, which Ray Train begins again from the start; it takes seconds, and
    what is learnt is the same. The connection, or the Ray that is started here, is kept for the next training
    until this object is left.

    Args:
        address: as `RayPrepEngine` takes it.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._connection = ExitStack()
        self._workers = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._disconnect()

    def __call__(self, lesson: Lesson, device: str, shards: int) -> Weights:
        """See `learn`.

        Raises:
            InvalidInput: Ray is not installed.
            Unavailable: no cluster answers, or it could not finish the training.
        """
        try:
            self._connect(shards)
            with translated("finish the training"):
                return _trained({"lesson": lesson, "device": device, "shards": shards})
        except BaseException:
            self._disconnect()
            raise

    def _connect(self, shards: int) -> None:
        """Ray that is started here has as many workers as there are shards."""
        if self._workers != shards:
            self._disconnect()
            self._connection.enter_context(RayPrepEngine(self._address, workers=shards))
            self._workers = shards

    def _disconnect(self) -> None:
        self._workers = 0
        self._connection.close()


def _trained(config: dict[str, Any]) -> Weights:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    # Nothing is stored there but Ray's own notes: the weights come back as an answer.
    with TemporaryDirectory(prefix="veritas-ray-train-") as notes:
        training = TorchTrainer(
            _learn_a_shard,
            train_loop_config=config,
            scaling_config=ScalingConfig(num_workers=config["shards"]),
            run_config=RunConfig(storage_path=notes, failure_config=FailureConfig(max_failures=_TRIES - 1)),
        )
        weights: Weights = training.fit().return_value
        return weights


def _learn_a_shard(config: dict[str, Any]) -> Weights:
    """What each worker runs; all of them end with the same weights."""
    import ray.train
    import torch
    import torch.distributed as group

    from veritasvault.adapters.torch_trainer import learn

    context = ray.train.get_context()

    def gathered(own: list[Any]) -> list[Any]:
        """The gradients of all shards, by rank, from everybody's own."""
        (mine,) = own
        found = [torch.empty_like(mine) for _ in range(context.get_world_size())]
        group.all_gather(found, mine)
        return found

    return learn(config["lesson"], config["device"], config["shards"], [context.get_world_rank()], gathered)
