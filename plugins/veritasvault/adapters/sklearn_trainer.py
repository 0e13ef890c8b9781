"""scikit-learn trainers: deterministic fits, stored as ONNX, never as a pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.registry.canonical import encode
from domain.registry.errors import InvalidInput
from domain.risk.parameters import choose
from domain.risk.ports import TrainedModel, TrainerParameter, TrainerPort
from veritasvault.adapters.onnx_boosted_trees import BoostedTrees
from veritasvault.adapters.onnx_export import INPUT, OUTPUT, Predictor, require_agreement
from veritasvault.adapters.onnx_log_linear import LogLinear

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    # Every parse of a DAG file asks a trainer for its parameters, and must not import numpy for that.
    Floats = NDArray[np.float64]

MODEL, SIGNATURE = "model.onnx", "signature.json"
_PROBES = 64
_LEAST_VOLATILITY = 1e-6


def trainer(name: str) -> TrainerPort:
    """A trainer by name.

    Raises:
        InvalidInput: no such trainer.
    """
    if name not in TRAINERS:
        raise InvalidInput("training.trainer", name, f"use one of {', '.join(TRAINERS)}")
    return TRAINERS[name]


class RidgeTrainer:
    """Log-linear regression with ridge penalty: a HAR model (Corsi 2009) in logarithms.

    Columns without a negative value in training, volatilities, enter as logarithms; the others as they are.
    The target is learnt in logarithms too, and forecasts are scaled so that realised variance over forecast
    variance is 1 on average in training, which is where QLIKE has its minimum in the scale.
    """

    framework = "scikit-learn"
    tolerance = 0.0

    def parameters(self) -> Mapping[str, TrainerParameter]:
        return {
            "alpha": TrainerParameter(
                1.0, "Ridge penalty on the standardised coefficients; more is smoother.", 0.001, 1e6
            ),
            "floor": TrainerParameter(
                0.1, "Smallest volatility told apart, as a share of its mean; logarithms need one.", 0.01, 1.0
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
        """See `TrainerPort.train`; the seed changes nothing, the solution is unique."""
        import numpy as np

        features, target, names = _checked(features, target, names)
        chosen = choose("ridge", self.parameters(), parameters)
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import StandardScaler

        share = float(chosen["floor"])
        in_logs = np.all(features >= 0.0, axis=0)
        floors = np.where(in_logs, np.maximum(share * features.mean(axis=0), _LEAST_VOLATILITY), 1.0)
        blank = LogLinear(in_logs, floors, np.zeros(features.shape[1]), 0.0)
        learnt = np.log(np.maximum(target, max(share * float(target.mean()), _LEAST_VOLATILITY)))
        pipeline = Pipeline([("scale", StandardScaler()), ("ridge", Ridge(alpha=float(chosen["alpha"])))])
        with _one_thread():
            pipeline.fit(blank.transform(features), learnt)
            weights, intercept = _unscaled(pipeline)
            fitted = LogLinear(in_logs, floors, weights, intercept).predict(features)
            bias = max(float(np.mean(np.square(target / fitted))), _LEAST_VOLATILITY)
        model = LogLinear(in_logs, floors, weights, intercept + 0.5 * float(np.log(bias)))
        return OnnxModel(model, names, _probes(features))


class HistGradientBoostingTrainer:
    """Boosted trees that minimise QLIKE itself: the gamma deviance of variances is twice QLIKE."""

    framework = "scikit-learn"
    tolerance = 0.0

    def parameters(self) -> Mapping[str, TrainerParameter]:
        return {
            "max_iter": TrainerParameter(100, "Number of trees.", 1, 5000),
            "learning_rate": TrainerParameter(0.05, "Share of each tree that is added.", 0.0001, 1.0),
            "max_leaf_nodes": TrainerParameter(15, "Most leaves of a tree.", 2, 1024),
            "min_samples_leaf": TrainerParameter(200, "Fewest rows in a leaf.", 1, 1_000_000),
            "l2_regularization": TrainerParameter(0.0, "Penalty on the values of leaves.", 0.0, 1e6),
            "floor": TrainerParameter(
                0.1, "Smallest volatility told apart, as a share of its mean.", 0.01, 1.0
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
        """See `TrainerPort.train`."""
        import numpy as np

        features, target, names = _checked(features, target, names)
        chosen = choose("hist_gradient_boosting", self.parameters(), parameters)
        from sklearn.ensemble import HistGradientBoostingRegressor

        floor = max(float(chosen.pop("floor")) * float(target.mean()), _LEAST_VOLATILITY)
        # Early stopping would hold out random rows, whose windows overlap those of their neighbours.
        trees = HistGradientBoostingRegressor(loss="gamma", early_stopping=False, random_state=seed, **chosen)
        with _one_thread():
            trees.fit(features, np.square(np.maximum(target, floor)))
        return OnnxModel(BoostedTrees(trees), names, _probes(features))


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A trained predictor, kept as ONNX; `probes` are the training rows that its file is checked on."""

    predictor: Predictor
    names: tuple[str, ...]
    probes: Floats

    def predict(self, features: Floats) -> Floats:
        """Annualised volatility, shape (n,).

        Raises:
            InvalidInput: features of another width, or not finite.
        """
        with _one_thread():
            return self.predictor.predict(_matrix(features, len(self.names)))

    def save(self, directory: Path) -> None:
        """Write model.onnx and its signature.

        Raises:
            IntegrityError: ONNX Runtime forecasts something else from the file.
        """
        content = self.predictor.to_onnx()
        with _one_thread():
            require_agreement(content, self.predictor, self.probes)
        (directory / MODEL).write_bytes(content)
        _write_signature(directory, self.names)


TRAINERS: Mapping[str, TrainerPort] = {
    "ridge": RidgeTrainer(),
    "hist_gradient_boosting": HistGradientBoostingTrainer(),
}


def _checked(
    features: Floats, target: Floats, names: Sequence[str]
) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Inputs of a training, finite and in one memory layout, which sums depend on."""
    import numpy as np

    features = _matrix(features, None)
    target = np.ascontiguousarray(target, dtype=np.float64)
    if target.shape != (features.shape[0],) or not target.size:
        raise InvalidInput("target", target.shape, f"give one value for each of {features.shape[0]} rows")
    wrong = ~np.isfinite(target) | (target < 0.0)
    if np.any(wrong):
        raise InvalidInput("target", float(target[wrong][0]), "leave out rows whose target is not known")
    names = tuple(names) or tuple(f"feature_{place}" for place in range(features.shape[1]))
    if len(names) != features.shape[1] or len(set(names)) != len(names):
        raise InvalidInput("names", names, f"give another name for each of {features.shape[1]} features")
    return features, target, names


def _matrix(features: Floats, width: int | None) -> Floats:
    import numpy as np

    features = np.ascontiguousarray(features, dtype=np.float64)
    if features.ndim != 2 or not features.shape[1] or width not in (None, features.shape[1]):
        raise InvalidInput("features", features.shape, f"give a matrix of rows by {width or 'one or more'}")
    if not np.all(np.isfinite(features)):
        raise InvalidInput("features", "not finite", "leave out rows with NaN or infinite features")
    return features


def _unscaled(pipeline: Any) -> tuple[Floats, float]:
    """Weights and intercept on features as they are, of a pipeline that standardises them first."""
    import numpy as np

    scale, ridge = pipeline.named_steps["scale"], pipeline.named_steps["ridge"]
    weights: Floats = ridge.coef_ / scale.scale_
    return weights, float(ridge.intercept_ - np.sum(weights * scale.mean_))


def _one_thread() -> AbstractContextManager[object]:
    """Pins BLAS and OpenMP: with one thread, sums have one order; two may round otherwise."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


def _probes(features: Floats) -> Floats:
    """Rows over the whole length of the training, and one of zeros, which logarithms have to survive."""
    import numpy as np

    chosen = np.unique(np.linspace(0, features.shape[0] - 1, _PROBES).astype(np.int64))
    return np.vstack([features[chosen], np.zeros((1, features.shape[1]))])


def _write_signature(directory: Path, names: tuple[str, ...]) -> None:
    """What the model takes and gives, for whoever loads it without this code."""
    signature: dict[str, Any] = {
        "format": 1,
        "file": MODEL,
        "input": {"name": INPUT, "dtype": "float64", "shape": ["n", len(names)], "columns": list(names)},
        "output": {"name": OUTPUT, "dtype": "float64", "shape": ["n"], "unit": "annualised decimal"},
    }
    (directory / SIGNATURE).write_bytes(encode(signature))
