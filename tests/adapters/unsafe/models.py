"""Model formats that can carry code: skops, ONNX, Keras."""

from __future__ import annotations

import io
import json
import re
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tests.adapters import artifacts
from tests.adapters.unsafe import saved_models
from tests.adapters.unsafe.case import Payload, Unsafe, code, file
from tests.adapters.unsafe.programs import keras_config, run_lambdas


def cases() -> Iterator[Unsafe]:
    yield from skops_files()
    yield from onnx_models()
    yield from keras_models()
    yield from saved_models.cases()


def skops_files() -> Iterator[Unsafe]:
    def load_and_transform(folder: Path) -> object:
        loaded = trust_everything(folder)
        return loaded["transform"].transform(loaded["rows"])

    def load_arrays(folder: Path) -> object:
        with zipfile.ZipFile(folder / "model.skops") as archive:
            arrays = [name for name in archive.namelist() if name.endswith(".npy")]
            return [np.load(io.BytesIO(archive.read(name)), allow_pickle=True) for name in arrays]

    yield file("model.skops", calling_skops, trust_everything, title="skops whose schema calls a function")
    yield file(
        "model.skops", evaluating_skops, load_and_transform, title="skops with a function that is not trusted"
    )
    yield file("model.skops", skops_of_objects, load_arrays, title="skops with an array of objects")


def trust_everything(folder: Path) -> Any:
    import skops.io

    content = (folder / "model.skops").read_bytes()
    return skops.io.loads(content, trusted=skops.io.get_untrusted_types(data=content))


def calling_skops(marker: Path) -> bytes:
    """A schema of one node, which is built by a call of `io.open`."""

    def node(module: str, kind: str, loader: str, number: int, **rest: Any) -> dict[str, Any]:
        named = {"__module__": module, "__class__": kind, "__loader__": loader, "__id__": number}
        return {**named, **rest}

    texts = [
        node("builtins", "str", "JsonNode", number, content=json.dumps(text), is_json=True)
        for number, text in enumerate((str(marker), "w"), 3)
    ]
    arguments = node("builtins", "tuple", "TupleNode", 2, content=texts)
    call = node("io", "open", "ConstructorFromReduceNode", 1, content=arguments)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("schema.json", json.dumps({**call, "protocol": 2, "_skops_version": "0.16.0"}))
    return out.getvalue()


def evaluating_skops(marker: Path) -> bytes:
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    return bytes(skops.io.dumps({"transform": FunctionTransformer(eval), "rows": code(marker)}))


def skops_of_objects(marker: Path) -> bytes:
    from sklearn.linear_model import Ridge

    packed = zipfile.ZipFile(io.BytesIO(artifacts.skops_model(Ridge())))
    array = artifacts.npy(np.array([Payload(marker)], dtype=object), allow_pickle=True)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in packed.namelist():
            archive.writestr(name, array if name.endswith(".npy") else packed.read(name))
    return out.getvalue()


def onnx_models() -> Iterator[Unsafe]:
    def run(folder: Path) -> object:
        return execute(onnx.load(folder / "model.onnx", load_external_data=False).graph)

    yield file("model.onnx", python_operator, run, title="ONNX with an operator in Python")
    yield file("model.onnx", nested_operator, run, title="ONNX with an operator in Python in a branch")
    yield file(
        "model.onnx",
        lambda marker: external_weights(str(marker)),
        save_weights,
        title="ONNX whose weights are at an absolute path",
    )
    yield file(
        "model.onnx",
        lambda marker: external_weights(f"../{marker.name}"),
        save_weights,
        title="ONNX whose weights are outside of its directory",
    )


def linear_onnx() -> Any:
    with tempfile.TemporaryDirectory() as folder:
        return onnx.load_from_string(artifacts.onnx_model(Path(folder))["model.onnx"])


def python_operator(marker: Path) -> bytes:
    made = linear_onnx()
    made.graph.node.append(
        onnx.helper.make_node("PyOp", ["x"], ["z"], domain="ai.onnx.contrib", code=code(marker))
    )
    return bytes(made.SerializeToString())


def nested_operator(marker: Path) -> bytes:
    made = linear_onnx()
    node = onnx.helper.make_node("PyOp", [], ["z"], domain="custom", code=code(marker))
    branch = onnx.helper.make_graph([node], "then", [], [])
    made.graph.node.append(onnx.helper.make_node("If", ["c"], ["z"], then_branch=branch))
    return bytes(made.SerializeToString())


def execute(graph: Any) -> None:
    """What a runtime with a library of Python operators does."""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name == "code":
                exec(attribute.s.decode(), {})
            execute(attribute.g)


def external_weights(location: str) -> bytes:
    made = linear_onnx()
    tensor = made.graph.initializer[0]
    length = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return bytes(made.SerializeToString())


def save_weights(folder: Path) -> object:
    """Write new weights to where the model says that they are."""
    loaded = onnx.load(folder / "model.onnx", load_external_data=False)
    for tensor in loaded.graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}["location"]
        (folder / place).write_bytes(b"\0")
    return None


def keras_models() -> Iterator[Unsafe]:
    def zipped(marker: Path) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("metadata.json", "{}")
            archive.writestr("config.json", keras_config(marker))
        return out.getvalue()

    def load_zip(folder: Path) -> object:
        with zipfile.ZipFile(next(folder.iterdir())) as archive:
            return run_lambdas(json.loads(archive.read("config.json")))

    def hdf5(marker: Path) -> bytes:
        """The start of an HDF5 file, and its attribute model_config; the rest is the weights'."""
        return b"\x89HDF\r\n\x1a\n".ljust(2048, b"\0") + b"model_config\0" + keras_config(marker) + b"\0" * 8

    def load_hdf5(folder: Path) -> object:
        found = re.search(rb"model_config\0(\{.*\})\0", next(folder.iterdir()).read_bytes(), re.DOTALL)
        assert found
        return run_lambdas(json.loads(found[1]))

    for name in ("model.keras", "model.skops"):
        yield file(name, zipped, load_zip, title=f"Keras model with a Lambda as {name}")
    for name in ("model.h5", "model.npy"):
        yield file(name, hdf5, load_hdf5, title=f"Keras model in HDF5 with a Lambda as {name}")
