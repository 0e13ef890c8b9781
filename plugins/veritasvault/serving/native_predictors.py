"""The predictors that versions were trained as, rebuilt from their artifacts, to compare ONNX Runtime with.

Nothing that serves a model uses them. An artifact without what its own framework needs has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from domain.registry.errors import InvalidInput

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from veritasvault.serving.model import Model

    Floats = NDArray[np.float64]
    Native = Callable[[Floats], Floats]

_LOG_LINEAR = "log_linear_volatility"
"""The name of the graph that `onnx_log_linear.py` writes."""


def native_predictor(model: Model) -> Native:
    """What forecasts as the model's trainer did, shape (n,) for features (n, k), on one thread.

    Raises:
        InvalidInput: the artifact has nothing that this could be rebuilt from.
    """
    predictor = _log_linear(model)
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


def _log_linear(model: Model) -> Native | None:
    """A log-linear model is its coefficients, and these stand in the graph."""
    from onnx import load_from_string, numpy_helper

    from veritasvault.adapters.onnx_log_linear import LogLinear

    graph = load_from_string(model.onnx).graph
    if graph.name != _LOG_LINEAR:
        return None
    values = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    return LogLinear(
        values["in_logs"], values["floors"], values["weights"], float(values["intercept"])
    ).predict
