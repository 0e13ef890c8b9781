"""Boosted trees by LightGBM: the fast one on many rows, deterministic, stored as its text and as ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.risk.parameters import TrainerParameter, choose
from domain.risk.ports import TrainedModel, TrainerPort
from veritasvault.adapters.frameworks import versions
from veritasvault.adapters.onnx_boosted_trees import NODE, ensemble_bytes
from veritasvault.adapters.onnx_model import LEAST_VOLATILITY, OnnxModel, checked, probes_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

TREES = "trees.txt"
"""The file of LightGBM's own form in an artifact."""

_DETERMINISTIC = {
    "objective": "gamma",
    "deterministic": True,
    # Which of two ways to build histograms is quicker would be measured, and they round differently.
    "force_row_wise": True,
    "num_threads": 1,
    "use_missing": False,
    "verbosity": -1,
}


class LightGbmTrainer:
    """Boosted trees that minimise QLIKE itself: the gamma deviance of variances is twice QLIKE."""

    framework = "LightGBM"
    tolerance = 0.0

    def parameters(self) -> Mapping[str, TrainerParameter]:
        return {
            "num_iterations": TrainerParameter(200, "Number of trees.", 1, 5000),
            "learning_rate": TrainerParameter(0.03, "Share of each tree that is added.", 0.0001, 1.0),
            "num_leaves": TrainerParameter(15, "Most leaves of a tree.", 2, 1024),
            "min_data_in_leaf": TrainerParameter(500, "Fewest rows in a leaf.", 1, 1_000_000),
            "feature_fraction": TrainerParameter(
                0.7, "Share of the features that a tree may use.", 0.01, 1.0
            ),
            "lambda_l2": TrainerParameter(0.0, "Penalty on the values of leaves.", 0.0, 1e6),
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
        """See `TrainerPort.train`; also raises InvalidInput when LightGBM is not installed."""
        import numpy as np

        features, target, names = checked(features, target, names)
        chosen = choose("lightgbm", self.parameters(), parameters)
        versions(self.framework, "lightgbm")
        import lightgbm

        floor = max(float(chosen.pop("floor")) * float(target.mean()), LEAST_VOLATILITY)
        # LightGBM's seeds are of 31 bits.
        settings = {**_DETERMINISTIC, **chosen, "seed": seed % 2**31}
        variances = np.square(np.maximum(target, floor))
        booster = lightgbm.train(settings, lightgbm.Dataset(features, variances, params=settings))
        trees = LightGbmTrees(booster)
        return OnnxModel(trees, names, probes_of(features), trees.write)


@dataclass(frozen=True, slots=True)
class LightGbmTrees:
    """sqrt(exp(sum of the trees' leaves)), fitted by LightGBM; the first tree has the base in its leaves.

    Attributes:
        booster: a fitted `lightgbm.Booster` without categorical columns.
    """

    booster: Any

    def predict(self, features: Floats) -> Floats:
        """Annualised volatility, shape (n,), for features of shape (n, k)."""
        import numpy as np

        forecasts: Floats = np.sqrt(self.booster.predict(features, num_threads=1))
        return forecasts

    def write(self, directory: Path) -> None:
        """LightGBM's own text."""
        (directory / TREES).write_text(self.booster.model_to_string(), "utf-8")

    def to_onnx(self) -> bytes:
        """See `Predictor.to_onnx`."""
        dumped = self.booster.dump_model()["tree_info"]
        trees = [_nodes(tree["tree_structure"]) for tree in dumped]
        return ensemble_bytes(trees, 0.0, self.booster.num_feature())


def restored(directory: Path) -> LightGbmTrees:
    """The trees that an artifact's directory holds beside their ONNX form.

    Raises:
        InvalidInput: LightGBM is not installed.
    """
    versions(LightGbmTrainer.framework, "lightgbm")
    import lightgbm

    return LightGbmTrees(lightgbm.Booster(model_str=(directory / TREES).read_text("utf-8")))


def _nodes(root: Mapping[str, Any]) -> Any:
    """A tree of LightGBM's JSON as a vector of nodes, the root first."""
    import numpy as np

    nodes: list[tuple[Any, ...]] = []

    def add(node: Mapping[str, Any]) -> int:
        place = len(nodes)
        if "split_feature" not in node:
            nodes.append((node["leaf_value"], 0, 0.0, 0, 0, True))
            return place
        nodes.append(())
        left, right = add(node["left_child"]), add(node["right_child"])
        nodes[place] = (0.0, node["split_feature"], node["threshold"], left, right, False)
        return place

    add(root)
    return np.array(nodes, dtype=NODE)


TRAINERS: Mapping[str, TrainerPort] = {"lightgbm": LightGbmTrainer()}
