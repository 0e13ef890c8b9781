"""The detector of unusual rows: same inputs same bytes, its threshold in its file, no label learnt."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from domain.registry.errors import InvalidInput
from domain.registry.staging import stage
from veritasvault.adapters.anomaly_trainer import UNIT
from veritasvault.adapters.format_scanner import FormatScanner
from veritasvault.adapters.onnx_forecasts import forecasts
from veritasvault.adapters.trainers import trainer

NAMES = ("return_surprise", "net_outflow", "oracle_gap")


def sample(rows: int = 3000) -> np.ndarray:
    """Heavy tails at three scales, and in every hundredth row two moderate surprises at once."""
    features = np.random.default_rng(7).standard_t(4, (rows, 3)) * [1.0, 0.02, 1e-4] + [0.0, 0.01, 3e-4]
    features[::100, :2] += [6.0, 0.12]
    return features


def trained(**parameters: Any) -> Any:
    return trainer("student_t").train(sample(), np.empty(0), parameters, 3, NAMES)


def saved(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    trained().save(directory)


def digests(directory: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in directory.iterdir()}


def test_new_processes_with_one_and_two_threads_save_the_same_bytes(tmp_path: Path) -> None:
    saved(tmp_path / "here")
    for threads in ("1", "2"):
        there = tmp_path / threads
        command = (
            "from pathlib import Path; from tests.adapters.test_anomaly_trainer import saved;"
            f" saved(Path({str(there)!r}))"
        )
        limits = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        subprocess.run(
            [sys.executable, "-c", command],
            check=True,
            cwd=Path(__file__).parents[2],
            env={**os.environ, **limits},
        )
        assert digests(there) == digests(tmp_path / "here")
    assert set(digests(tmp_path / "here")) == {"model.onnx", "signature.json"}


def test_neither_labels_nor_seed_nor_memory_layout_change_the_model(tmp_path: Path) -> None:
    saved(tmp_path / "plain")
    (tmp_path / "other").mkdir()
    other = trainer("student_t").train(np.asfortranarray(sample()), np.full(3000, 2.0), {}, 99, NAMES)
    other.save(tmp_path / "other")
    assert digests(tmp_path / "other") == digests(tmp_path / "plain")


def test_onnx_runtime_scores_what_the_model_does(tmp_path: Path) -> None:
    """On rows that training did not see too; who reads the file by its signature finds the output."""
    saved(tmp_path)
    rows = np.random.default_rng(0).normal(0, 3, (500, 3))
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"), providers=["CPUExecutionProvider"])
    (scores,) = session.run(["anomaly_score"], {"features": rows})
    np.testing.assert_allclose(scores, trained().predict(rows), rtol=1e-12, atol=0)
    np.testing.assert_array_equal(forecasts(tmp_path, rows), scores)


def test_the_files_are_of_allowed_formats_and_say_what_the_score_is(tmp_path: Path) -> None:
    saved(tmp_path / "artifact")
    onnx.checker.check_model(onnx.load(tmp_path / "artifact" / "model.onnx"), full_check=True)
    signature = json.loads((tmp_path / "artifact" / "signature.json").read_bytes())
    assert signature["input"]["columns"] == list(NAMES)
    assert signature["output"] == {
        "name": "anomaly_score",
        "dtype": "float64",
        "shape": ["n"],
        "unit": UNIT,
    }
    with stage(tmp_path / "artifact", tmp_path / "staging") as staged:
        assert FormatScanner().scan(staged) == ()


@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_the_share_of_training_rows_above_1_is_the_alarm_rate(rate: float) -> None:
    assert np.mean(trained(alarm_rate=rate).predict(sample()) > 1.0) == pytest.approx(rate, abs=1e-3)


def test_two_moderate_surprises_at_once_are_found_and_move_the_scale_little() -> None:
    """24 of the 30 planted rows are among the 30 alarms, and without them the scales are almost the same."""
    model, rows = trained(), sample()
    alarms = np.flatnonzero(model.predict(rows) > 1.0)
    assert np.count_nonzero(alarms % 100 == 0) >= 24
    clean = np.delete(rows, np.s_[::100], axis=0)
    other = trainer("student_t").train(clean, np.empty(0), {}, 0, NAMES)
    ratio = other.predictor.scale / model.predictor.scale
    np.testing.assert_allclose(ratio, 1.0, atol=0.03)


def test_a_feature_that_is_mostly_or_always_the_same_does_no_harm() -> None:
    rows = np.column_stack([sample(), np.zeros(3000), np.ones(3000)])
    rows[:10, 3] = 1.0
    model = trainer("student_t").train(rows, np.empty(0), {}, 0)
    assert np.isfinite(model.predict(rows)).all()
    assert model.predict(rows)[:10].min() > 1.0, "what is rare is unusual"


def test_rows_that_are_all_alike_are_one_sentence() -> None:
    with pytest.raises(InvalidInput, match="give features in which rows differ"):
        trainer("student_t").train(np.ones((50, 2)), np.empty(0), {}, 0)
