"""The predictors that versions were trained as, rebuilt from their artifacts, to compare ONNX Runtime with.

Nothing that serves a model uses them. An artifact without what its own framework needs has none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from domain.registry.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from veritasvault.serving.model import Model

    Floats = NDArray[np.float64]
    Native = Callable[[Floats], Floats]


def native_predictor(model: Model) -> Native:
    """What forecasts as the model's trainer did, shape (n,) for features (n, k), on one thread.

    Raises:
        InvalidInput: the artifact has nothing that this could be rebuilt from, or its framework is not
            installed.
        IntegrityError: a file was changed in the cache since the model was loaded.
    """
    predictor = _of_files(model) or _of_graph(model)
    if predictor is None:
        raise InvalidInput(
            "--compare",
            f"{model.name}@{model.version}",
            "leave it out, the artifact holds no form of the model but ONNX",
        )
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

    def predict(features: Floats) -> Floats:
        with threadpool_limits(limits=1):
            return predictor(features)

    return predict


def _of_files(model: Model) -> Native | None:
    """From the framework's own files, which are opened where nobody else writes."""
    files = {file.path for file in model.manifest.artifact.files}
    restore = next((made for name, made in _BY_FILE.items() if name in files), None)
    if restore is None:
        return None
    with TemporaryDirectory(prefix="veritas-native-") as place:
        model.copy_to(Path(place))
        return restore(Path(place))


def _lightgbm(directory: Path) -> Native:
    from veritasvault.adapters.lightgbm_trainer import restored

    return restored(directory).predict


def _torch(directory: Path) -> Native:
    from veritasvault.adapters.torch_trainer import restored

    return restored(directory).predict


def _tensorflow(directory: Path) -> Native:
    from veritasvault.adapters.tensorflow_trainer import restored

    return restored(directory).predict


_BY_FILE: Mapping[str, Callable[[Path], Native]] = {
    "trees.txt": _lightgbm,
    "network.json": _torch,
    "saved_model/saved_model.pb": _tensorflow,
}
"""By a file that only artifacts of this framework have."""


def _of_graph(model: Model) -> Native | None:
    """From the graph, of predictors that are nothing but some arrays of it."""
    from onnx import load_from_string, numpy_helper

    graph = load_from_string(model.onnx).graph
    restore = _BY_GRAPH.get(graph.name)
    if restore is None:
        return None
    return restore({one.name: numpy_helper.to_array(one) for one in graph.initializer})


def _log_linear(values: Mapping[str, Any]) -> Native:
    from veritasvault.adapters.onnx_log_linear import LogLinear

    weights, intercept = values["weights"], float(values["intercept"])
    return LogLinear(values["in_logs"], values["floors"], weights, intercept).predict


def _student_t(values: Mapping[str, Any]) -> Native:
    from veritasvault.adapters.onnx_student_t import StudentT

    freedom, threshold = float(values["freedom"]), float(values["threshold"])
    return StudentT(values["centre"], values["scale"], freedom, threshold).predict


_BY_GRAPH: Mapping[str, Callable[[Mapping[str, Any]], Native]] = {
    "log_linear_volatility": _log_linear,
    "student_t_anomaly": _student_t,
}
"""By the name of the graph that the predictor writes."""
