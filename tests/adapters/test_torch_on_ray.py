"""Data-parallel PyTorch: shards of a batch by Ray Train's workers learn what one process learns."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest

from domain.registry.errors import Unavailable
from tests.adapters.test_trainers import NAMES, SMALL, sample
from tests.servers.prep_clusters import Cluster, ray_cluster, running
from veritasvault.adapters.torch_trainer import TorchSequenceTrainer
from veritasvault.adapters.trainers import trainer, trainers_on_ray

SMALL_TORCH = SMALL["torch_sequence"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with ray_cluster(tmp_path_factory.mktemp("ray")) as started:
        yield started


def saved(found: TorchSequenceTrainer, parameters: dict[str, Any], place: Path) -> dict[str, bytes]:
    """The files of a network that was learnt from the sample."""
    place.mkdir()
    found.train(*sample(), {**SMALL_TORCH, **parameters}, 3, NAMES).save(place)
    return {path.name: path.read_bytes() for path in place.iterdir()}


def here() -> TorchSequenceTrainer:
    found = trainer("torch_sequence")
    assert isinstance(found, TorchSequenceTrainer)
    return found


@contextmanager
def on_ray(address: str) -> Iterator[TorchSequenceTrainer]:
    with trainers_on_ray(address) as trainer_of:
        found = trainer_of("torch_sequence")
        assert isinstance(found, TorchSequenceTrainer)
        yield found


@pytest.mark.parametrize("shards", [2, 3, 7])
def test_shards_learn_nearly_what_whole_batches_do(shards: int) -> None:
    """Their gradients are parts of one sum; also batches of fewer rows than shards are learnt from."""
    features, target = sample()
    whole = here().train(features, target, SMALL_TORCH, 3, NAMES).predict(features)
    split = here().train(features, target, {**SMALL_TORCH, "shards": shards}, 3, NAMES).predict(features)
    np.testing.assert_allclose(split, whole, rtol=1e-6)
    few = {**SMALL_TORCH, "batch_size": 5, "epochs": 1, "shards": shards}
    answers = here().train(features[:12], target[:12], few, 3, NAMES).predict(features[:12])
    assert np.all(answers > 0.0)


@pytest.mark.ray
def test_two_workers_save_the_bytes_of_one_process_also_after_one_was_killed(
    cluster: Cluster, tmp_path: Path
) -> None:
    """So a version that a cluster trained is reproduced without one. Ray is left at the end."""
    from ray.util.client import num_connected_contexts

    long = {"shards": 2, "epochs": 200}
    expected = saved(here(), long, tmp_path / "here")
    ended = Event()
    with ThreadPoolExecutor(1) as pool, on_ray(cluster.address) as sharing:
        killed = pool.submit(kill_one_of_two_workers, cluster, ended.is_set)
        found = saved(sharing, long, tmp_path / "ray")
        ended.set()
        killed.result()
        assert num_connected_contexts() == 1
    assert found == expected
    assert num_connected_contexts() == 0


@pytest.mark.ray
def test_more_shards_than_processors_are_one_sentence(cluster: Cluster) -> None:
    """Ray Train would wait without an end; who starts more workers may retry."""
    with (
        on_ray(cluster.address) as sharing,
        pytest.raises(Unavailable, match="start workers, or choose fewer"),
    ):
        sharing.train(*sample(), {**SMALL_TORCH, "shards": 3}, 3, NAMES)


@pytest.mark.ray
def test_one_shard_and_other_trainers_need_no_ray(tmp_path: Path) -> None:
    """Nobody listens there, and nobody is asked."""
    nobody = "ray://127.0.0.1:1"
    with on_ray(nobody) as sharing:
        assert saved(sharing, {}, tmp_path / "ray") == saved(here(), {}, tmp_path / "here")
    with trainers_on_ray(nobody) as trainer_of:
        assert trainer_of("ridge") is trainer("ridge")


def kill_one_of_two_workers(cluster: Cluster, ended: Callable[[], bool]) -> None:
    """Once both have begun to learn, which takes them processor time."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert not ended(), "it ended before a worker could be killed"
        busy = [
            worker for worker in running("RayTrainWorker", cluster.workers) if worker.cpu_times().user > 8.0
        ]
        if len(busy) == 2:
            busy[0].kill()
            return
        time.sleep(0.02)
    raise AssertionError("no worker has learnt anything")
