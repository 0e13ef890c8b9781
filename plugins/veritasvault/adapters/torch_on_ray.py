"""Ray Train: the shards of a PyTorch training on as many workers, of this machine or of a running cluster."""

from __future__ import annotations

from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Self

from domain.registry.errors import Unavailable
from veritasvault.adapters.prep_outcome import Outcome, results
from veritasvault.adapters.ray_desk import Served, served_by
from veritasvault.adapters.ray_prep import RayPrepEngine, translated

if TYPE_CHECKING:
    from veritasvault.adapters.sequence_network import Lesson, Weights

_TRIES = 3
_STARTS = 5
"""Ray Train waits for a minute each time until as many workers are there as there are shards."""


class TorchOnRay:
    """A `Learner`: each worker computes the gradient of one shard, all gather those of all, and step alike.

    The workers learn one lesson after the other until this object is left. One that dies ends them all, and
    Ray Train begins again with the lesson they were in; it takes seconds, and what is learnt is the same.

    Args:
        address: as `RayPrepEngine` takes it.
    """

    _workers: Served

    def __init__(self, address: str | None) -> None:
        self._address = address
        self._stack = ExitStack()
        self._shards = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._leave()

    def __call__(self, lesson: Lesson, device: str, shards: int) -> Weights:
        """See `learn`.

        Raises:
            InvalidInput: Ray is not installed.
            Unavailable: no cluster answers, or it could not finish the training.
        """
        try:
            if self._shards != shards:
                self._leave()
                self._start(shards)
            with translated("finish the training"):
                (weights,) = results(self._workers.outcomes([(lesson, device)]))
        except BaseException:
            self._leave()
            raise
        learnt: Weights = weights
        return learnt

    def _start(self, shards: int) -> None:
        engine = self._stack.enter_context(RayPrepEngine(self._address, workers=shards))
        with translated("begin the training"):
            self._require_room(shards)
            serving = served_by(_train, shards, check=engine.require_workers)
            self._workers = self._stack.enter_context(serving)
        self._shards = shards

    def _require_room(self, shards: int) -> None:
        """Ray Train itself would wait for minutes."""
        import ray

        workers = ray.cluster_resources().get("CPU", 0)
        if workers < shards:
            raise Unavailable(
                f"ray cluster {self._address} has {workers:g} CPU(s), and {shards} shards need as many: "
                "start workers, or choose fewer shards"
            )

    def _leave(self) -> None:
        self._shards = 0
        self._stack.close()


def _train(desk: Any, shards: int) -> None:
    """Learn by so many workers until the desk is closed."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    # Where workers are missing, which is not a worker's failure, it would try for ever.
    failures = FailureConfig(max_failures=_TRIES - 1, controller_failure_limit=_STARTS - 1)
    # Nothing is stored there but Ray's own notes: weights are answered at the desk.
    with TemporaryDirectory(prefix="veritas-ray-train-") as notes:
        TorchTrainer(
            _learn_shards,
            train_loop_config={"desk": desk},
            scaling_config=ScalingConfig(num_workers=shards),
            run_config=RunConfig(storage_path=notes, failure_config=failures),
        ).fit()


def _learn_shards(config: dict[str, Any]) -> None:
    """What each worker runs; all of them end a lesson with the same weights, which the first one answers."""
    import ray
    import ray.train
    import torch
    import torch.distributed as group

    from veritasvault.adapters.torch_trainer import learn

    context, desk = ray.train.get_context(), config["desk"]
    rank, shards = context.get_world_rank(), context.get_world_size()

    def gathered(own: list[Any]) -> list[Any]:
        """The gradients of all shards, by rank, from everybody's own."""
        (mine,) = own
        found = [torch.empty_like(mine) for _ in range(shards)]
        group.all_gather(found, mine)
        return found

    number = ray.get(desk.first_open.remote())
    while (work := ray.get(desk.work.remote(number))) is not None:
        lesson, device = work
        weights = learn(lesson, device, shards, [rank], gathered)
        if rank == 0:
            ray.get(desk.answer.remote(number, Outcome(weights, None)))
        number += 1
