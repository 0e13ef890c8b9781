"""Shrinkage estimators of covariance as ONNX: from a window's returns to their covariance, in one graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from domain.registry.errors import IntegrityError
from domain.registry.evidence import OnnxAgreement
from veritasvault.adapters.onnx_export import TOLERANCE, model_bytes, run_onnx

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from domain.risk.covariance.shrinkage import Shrinkage

    Floats = NDArray[np.float64]
    Node = Callable[..., Any]

GIVEN, ANSWER = "returns", "covariance"


def to_onnx(estimator: Shrinkage, width: int) -> bytes:
    """An estimator as an ONNX file: `returns` (n, width) float64 in, `covariance` (width, width) float64 out.

    The nodes are those of `domain.risk.covariance.shrinkage`, in float64, for any number of sessions n.
    """
    import numpy as np
    from onnx import helper

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
        return helper.make_node(kind, inputs, [output], **attributes)

    constants: dict[str, Any] = {
        "first": np.array([0], dtype=np.int64),
        "width": np.float64(width).reshape(()),
        "identity": np.eye(width),
        "one": np.float64(1.0).reshape(()),
        "year": np.float64(_year()).reshape(()),
    }
    moments = [
        node("ReduceMean", [GIVEN], "means", axes=[0], keepdims=1),
        node("Sub", [GIVEN, "means"], "centred"),
        node("Shape", [GIVEN], "shape"),
        node("Gather", ["shape", "first"], "sessions"),
        node("Cast", ["sessions"], "counted", to=_double()),
        node("Squeeze", ["counted", "first"], "n"),
        node("Transpose", ["centred"], "turned", perm=[1, 0]),
        node("MatMul", ["turned", "centred"], "products"),
        node("Div", ["products", "n"], "sample"),
        node("Mul", ["sample", "identity"], "diagonal"),
        node("ReduceSum", ["diagonal"], "trace", keepdims=0),
        node("Div", ["trace", "width"], "mean_variance"),
        node("Mul", ["mean_variance", "identity"], "target"),
    ]
    intensity, more = _INTENSITIES[estimator.rule](node) if estimator.rule else ([], {})
    constants |= more if estimator.rule else {"intensity": np.float64(estimator.fixed).reshape(())}
    blend = [
        node("Sub", ["one", "intensity"], "kept"),
        node("Mul", ["kept", "sample"], "kept_sample"),
        node("Mul", ["intensity", "target"], "drawn"),
        node("Add", ["kept_sample", "drawn"], "daily"),
        node("Mul", ["daily", "year"], ANSWER),
    ]
    return model_bytes(
        f"{estimator.rule or 'learned'}_covariance",
        [*moments, *intensity, *blend],
        constants,
        width,
        given=GIVEN,
        answer=(ANSWER, (width, width)),
    )


def require_agreement(content: bytes, estimator: Shrinkage, returns: Floats) -> OnnxAgreement:
    """Check that the file gives the covariance that the estimator does, of returns of shape (n, k).

    In units of the two assets' volatilities, for a covariance may be as near to 0 as it likes.

    Returns:
        By how much it differs, over the rows of the covariance.

    Raises:
        IntegrityError: it gives another, or cannot be run.
    """
    import numpy as np

    try:
        exported = run_onnx(content, returns, given=GIVEN, answer=ANSWER)
    except Exception as error:  # ONNX Runtime raises its own tree of errors, one for each status code.
        raise IntegrityError(f"model.onnx cannot be run by ONNX Runtime: {error}") from error
    expected = estimator.predict(returns)
    scale = np.sqrt(np.diagonal(expected))
    scale = np.where(scale > 0.0, scale, 1.0)
    worst = float(np.max(np.abs(exported - expected) / np.outer(scale, scale)))
    if not worst <= TOLERANCE:
        raise IntegrityError(
            f"model.onnx gives another covariance than the trained model: by {worst:.3g} of the volatilities,"
            f" {TOLERANCE:g} is allowed"
        )
    return OnnxAgreement(len(expected), worst)


Nodes = tuple[list[Any], Mapping[str, Any]]


def _none(node: Node) -> Nodes:
    import numpy as np

    return [], {"intensity": np.float64(0.0).reshape(())}


def _ledoit_wolf(node: Node) -> Nodes:
    """Nodes of `shrinkage.ledoit_wolf`."""
    import numpy as np

    nodes = [
        node("Sub", ["sample", "target"], "apart"),
        node("Mul", ["apart", "apart"], "apart_squared"),
        node("ReduceSum", ["apart_squared"], "distance", keepdims=0),
        node("Mul", ["centred", "centred"], "squares"),
        node("Transpose", ["squares"], "squares_turned"),
        node("MatMul", ["squares_turned", "squares"], "fourth_products"),
        node("Div", ["fourth_products", "n"], "fourth"),
        node("Mul", ["sample", "sample"], "sample_squared"),
        node("Sub", ["fourth", "sample_squared"], "variances"),
        node("ReduceSum", ["variances"], "variance", keepdims=0),
        node("Div", ["variance", "n"], "noise"),
        node("Min", ["noise", "distance"], "less"),
        node("Div", ["less", "distance"], "share"),
        node("Greater", ["distance", "zero"], "differs"),
        node("Where", ["differs", "share", "zero"], "intensity"),
    ]
    return nodes, {"zero": np.float64(0.0).reshape(())}


def _oas(node: Node) -> Nodes:
    """Nodes of `shrinkage.oracle_approximating`."""
    import numpy as np

    nodes = [
        node("Mul", ["sample", "sample"], "sample_squared"),
        node("ReduceMean", ["sample_squared"], "cells", keepdims=0),
        node("Mul", ["mean_variance", "mean_variance"], "square"),
        node("Div", ["square", "width"], "shared"),
        node("Sub", ["cells", "shared"], "spread"),
        node("Add", ["n", "one"], "more"),
        node("Mul", ["more", "spread"], "excess"),
        node("Add", ["cells", "square"], "signal"),
        node("Div", ["signal", "excess"], "share"),
        node("Min", ["share", "one"], "capped"),
        node("Greater", ["excess", "zero"], "differs"),
        node("Where", ["differs", "capped", "one"], "intensity"),
    ]
    return nodes, {"zero": np.float64(0.0).reshape(())}


_INTENSITIES: Mapping[str, Callable[[Any], Nodes]] = {
    "sample": _none,
    "ledoit_wolf": _ledoit_wolf,
    "oas": _oas,
}


def _double() -> int:
    from onnx import TensorProto

    return int(TensorProto.DOUBLE)


def _year() -> int:
    from domain.risk.features import TRADING_DAYS

    return TRADING_DAYS
