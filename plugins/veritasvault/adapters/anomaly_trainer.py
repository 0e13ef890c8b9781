"""Detectors of unusual rows: unsupervised, deterministic, stored as ONNX with their threshold in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from domain.registry.errors import InvalidInput
from domain.risk.parameters import TrainerParameter, choose
from domain.risk.ports import TrainedModel, TrainerPort
from veritasvault.adapters.onnx_model import OnnxModel, checked, one_thread, probes_of
from veritasvault.adapters.onnx_student_t import SCORE, StudentT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

UNIT = "multiple of the threshold, above 1 is an alarm"

_TO_DEVIATION = 1.4826
"""Standard deviations in a median absolute deviation of a normal distribution, 1 / 0.6745."""


class StudentTDetector:
    """Rows that are improbable under an independent Student's t for each feature.

    Centre and scale are median and median absolute deviation, which the unusual rows in the training hardly
    move (Rousseeuw and Hubert 2011, "Robust statistics for outlier detection", WIREs Data Mining and
    Knowledge Discovery 1). Heavy tails let several moderate surprises outweigh one large one, which ordinary
    business has by itself now and then.
    """

    framework = "NumPy"
    problem = "anomaly"
    tolerance = 0.0

    def parameters(self) -> Mapping[str, TrainerParameter]:
        return {
            "alarm_rate": TrainerParameter(
                0.01, "Share of the training rows above the threshold.", 0.0001, 0.2
            ),
            "freedom": TrainerParameter(
                4.0, "Degrees of freedom; fewer let a single large surprise count less.", 0.5, 1000.0
            ),
        }

    def train(
        self,
        features: Floats,
        target: Floats,
        parameters: Mapping[str, Any],
        seed: int,
        names: Sequence[str] = (),
    ) -> TrainedModel:
        """See `TrainerPort.train`; neither target nor seed change anything.

        Raises:
            InvalidInput: all rows are alike in every feature, beside the port's.
        """
        import numpy as np

        features, _, names = checked(features, np.zeros(len(features)), names)
        chosen = choose("student_t", self.parameters(), parameters)
        centre = np.median(features, axis=0)
        deviation = np.median(np.abs(features - centre), axis=0) * _TO_DEVIATION
        # More than half of the rows alike: their spread is in the others. All alike: nothing to tell.
        scale = np.where(deviation > 0.0, deviation, np.std(features, axis=0))
        scale = np.where(scale > 0.0, scale, 1.0)
        with one_thread():
            sums = StudentT(centre, scale, float(chosen["freedom"]), 1.0).predict(features)
        threshold = float(np.quantile(sums, 1.0 - float(chosen["alarm_rate"])))
        if not threshold > 0.0:
            raise InvalidInput("features", "rows that are alike", "give features in which rows differ")
        model = StudentT(centre, scale, float(chosen["freedom"]), threshold)
        # Not the row of zeros, the last one: its score may be 0, and differences are shares of scores.
        return OnnxModel(model, names, probes_of(features)[:-1], output=SCORE, unit=UNIT)


TRAINERS: Mapping[str, TrainerPort] = {"student_t": StudentTDetector()}
