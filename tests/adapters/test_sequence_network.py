"""The network over horizons: what it reads, that both frameworks learn the same, that their files open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from tests.adapters.test_trainers import NAMES, ROOT, SMALL, sample
from veritasvault.adapters.onnx_model import OnnxModel
from veritasvault.adapters.sequence_network import Inputs, sequence_of
from veritasvault.adapters.torch_trainer import TorchNetwork
from veritasvault.adapters.trainers import trainer

FRAMEWORKS = ("torch_sequence", "tensorflow_sequence")


@pytest.fixture(scope="module")
def learnt() -> dict[str, OnnxModel]:
    """The same rows, learnt by both."""
    models = {}
    for name in FRAMEWORKS:
        model = trainer(name).train(*sample(), SMALL[name], 3, NAMES)
        assert isinstance(model, OnnxModel)
        models[name] = model
    return models


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (("rv_1", "rv_5", "rv_21", "ewma_vol"), ("rv_21", "rv_5", "rv_1")),
        (("drawdown_252", "rv_5", "log_return", "rv_21"), ("rv_21", "rv_5")),
        (("a_2", "a_9", "b_3", "b_1"), ("a_9", "a_2")),
        (("log_return", "ewma_vol"), ("log_return", "ewma_vol")),
        (("log_return", "momentum_21"), ("log_return", "momentum_21")),
    ],
)
def test_the_windows_of_one_feature_are_read_from_the_longest_to_the_shortest(
    names: tuple[str, ...], read: tuple[str, ...]
) -> None:
    """The largest family of windows is the sequence; without one it is all features as they stand."""
    assert tuple(names[place] for place in sequence_of(names)) == read


def test_each_step_sees_its_own_window_and_all_other_features() -> None:
    inputs = Inputs.of(sample(50)[0], NAMES, 0.1)
    assert inputs.columns == ((1, 2), (0, 2))
    seen = inputs.standardised(sample(50)[0])
    np.testing.assert_allclose(seen.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(seen.std(axis=0), 1.0)


def test_both_frameworks_learn_the_same_network(learnt: dict[str, OnnxModel]) -> None:
    """From the same first weights in the same steps; two implementations check each other's gradients."""
    features, _ = sample()
    ours, theirs = (learnt[name].predict(features) for name in FRAMEWORKS)
    np.testing.assert_allclose(ours, theirs, rtol=2e-5)
    untaught = trainer("torch_sequence").train(*sample(), {**SMALL["torch_sequence"], "epochs": 1}, 3, NAMES)
    assert np.max(np.abs(untaught.predict(features) / ours - 1.0)) > 1e-3, "learning has an effect"


def test_another_seed_learns_another_network(learnt: dict[str, OnnxModel]) -> None:
    other = trainer("torch_sequence").train(*sample(), SMALL["torch_sequence"], 4, NAMES)
    assert not np.allclose(other.predict(sample()[0]), learnt["torch_sequence"].predict(sample()[0]))


def test_the_named_code_makes_the_network_of_its_tensors(
    learnt: dict[str, OnnxModel], tmp_path: Path
) -> None:
    """network.json names what opens network.safetensors; it forecasts the same bits."""
    learnt["torch_sequence"].save(tmp_path)
    module, _, name = json.loads((tmp_path / "network.json").read_bytes())["architecture"].partition(":")
    network = getattr(import_module(module), name)(tmp_path)
    assert isinstance(network, TorchNetwork)
    features, _ = sample(100)
    np.testing.assert_array_equal(network.predict(features), learnt["torch_sequence"].predict(features))


def test_tensorflow_loads_the_saved_model_without_our_code(
    learnt: dict[str, OnnxModel], tmp_path: Path
) -> None:
    """What was taken out of it is not missed: it loads twice under one process, and forecasts the same."""
    import tensorflow as tf

    learnt["tensorflow_sequence"].save(tmp_path)
    features, _ = sample(100)
    for _ in range(2):
        run = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["serving_default"]
        volatilities = run(features=tf.constant(features))["annualised_volatility"].numpy()
        np.testing.assert_allclose(volatilities, learnt["tensorflow_sequence"].predict(features), rtol=1e-12)


def test_a_second_model_of_the_process_is_saved_as_the_same_bytes(
    learnt: dict[str, OnnxModel], tmp_path: Path
) -> None:
    """TensorFlow counts functions and objects of a process, and none of its numbers is in the file."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        learnt["tensorflow_sequence"].save(tmp_path / name)
    first, second = (
        (tmp_path / name / "saved_model/saved_model.pb").read_bytes() for name in ("first", "second")
    )
    assert first == second


def test_tensorflow_that_was_started_with_more_threads_is_refused() -> None:
    """Its sums would depend on the machine, and it cannot be told any more."""
    program = (
        "import tensorflow as tf; tf.config.threading.set_intra_op_parallelism_threads(2); tf.constant(1.0)\n"
        "from tests.adapters.test_trainers import sample\n"
        "from veritasvault.adapters.trainers import trainer\n"
        "trainer('tensorflow_sequence').train(*sample(50), {}, 0)"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, cwd=ROOT, env={**os.environ}, capture_output=True, text=True, check=False)
    assert "Unavailable: TensorFlow was started with several threads" in ended.stderr
