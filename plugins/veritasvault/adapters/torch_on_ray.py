"""Ray Train: the shards of a PyTorch training on as many workers, of this machine or of a running cluster."""

from __future__ import annotations

from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from veritasvault.adapters.ray_prep import RayPrepEngine, translated

if TYPE_CHECKING:
    from veritasvault.adapters.sequence_network import Lesson, Weights

_TRIES = 3


@dataclass(frozen=True, slots=True)
class TorchOnRay:
    """A `Learner`: each worker computes the gradient of one shard, all gather those of all, and step alike.

    A worker that dies ends the training, which Ray Train begins again from the start; it takes seconds, and
    what is learnt is the same.

    Attributes:
        address: as `RayPrepEngine` takes it.
    """

    address: str | None

    def __call__(self, lesson: Lesson, device: str, shards: int) -> Weights:
        """See `learn`.

        Raises:
            InvalidInput: Ray is not installed.
            Unavailable: no cluster answers, or it could not finish the training.
        """
        with RayPrepEngine(self.address, workers=shards), translated("finish the training"):
            from ray.train import FailureConfig, RunConfig, ScalingConfig
            from ray.train.torch import TorchTrainer

            # Nothing is stored there but Ray's own notes: the weights come back as an answer.
            with TemporaryDirectory(prefix="veritas-ray-train-") as notes:
                training = TorchTrainer(
                    _learn_a_shard,
                    train_loop_config={"lesson": lesson, "device": device, "shards": shards},
                    scaling_config=ScalingConfig(num_workers=shards),
                    run_config=RunConfig(
                        storage_path=notes, failure_config=FailureConfig(max_failures=_TRIES - 1)
                    ),
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
