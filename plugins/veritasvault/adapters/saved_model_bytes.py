"""SavedModels whose bytes follow from the model alone.

TensorFlow numbers functions by what the process made before, orders them by a hash, and writes versions,
devices and a random fingerprint beside them; nothing of it is needed to load the model.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_FUNCTION = re.compile(r"__inference_(\w+?)_(\d+)(?=\W)")


def write_saved_model(module: Any, signature: Any, directory: Path) -> None:
    """Write a `tf.Module` with one signature into a directory that does not exist yet."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    tf.saved_model.save(module, str(directory), signatures=signature)
    file = directory / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    file.write_bytes(_plain(model).SerializeToString(deterministic=True))
    (directory / "fingerprint.pb").unlink(missing_ok=True)
    # No store keeps empty directories, and loading does without this one.
    (directory / "assets").rmdir()


def _plain(model: Any) -> Any:
    """The model without what differs from process to process."""
    from google.protobuf import text_format

    text = text_format.MessageToString(model)
    found = sorted({(int(number), name) for name, number in _FUNCTION.findall(text)})
    places = {number: place for place, (number, _) in enumerate(found)}
    text = _FUNCTION.sub(lambda name: f"__inference_{name[1]}_{places[int(name[2])]}", text)
    plain = text_format.Parse(text, type(model)())
    for graph in plain.meta_graphs:
        graph.meta_info_def.ClearField("tensorflow_version")
        graph.meta_info_def.ClearField("tensorflow_git_version")
        library = graph.graph_def.library
        functions = sorted(library.function, key=lambda function: str(function.signature.name))
        del library.function[:]
        library.function.extend(functions)
        for function in library.function:
            for argument in function.arg_attr.values():
                # Of a captured variable it is the number of an object in the process.
                argument.attr.pop("_user_specified_name", None)
        for nodes in (graph.graph_def.node, *(function.node_def for function in library.function)):
            for node in nodes:
                if "config_proto" in node.attr:
                    node.attr["config_proto"].s = b""
    return plain
