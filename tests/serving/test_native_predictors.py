"""What a version was trained as is rebuilt from its artifact, for each trainer that leaves its own form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from domain.registry.errors import IntegrityError, InvalidInput
from tests.adapters.test_trainers import NAMES, SMALL, sample
from tests.serving.shop import Shop
from veritasvault.adapters.trainers import trainer
from veritasvault.serving.model import Model
from veritasvault.serving.native_predictors import native_predictor

FEATURES = sample(100)[0]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


def registered(shop: Shop, name: str, directory: Path) -> Model:
    """A version by this trainer, loaded as services do."""
    features, target = sample()
    learnt = target if name in SMALL else np.empty(0)  # a detector learns from features alone
    model = trainer(name).train(features, learnt, SMALL.get(name, {}), 3, NAMES)
    model.save(directory)
    files = {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }
    return shop.load(shop.register(1, files, name.replace("_", "-")))


@pytest.mark.parametrize("name", ["ridge", "lightgbm", "torch_sequence", "tensorflow_sequence", "student_t"])
def test_the_native_predictor_answers_as_the_onnx_file_does(shop: Shop, name: str, tmp_path: Path) -> None:
    """By the framework's own files, or by the arrays of a graph that is nothing else."""
    with registered(shop, name, tmp_path) as model:
        native = native_predictor(model)
        np.testing.assert_allclose(native(FEATURES), model.predict(FEATURES), rtol=1e-9)


def test_an_artifact_of_onnx_alone_says_that_there_is_nothing_to_compare(shop: Shop, tmp_path: Path) -> None:
    """scikit-learn's trees leave no form of their own that is safe to open."""
    with (
        registered(shop, "hist_gradient_boosting", tmp_path) as model,
        pytest.raises(InvalidInput, match="no form of the model but ONNX"),
    ):
        native_predictor(model)


def test_a_native_file_that_was_changed_in_the_cache_is_not_opened(shop: Shop, tmp_path: Path) -> None:
    """Between loading and rebuilding somebody may write to the cache; the bytes are verified again."""
    with registered(shop, "lightgbm", tmp_path) as model:
        file = model.path / "trees.txt"
        file.chmod(0o600)
        file.write_text(file.read_text().replace("leaf_value", "leaf_valve"))
        with pytest.raises(IntegrityError, match=r"trees\.txt was changed"):
            native_predictor(model)
