"""Frameworks that models are trained with: what brings each, and what decides its artifacts' bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from domain.registry.errors import InvalidInput

TRAINER = "training.trainer"
"""The setting that names a trainer."""

COMPUTE_PACKAGES = ("numpy", "onnx", "polars", "pyarrow", "scikit-learn", "scipy")
"""Packages whose versions can change the bytes of a dataset, or of an artifact of any framework."""

_OF_ALL = ("onnx_export.py", "onnx_model.py")
_NETWORK = ("onnx_sequence.py", "sequence_network.py")


@dataclass(frozen=True, slots=True)
class Framework:
    """What trainers of one framework share.

    Attributes:
        extra: of the project, which brings it.
        packages: distributions whose versions decide an artifact's bytes, beside `COMPUTE_PACKAGES`.
        sources: adapters whose code decides them.
    """

    extra: str
    packages: tuple[str, ...]
    sources: tuple[str, ...]


FRAMEWORKS: Mapping[str, Framework] = {
    "scikit-learn": Framework(
        "training", (), (*_OF_ALL, "onnx_boosted_trees.py", "onnx_log_linear.py", "sklearn_trainer.py")
    ),
    "LightGBM": Framework(
        "boosting", ("lightgbm",), (*_OF_ALL, "lightgbm_trainer.py", "onnx_boosted_trees.py")
    ),
    "NumPy": Framework(
        "training",
        (),
        (
            *_OF_ALL,
            "anomaly_trainer.py",
            "covariance_trainer.py",
            "onnx_shrinkage.py",
            "onnx_student_t.py",
        ),
    ),
    "PyTorch": Framework("pytorch", ("torch", "safetensors"), (*_OF_ALL, *_NETWORK, "torch_trainer.py")),
    "TensorFlow": Framework(
        "tensorflow",
        ("tensorflow",),
        (*_OF_ALL, *_NETWORK, "saved_model_bytes.py", "tensorflow_trainer.py"),
    ),
}


def versions(framework: str, trainer: str) -> dict[str, str]:
    """The version of each package that decides what a framework's trainer gives.

    Raises:
        InvalidInput: one is not installed; names the extra that brings it.
    """
    needed = FRAMEWORKS[framework]
    packages = (*COMPUTE_PACKAGES, *needed.packages)
    try:
        return {package: version(package) for package in packages}
    except PackageNotFoundError as error:
        remedy = f"install {error.name}, which the extra {needed.extra} has, or choose another trainer"
        raise InvalidInput(TRAINER, trainer, remedy) from error
