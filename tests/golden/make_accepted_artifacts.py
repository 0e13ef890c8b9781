"""Makes `v1/accepted/`: small artifacts as the real libraries write them, which the scanner has to admit.

The libraries are no dependency of the project. Run this once in an environment of its own:

    pip install tensorflow==2.21.* torch==2.13.* xgboost scikit-learn skl2onnx skops safetensors
    python tests/golden/make_accepted_artifacts.py

It also writes `tensorflow.json`: the messages of a SavedModel and the operators, as TensorFlow itself lists
them, so that a test can compare the scanner's tables with them. A new release gets a new directory; what is
here stays, because artifacts of old releases have to stay acceptable.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
ACCEPTED = Path(__file__).parent / "v1" / "accepted"


def rows() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Fifty rows of four features, and a target that depends on them."""
    generator = np.random.default_rng(7)
    x = generator.normal(size=(50, 4)).astype(np.float32)
    return x, (x @ np.array([0.5, -1.0, 0.25, 2.0], np.float32))


def folder(name: str) -> Path:
    path = ACCEPTED / name
    path.mkdir(parents=True)
    return path


def scikit_learn() -> None:
    """A pipeline as ONNX and as skops."""
    import skops.io
    from skl2onnx import to_onnx
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x, y = rows()
    model = make_pipeline(StandardScaler(), Ridge()).fit(x, y)
    (folder("scikit_learn_onnx") / "model.onnx").write_bytes(to_onnx(model, x[:1]).SerializeToString())
    skops.io.dump(model, folder("scikit_learn_skops") / "model.skops")


def forest() -> None:
    """A random forest as ONNX, whose attributes hold long lists of numbers."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestRegressor

    x, y = rows()
    model = RandomForestRegressor(5, max_depth=4, random_state=0).fit(x, y)
    content = to_onnx(model, x[:1]).SerializeToString()
    (folder("scikit_learn_forest_onnx") / "model.onnx").write_bytes(content)


def pytorch() -> None:
    """The state of a small network as safetensors, with its sizes beside it."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(7)
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    place = folder("pytorch")
    save_file(network.state_dict(), place / "model.safetensors", metadata={"format": "pt"})
    (place / "config.json").write_text(json.dumps({"activation": "tanh", "sizes": [4, 8, 1]}) + "\n")


def xgboost() -> None:
    """Boosted trees as XGBoost's JSON."""
    import xgboost

    x, y = rows()
    model = xgboost.XGBRegressor(n_estimators=5, max_depth=3, random_state=0).fit(x, y)
    model.save_model(folder("xgboost") / "model.json")


def tensorflow() -> None:
    """A Keras network with a recurrent layer, and a module with a loop, tables and texts as variables."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(7)
    layers = [keras.Input((5, 3)), keras.layers.LSTM(4), keras.layers.Dense(1)]
    keras.Sequential(layers).export(ACCEPTED / "keras", verbose=False)

    class Module(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.weights = tf.Variable(tf.ones((3, 1)))
            self.names = tf.Variable(["AAPL", "BRK.B", "\u20ac"])
            self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
            self.table.insert(["AAPL", "MSFT"], [1, 2])
            self.fixed = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), -1)

        @tf.function(input_signature=[tf.TensorSpec((None, 3))])
        def __call__(self, x: Any) -> Any:
            step = tf.constant(0)
            while step < 3:
                step += 1
                x = tf.cond(tf.reduce_sum(x) > 0, lambda: x * 2, lambda: x)  # noqa: B023
            return x @ self.weights

        @tf.function(input_signature=[tf.TensorSpec((None, 3)), tf.TensorSpec((None, 1))])
        def train(self, x: Any, y: Any) -> Any:
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((x @ self.weights - y) ** 2)
            self.weights.assign_sub(0.1 * tape.gradient(loss, self.weights))
            return loss

    tf.saved_model.save(Module(), ACCEPTED / "tensorflow")
    for name in ("keras", "tensorflow"):
        # No store keeps empty directories, and loading does without this one.
        (ACCEPTED / name / "assets").rmdir()


def descriptors() -> None:
    """What TensorFlow says of its own messages and operators."""
    import tensorflow as tf
    from tensorflow.core.protobuf import (
        fingerprint_pb2,
        saved_model_pb2,
        tensor_bundle_pb2,
        trackable_object_graph_pb2,
    )

    scalars = {1: "fixed64", 2: "fixed32", 6: "fixed64", 7: "fixed32", 9: "string", 12: "bytes"}
    messages: dict[str, dict[int, list[Any]]] = {}

    def name(descriptor: Any) -> str:
        return str(descriptor.full_name).removeprefix("tensorflow.").removeprefix("google.protobuf.")

    def walk(descriptor: Any) -> None:
        if name(descriptor) in messages:
            return
        messages[name(descriptor)] = {
            field.number: [
                field.name,
                name(field.message_type) if field.message_type else scalars.get(field.type, "varint"),
                field.is_repeated,
            ]
            for field in descriptor.fields
        }
        for field in descriptor.fields:
            if field.message_type:
                walk(field.message_type)

    for message in (
        saved_model_pb2.SavedModel,
        fingerprint_pb2.FingerprintDef,
        tensor_bundle_pb2.BundleHeaderProto,
        tensor_bundle_pb2.BundleEntryProto,
        trackable_object_graph_pb2.TrackableObjectGraph,
    ):
        walk(message.DESCRIPTOR)
    operators = sorted(name for name in dir(tf.raw_ops) if not name.startswith("_"))
    document = {"messages": messages, "operators": operators}
    (ACCEPTED.parent / "tensorflow.json").write_text(json.dumps(document, sort_keys=True) + "\n")


if __name__ == "__main__":
    shutil.rmtree(ACCEPTED, ignore_errors=True)
    for make in (scikit_learn, forest, pytorch, xgboost, tensorflow, descriptors):
        make()
