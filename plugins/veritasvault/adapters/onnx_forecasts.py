"""The forecasts of a model that lies in a directory, as its artifact was registered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from domain.registry.errors import InvalidInput
from veritasvault.adapters.onnx_export import OUTPUT, run_onnx
from veritasvault.adapters.onnx_model import SIGNATURE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def forecasts(artifact: Path, features: Floats) -> Floats:
    """What the one ONNX file of a directory forecasts, shape (n,), for features (n, k).

    Raises:
        InvalidInput: there is none, or it does not take these features.
    """
    models = sorted(artifact.glob("*.onnx"))
    if len(models) != 1:
        raise InvalidInput("artifact", [path.name for path in models], "it takes one ONNX file to forecast")
    signature = artifact / SIGNATURE
    answer = json.loads(signature.read_bytes())["output"]["name"] if signature.is_file() else OUTPUT
    try:
        return run_onnx(models[0].read_bytes(), features, answer=answer)
    except Exception as error:  # ONNX Runtime raises its own tree of errors, one for each status code.
        first = " ".join(str(error).split())[:200]
        raise InvalidInput(
            models[0].name, f"{features.shape[1]} features", f"it takes others ({first})"
        ) from error
