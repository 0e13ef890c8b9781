"""How improbable a row is under Student's t for each feature: eight ONNX nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from veritasvault.adapters.onnx_export import INPUT, model_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

SCORE = "anomaly_score"


@dataclass(frozen=True, slots=True)
class StudentT:
    """sum over the features of log(1 + ((x - centre) / scale)**2 / freedom), as a multiple of a threshold.

    Up to a factor and a constant this is minus the logarithm of the density of independent t distributions.

    Attributes:
        centre, scale: of each feature, shape (k,); scales are positive.
        freedom: degrees of freedom.
        threshold: the sum from which on a row is unusual, positive.
    """

    centre: Floats
    scale: Floats
    freedom: float
    threshold: float

    def predict(self, features: Floats) -> Floats:
        """Scores, shape (n,), for features of shape (n, k); above 1 a row is unusual."""
        import numpy as np

        distance = (features - self.centre) / self.scale
        scores: Floats = np.log(distance * distance / self.freedom + 1.0).sum(axis=1) / self.threshold
        return scores

    def to_onnx(self) -> bytes:
        """An ONNX file: `features` (n, k) float64 in, `anomaly_score` (n,) float64 out."""
        import numpy as np
        from onnx import helper

        nodes = [
            helper.make_node("Sub", [INPUT, "centre"], ["moved"]),
            helper.make_node("Div", ["moved", "scale"], ["distance"]),
            helper.make_node("Mul", ["distance", "distance"], ["squared"]),
            helper.make_node("Div", ["squared", "freedom"], ["shared"]),
            helper.make_node("Add", ["shared", "one"], ["inside"]),
            helper.make_node("Log", ["inside"], ["unusual"]),
            helper.make_node("ReduceSum", ["unusual", "last_axis"], ["total"], keepdims=0),
            helper.make_node("Div", ["total", "threshold"], [SCORE]),
        ]
        constants = {
            "centre": self.centre,
            "scale": self.scale,
            "freedom": np.float64(self.freedom).reshape(()),
            "one": np.float64(1.0).reshape(()),
            "last_axis": np.array([1], dtype=np.int64),
            "threshold": np.float64(self.threshold).reshape(()),
        }
        return model_bytes("student_t_anomaly", nodes, constants, self.centre.size, answer=(SCORE, ("n",)))
