"""Trainers of covariance: shrinkage by a rule or by a learnt intensity; NumPy alone, kept as ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.registry.canonical import encode
from domain.registry.errors import InvalidInput
from domain.registry.evidence import OnnxAgreement
from domain.risk.covariance.parameters import PARAMETERS
from domain.risk.parameters import TrainerParameter, choose
from domain.risk.ports import TrainedModel, TrainerPort
from veritasvault.adapters.onnx_model import MODEL, SIGNATURE, one_thread
from veritasvault.adapters.onnx_shrinkage import ANSWER, GIVEN, require_agreement, to_onnx

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from domain.risk.covariance.shrinkage import Shrinkage

    # Every parse of a DAG file asks a trainer for its parameters, and must not import numpy for that.
    Floats = NDArray[np.float64]


class CovarianceTrainer:
    """Trains for the problem `covariance`, see `domain.risk.problems.covariance`."""

    framework = "NumPy"
    tolerance = 0.0
    problem = "covariance"

    def __init__(self, rule: str) -> None:
        """`rule` is of `domain.risk.covariance.shrinkage.RULES`; empty to learn the intensity."""
        self._rule = rule

    def parameters(self) -> Mapping[str, TrainerParameter]:
        return PARAMETERS

    def train(
        self,
        features: Floats,
        target: Floats,
        parameters: Mapping[str, Any],
        seed: int,
        names: Sequence[str] = (),
    ) -> TrainedModel:
        """Fit on daily returns, shape (sessions, assets), NaN where an asset has none.

        Target and seed change nothing.

        Raises:
            InvalidInput: a wrong parameter, too few sessions, or an asset without returns in the last window.
        """
        import numpy as np

        from domain.risk.covariance.shrinkage import Shrinkage

        chosen = choose(self._rule or LEARNED, self.parameters(), parameters)
        window, holding = int(chosen["window"]), int(chosen["holding"])
        returns = np.ascontiguousarray(features, dtype=np.float64)
        if returns.ndim != 2 or returns.shape[0] < window or returns.shape[1] != len(names):
            raise InvalidInput(
                "returns", returns.shape, f"give {window} sessions or more of {len(names)} assets"
            )
        newest = returns[-window:]
        there = [bool(np.all(np.isfinite(column))) for column in newest.T]
        if not all(there):
            lacking = ", ".join(name for name, whole in zip(names, there, strict=True) if not whole)
            raise InvalidInput(
                "returns", lacking, f"leave out what has no return in the last {window} sessions"
            )
        with one_thread():
            fixed = 0.0 if self._rule else _learnt(returns, tuple(names), window, holding)
        return CovarianceModel(Shrinkage(self._rule, fixed), tuple(names), newest)


@dataclass(frozen=True, slots=True)
class CovarianceModel:
    """A trained estimator.

    Attributes:
        assets: the columns of the returns it takes, when it is stored; in memory it takes any.
        newest: the last window of the training, shape (window, k), on which its file is checked.
    """

    estimator: Shrinkage
    assets: tuple[str, ...]
    newest: Floats

    def predict(self, features: Floats) -> Floats:
        """The annualised covariance, shape (k, k), of daily returns, shape (n, k)."""
        with one_thread():
            return self.estimator.predict(features)

    def save(self, directory: Path) -> OnnxAgreement:
        """Write model.onnx and its signature.

        Raises:
            IntegrityError: ONNX Runtime gives another covariance by the file.
        """
        content = to_onnx(self.estimator, len(self.assets))
        with one_thread():
            agreement = require_agreement(content, self.estimator, self.newest)
        (directory / MODEL).write_bytes(content)
        (directory / SIGNATURE).write_bytes(encode(self._signature()))
        return agreement

    def _signature(self) -> dict[str, Any]:
        """What the model takes and gives, for whoever loads it without this code."""
        names, width = list(self.assets), len(self.assets)
        return {
            "format": 1,
            "file": MODEL,
            "input": {
                "name": GIVEN,
                "dtype": "float64",
                "shape": ["n", width],
                "columns": names,
                "unit": "simple daily returns, decimal",
                "sessions": self.newest.shape[0],
            },
            "output": {
                "name": ANSWER,
                "dtype": "float64",
                "shape": [width, width],
                "columns": names,
                "unit": "annualised, decimal squared",
            },
        }


def _learnt(returns: Floats, assets: tuple[str, ...], window: int, holding: int) -> float:
    import numpy as np

    from domain.risk.covariance.learning import learnt_intensity
    from domain.risk.covariance.returns import Returns

    sessions = np.arange(returns.shape[0]).astype("datetime64[D]")
    return learnt_intensity(Returns(assets, sessions, returns), window, holding)


LEARNED = "learned_shrinkage"
TRAINERS: Mapping[str, TrainerPort] = {
    "sample_covariance": CovarianceTrainer("sample"),
    "ledoit_wolf": CovarianceTrainer("ledoit_wolf"),
    "oas": CovarianceTrainer("oas"),
    LEARNED: CovarianceTrainer(""),
}
