"""JSON from which libraries build Python objects: data to every other reader, and a program to theirs."""

from __future__ import annotations

from typing import Any

from veritasvault.adapters.formats.base import Refused

# Keras marshals what a Lambda computes, and imports functions by module and name.
_KERAS_CODE = frozenset({"Lambda", "__lambda__", "function", "builtin_function_or_method"})
_KERAS = "keras"


def refuse_dialects(document: Any) -> None:
    """Refuse jsonpickle, code in Keras configurations, and references to Python of the model's own.

    This is the one list of the forbidden beside the allow-list of formats, for JSON has no types to allow.
    """
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            _check(value)
            pending.extend(value.values())


def _check(value: dict[str, Any]) -> None:
    for name in value:
        if name.startswith("py/"):
            raise Refused(f"jsonpickle builds Python objects from its {name!r}", "store plain values")
    if "auto_map" in value:
        raise Refused("its 'auto_map' makes transformers import Python of its author's", "leave it out")
    if "class_name" in value and "config" in value:
        module, name = value.get("module"), value["class_name"]
        foreign = isinstance(module, str) and module.partition(".")[0] != _KERAS
        if name in _KERAS_CODE or foreign:
            raise Refused(
                f"Keras imports or unmarshals code for its {module or ''}.{name}".replace(" .", " "),
                "export the model as ONNX or with model.export()",
            )
