"""Log-linear models of volatility: six ONNX nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from veritasvault.adapters.onnx_export import INPUT, OUTPUT, model_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LogLinear:
    """exp(intercept + weights · t(x)), where t(x) is log(max(x, floors)) for the columns `in_logs`, else x.

    Attributes:
        in_logs: shape (k,), bool.
        floors: shape (k,), positive; of no effect on other columns.
        weights: shape (k,).
    """

    in_logs: NDArray[np.bool_]
    floors: Floats
    weights: Floats
    intercept: float

    def transform(self, features: Floats) -> Floats:
        """t(x), shape (n, k)."""
        import numpy as np

        transformed: Floats = np.where(self.in_logs, np.log(np.maximum(features, self.floors)), features)
        return transformed

    def predict(self, features: Floats) -> Floats:
        """Annualised volatility, shape (n,), for features of shape (n, k)."""
        import numpy as np

        forecasts: Floats = np.exp(self.transform(features) @ self.weights + self.intercept)
        return forecasts

    def to_onnx(self) -> bytes:
        """See `Predictor.to_onnx`."""
        import numpy as np
        from onnx import helper

        nodes = [
            helper.make_node("Max", [INPUT, "floors"], ["floored"]),
            helper.make_node("Log", ["floored"], ["logs"]),
            helper.make_node("Where", ["in_logs", "logs", INPUT], ["transformed"]),
            helper.make_node("MatMul", ["transformed", "weights"], ["weighted"]),
            helper.make_node("Add", ["weighted", "intercept"], ["log_volatility"]),
            helper.make_node("Exp", ["log_volatility"], [OUTPUT]),
        ]
        constants = {
            "floors": self.floors,
            "in_logs": self.in_logs,
            "weights": self.weights,
            "intercept": np.float64(self.intercept).reshape(()),
        }
        return model_bytes("log_linear_volatility", nodes, constants, self.weights.size)
