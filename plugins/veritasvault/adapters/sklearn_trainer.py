"""scikit-learn trainers: deterministic fits, stored as ONNX, never as a pickle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from domain.risk.parameters import TrainerParameter, choose
from domain.risk.ports import TrainedModel, TrainerPort
from veritasvault.adapters.onnx_boosted_trees import BoostedTrees
from veritasvault.adapters.onnx_log_linear import LogLinear
from veritasvault.adapters.onnx_model import LEAST_VOLATILITY, OnnxModel, checked, one_thread, probes_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    # Every parse of a DAG file asks a trainer for its parameters, and must not import numpy for that.
    Floats = NDArray[np.float64]


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

        features, target, names = checked(features, target, names)
        chosen = choose("ridge", self.parameters(), parameters)
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import StandardScaler

        share = float(chosen["floor"])
        in_logs = np.all(features >= 0.0, axis=0)
        floors = np.where(in_logs, np.maximum(share * features.mean(axis=0), LEAST_VOLATILITY), 1.0)
        blank = LogLinear(in_logs, floors, np.zeros(features.shape[1]), 0.0)
        learnt = np.log(np.maximum(target, max(share * float(target.mean()), LEAST_VOLATILITY)))
        pipeline = Pipeline([("scale", StandardScaler()), ("ridge", Ridge(alpha=float(chosen["alpha"])))])
        with one_thread():
            pipeline.fit(blank.transform(features), learnt)
            weights, intercept = _unscaled(pipeline)
            fitted = LogLinear(in_logs, floors, weights, intercept).predict(features)
            bias = max(float(np.mean(np.square(target / fitted))), LEAST_VOLATILITY)
        model = LogLinear(in_logs, floors, weights, intercept + 0.5 * float(np.log(bias)))
        return OnnxModel(model, names, probes_of(features))


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

        features, target, names = checked(features, target, names)
        chosen = choose("hist_gradient_boosting", self.parameters(), parameters)
        from sklearn.ensemble import HistGradientBoostingRegressor

        floor = max(float(chosen.pop("floor")) * float(target.mean()), LEAST_VOLATILITY)
        # Early stopping would hold out random rows, whose windows overlap those of their neighbours.
        trees = HistGradientBoostingRegressor(loss="gamma", early_stopping=False, random_state=seed, **chosen)
        with one_thread():
            trees.fit(features, np.square(np.maximum(target, floor)))
        return OnnxModel(BoostedTrees(trees), names, probes_of(features))


TRAINERS: Mapping[str, TrainerPort] = {
    "ridge": RidgeTrainer(),
    "hist_gradient_boosting": HistGradientBoostingTrainer(),
}


def _unscaled(pipeline: Any) -> tuple[Floats, float]:
    """Weights and intercept on features as they are, of a pipeline that standardises them first."""
    import numpy as np

    scale, ridge = pipeline.named_steps["scale"], pipeline.named_steps["ridge"]
    weights: Floats = ridge.coef_ / scale.scale_
    return weights, float(ridge.intercept_ - np.sum(weights * scale.mean_))
