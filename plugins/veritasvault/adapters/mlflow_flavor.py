"""What makes a stored ONNX model one that MLflow loads: the MLmodel file and the pinned requirements."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from importlib.metadata import version

from domain.registry.artifact import Artifact
from domain.registry.manifest import ModelId
from veritasvault.adapters.mlflow_artifacts import stored_name
from veritasvault.adapters.onnx_artifact import PROVIDERS, onnx_file

REQUIREMENTS = "requirements.txt"
PACKAGES = ("mlflow", "numpy", "onnx", "onnxruntime", "pandas")
"""What loading and calling a model through `mlflow.pyfunc` imports."""

_PIN = re.compile(r"([a-z]+)==([0-9][0-9A-Za-z.+!-]{0,40})")


def flavor_files(
    model_id: ModelId, artifact: Artifact, pins: Mapping[str, str] | None = None
) -> dict[str, bytes]:
    """The files by name that lie beside the model's own; none for a model that is not one ONNX file.

    They follow from their arguments, so that whoever has the manifest can tell whether they were changed.
    MLmodel is YAML (https://mlflow.org/docs/latest/ml/model/#storage-format), of which JSON is a part.

    Args:
        pins: versions of `PACKAGES` and of 'python'; None takes those that are installed.
    """
    model_file = onnx_file(artifact)
    if model_file is None:
        return {}
    pins = pins or {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    model = {
        "flavors": {
            "onnx": {
                "data": stored_name(model_file),
                "onnx_version": pins["onnx"],
                "providers": list(PROVIDERS),
            },
            "python_function": {
                "data": stored_name(model_file),
                "env": {"virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.onnx",
                "python_version": pins["python"],
            },
        },
        "metadata": {"veritas.model_id": model_id},
        "mlflow_version": pins["mlflow"],
    }
    return {
        "MLmodel": json.dumps(model, indent=2).encode() + b"\n",
        "python_env.yaml": json.dumps(
            {"dependencies": [f"-r {REQUIREMENTS}"], "python": pins["python"]}, indent=2
        ).encode()
        + b"\n",
        REQUIREMENTS: _requirements(pins),
    }


def pins_of(requirements: bytes) -> dict[str, str] | None:
    """The versions that a requirements file of `flavor_files` names; None if it is none of those."""
    lines = requirements.decode(errors="replace").splitlines()
    pins = {match[1]: match[2] for line in lines if (match := _PIN.fullmatch(line.removeprefix("# ")))}
    if pins.keys() != {"python", *PACKAGES} or requirements != _requirements(pins):
        return None
    return pins


def _requirements(pins: Mapping[str, str]) -> bytes:
    lines = [f"# python=={pins['python']}", *(f"{name}=={pins[name]}" for name in PACKAGES)]
    return "".join(f"{line}\n" for line in lines).encode()
