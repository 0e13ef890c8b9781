"""Makes real files of each format for the tests, with the libraries that users would take or by hand."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from domain.registry.artifact import Artifact, ArtifactFile, StagedArtifact
from domain.registry.canonical import digest


def staged(root: Path, files: dict[str, bytes]) -> StagedArtifact:
    """Write files below a new directory and describe them as staging would."""
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    described = (ArtifactFile(path, len(content), digest(content)) for path, content in files.items())
    return StagedArtifact(root, Artifact(tuple(described)))


def safetensors(tensors: dict[str, np.ndarray[Any, Any]] | None = None, **metadata: str) -> bytes:
    """A safetensors file by the specification; float32 tensors."""
    tensors = (
        {"w": np.arange(6, dtype="<f4").reshape(2, 3), "b": np.zeros(3, "<f4")}
        if tensors is None
        else tensors
    )
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    payload = b""
    for name, tensor in tensors.items():
        data = tensor.tobytes()
        offsets = [len(payload), len(payload) + len(data)]
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": offsets}
        payload += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + payload


def onnx_model(tmp_path: Path, **save: Any) -> dict[str, bytes]:
    """A linear model saved by the onnx library; `save` are arguments of onnx.save."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.arange(2048, dtype=np.float32).reshape(2048, 1), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2048])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [weights],
    )
    folder = tmp_path / "made-by-onnx"
    folder.mkdir()
    onnx.save(helper.make_model(graph), str(folder / "model.onnx"), **save)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def forest_onnx() -> bytes:
    """A random forest exported by skl2onnx; its attributes hold long runs of numbers."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestRegressor

    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 4)).astype(np.float32)
    return bytes(to_onnx(RandomForestRegressor(5, random_state=0).fit(x, x[:, 0]), x[:1]).SerializeToString())


def skops_model(estimator: Any, **dumps: Any) -> bytes:
    """An estimator fitted on a few rows, as skops stores it."""
    import skops.io

    generator = np.random.default_rng(0)
    x = generator.normal(size=(50, 3))
    return bytes(skops.io.dumps(estimator.fit(x, x[:, 0]), **dumps))


def npy(array: np.ndarray[Any, Any], *, allow_pickle: bool = False) -> bytes:
    import io

    out = io.BytesIO()
    np.save(out, array, allow_pickle=allow_pickle)
    return out.getvalue()


def parquet() -> bytes:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    out = io.BytesIO()
    table = pa.table({"asset": ["A", "B"] * 500, "close": np.linspace(1, 2, 1000)})
    pq.write_table(table, out, row_group_size=300, compression="zstd", use_dictionary=["asset"])
    return out.getvalue()


def png() -> bytes:
    import io

    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    out = io.BytesIO()
    figure = plt.figure(figsize=(1, 1))
    figure.savefig(out, format="png")
    plt.close(figure)
    return out.getvalue()
