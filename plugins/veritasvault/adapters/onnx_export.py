"""Log-linear models as ONNX: a six-node graph built by hand, and checked by ONNX Runtime before it is kept.

skl2onnx would need a converter of ours for the logarithms, and its version would enter the bytes
(docs/adr/0011-build-onnx-graph-by-hand.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from domain.registry.errors import IntegrityError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

INPUT, OUTPUT = "features", "annualised_volatility"
OPSET = 17
IR_VERSION = 8
TOLERANCE = 1e-12
"""Largest relative difference between the model's forecasts and ONNX Runtime's; both compute in float64."""


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


def to_onnx(model: LogLinear) -> bytes:
    """The model as an ONNX file: `features` (n, k) float64 in, `annualised_volatility` (n,) float64 out.

    The bytes depend on the model alone: no time, host or version of the writer is in them.
    """
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper

    constants = {
        "floors": model.floors,
        "in_logs": model.in_logs,
        "weights": model.weights,
        "intercept": np.float64(model.intercept).reshape(()),
    }
    graph = helper.make_graph(
        nodes=[
            helper.make_node("Max", [INPUT, "floors"], ["floored"]),
            helper.make_node("Log", ["floored"], ["logs"]),
            helper.make_node("Where", ["in_logs", "logs", INPUT], ["transformed"]),
            helper.make_node("MatMul", ["transformed", "weights"], ["weighted"]),
            helper.make_node("Add", ["weighted", "intercept"], ["log_volatility"]),
            helper.make_node("Exp", ["log_volatility"], [OUTPUT]),
        ],
        name="log_linear_volatility",
        inputs=[helper.make_tensor_value_info(INPUT, TensorProto.DOUBLE, ["n", model.weights.size])],
        outputs=[helper.make_tensor_value_info(OUTPUT, TensorProto.DOUBLE, ["n"])],
        initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    proto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="veritasvault",
    )
    return bytes(proto.SerializeToString(deterministic=True))


def run_onnx(content: bytes, features: Floats) -> Floats:
    """Forecasts (n,) of an ONNX file that `to_onnx` wrote, by ONNX Runtime on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    forecasts: Floats = session.run([OUTPUT], {INPUT: features})[0]
    return forecasts


def require_agreement(content: bytes, model: LogLinear, probes: Floats) -> None:
    """Check that the file forecasts what the model does, on probes of shape (n, k).

    Raises:
        IntegrityError: it forecasts otherwise, or cannot be run.
    """
    import numpy as np

    try:
        exported = run_onnx(content, probes)
    except Exception as error:  # ONNX Runtime raises its own tree of errors, one for each status code.
        raise IntegrityError(f"model.onnx cannot be run by ONNX Runtime: {error}") from error
    expected = model.predict(probes)
    worst = float(np.max(np.abs(exported - expected) / expected))
    if not worst <= TOLERANCE:
        raise IntegrityError(
            f"model.onnx forecasts otherwise than the trained model: by {worst:.3g} of its value,"
            f" {TOLERANCE:g} is allowed"
        )
