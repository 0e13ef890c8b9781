"""What of an artifact ONNX Runtime runs, whoever loads it: MLflow, or a service by `veritas.load`."""

from __future__ import annotations

from domain.registry.artifact import Artifact

PROVIDERS = ("CPUExecutionProvider",)


def onnx_file(artifact: Artifact) -> str | None:
    """The path of the one ONNX file of an artifact; None if it has none, several, or one below a directory.

    MLflow's wrapper looks for MLmodel in the directory of the ONNX file, and external data lies beside it.
    """
    models = [file.path for file in artifact.files if file.path.endswith(".onnx")]
    return models[0] if len(models) == 1 and "/" not in models[0] else None
