"""Boosted trees that forecast the logarithm of variance: one ONNX tree ensemble in float64.

The operator `TreeEnsemble` of ai.onnx.ml version 5 is the first whose thresholds, leaves and results are
float64; `TreeEnsembleRegressor` before it answers in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from veritasvault.adapters.onnx_export import INPUT, OUTPUT, model_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_SUM, _NO_TRANSFORM, _AT_MOST = 1, 0, 0

NODE = [
    ("value", "f8"), ("feature_idx", "i8"), ("num_threshold", "f8"), ("left", "i8"), ("right", "i8"),
    ("is_leaf", "?"),
]  # fmt: skip
"""What is asked of a tree's nodes, by scikit-learn's names: rows with at most the threshold in the feature go
left; left and right are places of nodes in the tree."""


@dataclass(frozen=True, slots=True)
class BoostedTrees:
    """sqrt(exp(base + sum of the trees' leaves)), fitted by scikit-learn with a logarithmic link.

    Attributes:
        regressor: a fitted `HistGradientBoostingRegressor` without categorical columns.
    """

    regressor: Any

    def predict(self, features: Floats) -> Floats:
        """Annualised volatility, shape (n,), for features of shape (n, k)."""
        import numpy as np

        forecasts: Floats = np.sqrt(self.regressor.predict(features))
        return forecasts

    def to_onnx(self) -> bytes:
        """See `Predictor.to_onnx`."""
        # scikit-learn has no public way to a fitted ensemble's trees.
        regressor = self.regressor
        trees = [predictors[0].nodes for predictors in regressor._predictors]
        return ensemble_bytes(trees, regressor._baseline_prediction, regressor.n_features_in_)


def ensemble_bytes(trees: Sequence[Any], base: Any, width: int) -> bytes:
    """sqrt(exp(base + sum of the trees' leaves)) as an ONNX file, see `Predictor.to_onnx`.

    Args:
        trees: of each the nodes, the root first: structured arrays with the fields of `NODE` at least.
        base: one number.
        width: columns of the features.
    """
    import numpy as np
    from onnx import helper

    nodes = [
        _Ensemble.of(trees).node("sum_of_leaves"),
        helper.make_node("Add", ["sum_of_leaves", "base"], ["log_variance"]),
        helper.make_node("Exp", ["log_variance"], ["variance"]),
        helper.make_node("Sqrt", ["variance"], ["volatility"]),
        helper.make_node("Squeeze", ["volatility", "last_axis"], [OUTPUT]),
    ]
    constants = {
        "base": np.asarray(base, dtype=np.float64).reshape(1),
        "last_axis": np.array([1], dtype=np.int64),
    }
    return model_bytes("boosted_trees_volatility", nodes, constants, width)


@dataclass(slots=True)
class _Ensemble:
    """All trees' inner nodes in one list and all leaves in another, as the operator wants them.

    A tree's node is at an index of `features` and of the lists that go with it; `true` and `false` are
    indices of that list again, or of `leaves` where the flag beside them is 1.
    """

    roots: list[int] = field(default_factory=list)
    leaves: list[float] = field(default_factory=list)
    features: list[int] = field(default_factory=list)
    splits: list[float] = field(default_factory=list)
    true: list[int] = field(default_factory=list)
    true_is_leaf: list[int] = field(default_factory=list)
    false: list[int] = field(default_factory=list)
    false_is_leaf: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, trees: Sequence[Any]) -> _Ensemble:
        """The ensemble of trees' nodes, see `ensemble_bytes`."""
        ensemble = cls()
        for tree in trees:
            ensemble.roots.append(len(ensemble.features))
            if len(tree) > 1:
                ensemble._add(tree)
            else:
                ensemble._add_lone_leaf(float(tree[0]["value"]))
        return ensemble

    def _add(self, tree: Any) -> None:
        import numpy as np

        is_leaf = tree["is_leaf"].astype(bool)
        place = np.where(
            is_leaf,
            len(self.leaves) + np.cumsum(is_leaf) - 1,
            len(self.features) + np.cumsum(~is_leaf) - 1,
        )
        inner = tree[~is_leaf]
        self.leaves += tree["value"][is_leaf].tolist()
        self.features += inner["feature_idx"].tolist()
        self.splits += inner["num_threshold"].tolist()
        self.true += place[inner["left"]].tolist()
        self.true_is_leaf += is_leaf[inner["left"]].astype(int).tolist()
        self.false += place[inner["right"]].tolist()
        self.false_is_leaf += is_leaf[inner["right"]].astype(int).tolist()

    def _add_lone_leaf(self, value: float) -> None:
        """The operator has no tree without a question: ask one, with the same leaf for both answers."""
        leaf = len(self.leaves)
        self.leaves.append(value)
        self.features.append(0)
        self.splits.append(0.0)
        self.true.append(leaf)
        self.true_is_leaf.append(1)
        self.false.append(leaf)
        self.false_is_leaf.append(1)

    def node(self, output: str) -> Any:
        """The operator that sums up the leaves a row ends in, shape (n, 1)."""
        import numpy as np
        from onnx import helper, numpy_helper

        modes = np.full(len(self.features), _AT_MOST, dtype=np.uint8)
        return helper.make_node(
            "TreeEnsemble",
            [INPUT],
            [output],
            domain="ai.onnx.ml",
            aggregate_function=_SUM,
            post_transform=_NO_TRANSFORM,
            n_targets=1,
            tree_roots=self.roots,
            nodes_featureids=self.features,
            nodes_splits=numpy_helper.from_array(np.array(self.splits, dtype=np.float64), "splits"),
            nodes_modes=numpy_helper.from_array(modes, "modes"),
            nodes_truenodeids=self.true,
            nodes_trueleafs=self.true_is_leaf,
            nodes_falsenodeids=self.false,
            nodes_falseleafs=self.false_is_leaf,
            leaf_targetids=[0] * len(self.leaves),
            leaf_weights=numpy_helper.from_array(np.array(self.leaves, dtype=np.float64), "leaves"),
        )
