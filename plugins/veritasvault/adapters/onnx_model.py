"""Trained models as they are kept: ONNX with its signature, checked on training rows when it is saved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.registry.canonical import encode
from domain.registry.errors import InvalidInput
from domain.registry.evidence import OnnxAgreement
from veritasvault.adapters.onnx_export import INPUT, OUTPUT, Predictor, require_agreement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    # Every parse of a DAG file asks a trainer for its parameters, and must not import numpy for that.
    Floats = NDArray[np.float64]

MODEL, SIGNATURE = "model.onnx", "signature.json"
LEAST_VOLATILITY = 1e-6
_PROBES = 64


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """A trained predictor, kept as ONNX.

    Attributes:
        probes: the training rows that its file is checked on.
        write_native: writes the framework's own form into the artifact's directory, if it has one.
        output, unit: what it answers.
    """

    predictor: Predictor
    names: tuple[str, ...]
    probes: Floats
    write_native: Callable[[Path], None] | None = None
    output: str = OUTPUT
    unit: str = "annualised decimal"

    def predict(self, features: Floats) -> Floats:
        """Annualised volatility, or what else it answers, shape (n,).

        Raises:
            InvalidInput: features of another width, or not finite.
        """
        with one_thread():
            return self.predictor.predict(matrix(features, len(self.names)))

    def save(self, directory: Path) -> OnnxAgreement:
        """Write model.onnx, its signature and the framework's own form.

        Raises:
            IntegrityError: ONNX Runtime forecasts something else from the file.
        """
        content = self.predictor.to_onnx()
        with one_thread():
            agreement = require_agreement(content, self.predictor, self.probes, answer=self.output)
        (directory / MODEL).write_bytes(content)
        _write_signature(directory, self.names, self.output, self.unit)
        if self.write_native is not None:
            self.write_native(directory)
        return agreement


def checked(features: Floats, target: Floats, names: Sequence[str]) -> tuple[Floats, Floats, tuple[str, ...]]:
    """Inputs of a training, finite and in one memory layout, which sums depend on."""
    import numpy as np

    features = matrix(features, None)
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


def matrix(features: Floats, width: int | None) -> Floats:
    import numpy as np

    features = np.ascontiguousarray(features, dtype=np.float64)
    if features.ndim != 2 or not features.shape[1] or width not in (None, features.shape[1]):
        raise InvalidInput("features", features.shape, f"give a matrix of rows by {width or 'one or more'}")
    if not np.all(np.isfinite(features)):
        raise InvalidInput("features", "not finite", "leave out rows with NaN or infinite features")
    return features


def one_thread() -> AbstractContextManager[object]:
    """Pins BLAS and OpenMP: with one thread, sums have one order; two may round otherwise."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped, unused-ignore]

    limits: AbstractContextManager[object] = threadpool_limits(limits=1)
    return limits


def probes_of(features: Floats) -> Floats:
    """Rows over the whole length of the training, and one of zeros, which logarithms have to survive."""
    import numpy as np

    chosen = np.unique(np.linspace(0, features.shape[0] - 1, _PROBES).astype(np.int64))
    return np.vstack([features[chosen], np.zeros((1, features.shape[1]))])


def _write_signature(directory: Path, names: tuple[str, ...], output: str, unit: str) -> None:
    """What the model takes and gives, for whoever loads it without this code."""
    signature: dict[str, Any] = {
        "format": 1,
        "file": MODEL,
        "input": {"name": INPUT, "dtype": "float64", "shape": ["n", len(names)], "columns": list(names)},
        "output": {"name": output, "dtype": "float64", "shape": ["n"], "unit": unit},
    }
    (directory / SIGNATURE).write_bytes(encode(signature))
