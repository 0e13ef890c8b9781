"""Predictors as ONNX: graphs built by hand, the same bytes for the same model, checked before they are kept.

A converter's version would enter the bytes (docs/adr/0005-build-onnx-graphs-by-hand.md).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from domain.registry.errors import IntegrityError
from domain.registry.evidence import OnnxAgreement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

INPUT, OUTPUT = "features", "annualised_volatility"
OPSETS = {"": 17, "ai.onnx.ml": 5}
IR_VERSION = 10
TOLERANCE = 1e-12
"""Largest relative difference between the model's forecasts and ONNX Runtime's; both compute in float64."""


class Predictor(Protocol):
    """A fitted function of features that can be written as an ONNX file."""

    def predict(self, features: Floats) -> Floats:
        """Annualised volatility, shape (n,), for features of shape (n, k)."""

    def to_onnx(self) -> bytes:
        """An ONNX file: `features` (n, k) float64 in, `annualised_volatility` (n,) float64 out."""


Shape = Sequence[int | str]
"""Sizes, and names for those that are open."""


def model_bytes(
    name: str,
    nodes: Sequence[Any],
    constants: Mapping[str, Any],
    width: int,
    *,
    given: str = INPUT,
    answer: tuple[str, Shape] = (OUTPUT, ("n",)),
) -> bytes:
    """An ONNX model of these nodes: no time, host or version of the writer is in it.

    Args:
        constants: arrays by the name under which nodes refer to them.
        width: columns of the input.
        given: name of the input, of shape (n, width).
        answer: name and shape of the output.
    """
    from onnx import TensorProto, helper, numpy_helper

    output, shape = answer

    graph = helper.make_graph(
        nodes=nodes,
        name=name,
        inputs=[helper.make_tensor_value_info(given, TensorProto.DOUBLE, ["n", width])],
        outputs=[helper.make_tensor_value_info(output, TensorProto.DOUBLE, list(shape))],
        initializer=[numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    domains = sorted({node.domain for node in nodes} | {""})
    proto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, OPSETS[domain]) for domain in domains],
        ir_version=IR_VERSION,
        producer_name="veritasvault",
    )
    return bytes(proto.SerializeToString(deterministic=True))


def run_onnx(content: bytes, features: Floats, *, given: str = INPUT, answer: str = OUTPUT) -> Floats:
    """What an ONNX file of this module answers, by ONNX Runtime on one thread: forecasts, shape (n,).

    Args:
        given, answer: names of the input and the output, where the file's are others.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    forecasts: Floats = session.run([answer], {given: features})[0]
    return forecasts


def require_agreement(
    content: bytes, predictor: Predictor, probes: Floats, *, answer: str = OUTPUT
) -> OnnxAgreement:
    """Check that the file forecasts what the predictor does, on probes of shape (n, k).

    Returns:
        By how much it differs.

    Raises:
        IntegrityError: it forecasts otherwise, or cannot be run.
    """
    import numpy as np

    try:
        exported = run_onnx(content, probes, answer=answer)
    except Exception as error:  # ONNX Runtime raises its own tree of errors, one for each status code.
        raise IntegrityError(f"model.onnx cannot be run by ONNX Runtime: {error}") from error
    expected = predictor.predict(probes)
    worst = float(np.max(np.abs(exported - expected) / expected))
    if not worst <= TOLERANCE:
        raise IntegrityError(
            f"model.onnx forecasts otherwise than the trained model: by {worst:.3g} of its value,"
            f" {TOLERANCE:g} is allowed"
        )
    return OnnxAgreement(len(probes), worst)
