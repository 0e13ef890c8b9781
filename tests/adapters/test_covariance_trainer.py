"""Trainers of covariance: their files give what they do, and are the same bytes each time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from domain.registry.errors import IntegrityError, InvalidInput
from domain.risk.covariance.parameters import PARAMETERS
from domain.risk.covariance.shrinkage import Shrinkage
from domain.risk.training_set import Floats
from veritasvault.adapters.covariance_trainer import TRAINERS
from veritasvault.adapters.onnx_export import run_onnx
from veritasvault.adapters.onnx_shrinkage import ANSWER, GIVEN, require_agreement, to_onnx
from veritasvault.adapters.uri_source import UriSource
from veritasvault.serving.onnx_predictor import OnnxPredictor

NAMES = ("BBY", "AAA", "CVX")


def drawn(sessions: int, assets: int) -> Floats:
    random = np.random.default_rng(sessions)
    values: Floats = 0.01 * (random.normal(size=(sessions, assets)) + random.normal(size=(sessions, 1)))
    return values


def trained(name: str, directory: Path, returns: Floats, **parameters: float) -> Floats:
    """What a trained model says of the last 30 sessions; its files are in the directory afterwards."""
    model = TRAINERS[name].train(returns, np.empty(0), {"window": 30, **parameters}, 0, NAMES)
    directory.mkdir(exist_ok=True)
    model.save(directory)
    return model.predict(returns[-30:])


@pytest.mark.parametrize("name", list(TRAINERS))
def test_what_is_stored_gives_the_covariance_of_any_window(name: str, tmp_path: Path) -> None:
    """By its signature also of a frame whose columns are in another order."""
    returns = drawn(90, 3)
    said = trained(name, tmp_path, returns)
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(contents) == ["model.onnx", "signature.json"]
    predictor = OnnxPredictor("model.onnx", contents)
    frame = {name: returns[-30:, place] for place, name in reversed(list(enumerate(NAMES)))}
    np.testing.assert_allclose(predictor.predict(frame), said, rtol=1e-12)
    assert predictor.predict(returns[:7]).shape == (3, 3)


@pytest.mark.parametrize("estimator", [Shrinkage("sample"), Shrinkage("ledoit_wolf"), Shrinkage("oas")])
@pytest.mark.parametrize("returns", [np.zeros((5, 2)), np.full((5, 2), 0.01), drawn(4, 8)])
def test_windows_of_no_or_little_variation_are_the_same_in_the_file(
    estimator: Shrinkage, returns: Floats
) -> None:
    content = to_onnx(estimator, returns.shape[1])
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    found = run_onnx(content, returns, given=GIVEN, answer=ANSWER)
    np.testing.assert_allclose(found, estimator.predict(returns), rtol=1e-12, atol=1e-18)


def test_a_file_of_another_estimator_is_not_kept() -> None:
    content = to_onnx(Shrinkage("", 0.2), 3)
    require_agreement(content, Shrinkage("", 0.2), drawn(30, 3))
    with pytest.raises(IntegrityError, match="another covariance"):
        require_agreement(content, Shrinkage("", 0.2 + 1e-9), drawn(30, 3))


TRAIN = """
import sys
from pathlib import Path
import numpy as np
from veritasvault.adapters.covariance_trainer import TRAINERS
returns = np.load(sys.argv[1])
names = [f"A{place:02}" for place in range(returns.shape[1])]
for name, trainer in TRAINERS.items():
    place = Path(sys.argv[2]) / name
    place.mkdir(parents=True)
    trainer.train(returns, np.empty(0), {"holding": 21}, 0, names).save(place)
"""


def test_one_thread_and_two_give_the_same_files(tmp_path: Path) -> None:
    """On ten years of the real panel, in processes of their own."""
    import polars as pl

    frame = pl.read_parquet(UriSource().fetch("sample://sp500", tmp_path)).sort("date", "asset")
    prices = frame.pivot("asset", index="date", values="close").drop("date").tail(2520).to_numpy()
    np.save(tmp_path / "returns.npy", prices[1:] / prices[:-1] - 1.0)
    made = []
    for threads in ("1", "2"):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        arguments = [sys.executable, "-c", TRAIN, tmp_path / "returns.npy", tmp_path / threads]
        subprocess.run(arguments, env=environment, check=True)
        files = sorted(path for path in (tmp_path / threads).rglob("*") if path.is_file())
        made.append([(path.relative_to(tmp_path / threads), path.read_bytes()) for path in files])
    assert len(made[0]) == 2 * len(TRAINERS)
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("returns", "parameters", "said"),
    [
        (drawn(20, 3), {}, "give 30 sessions or more of 3 assets"),
        (drawn(60, 2), {}, "give 30 sessions or more of 3 assets"),
        (np.where(np.arange(180).reshape(60, 3) == 178, np.nan, drawn(60, 3)), {}, "AAA.*leave out"),
        (drawn(60, 3), {"window": 10}, "give a number from 20 to 504"),
        (drawn(60, 3), {"alpha": 1.0}, "learned_shrinkage has no such one, use window, holding"),
    ],
)
def test_what_cannot_be_learnt_from_is_one_sentence(
    returns: Floats, parameters: dict[str, float], said: str, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInput, match=said):
        trained("learned_shrinkage", tmp_path, returns, **parameters)


def test_all_trainers_take_the_same_parameters() -> None:
    assert all(trainer.parameters() == PARAMETERS for trainer in TRAINERS.values())
