"""TensorFlow's messages as protobuf classes, made from the scanner's table, for tests to change models."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from veritasvault.adapters.formats.saved_model_schema import MESSAGES

ACCEPTED = Path(__file__).parents[1] / "golden" / "v1" / "accepted"
_KINDS = {"varint": 4, "fixed64": 1, "fixed32": 2, "string": 9, "bytes": 12}  # uint64, double, float


def message(kind: str) -> Any:
    """An empty message of a kind in the table."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(_name(kind)))()


def saved_model() -> Any:
    """The graph of the small module that TensorFlow wrote."""
    model = message("SavedModel")
    model.ParseFromString((ACCEPTED / "tensorflow" / "saved_model.pb").read_bytes())
    return model


def nodes(model: Any) -> Any:
    """The nodes of its main graph."""
    return model.meta_graphs[0].graph_def.node


def function(model: Any, name: str) -> Any:
    """The first function whose name contains a text."""
    library = model.meta_graphs[0].graph_def.library.function
    return next(each for each in library if name in each.signature.name)


def _name(kind: str) -> str:
    return "tensorflow." + kind.replace(".", "_")


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="tensorflow.proto", package="tensorflow", syntax="proto3")
    for kind, fields in MESSAGES.items():
        made = file.message_type.add(name=kind.replace(".", "_"))
        for number, (name, content, repeated) in fields.items():
            field = made.field.add(name=name, number=number, label=3 if repeated else 1)
            field.type = _KINDS.get(content, 11)  # type: ignore[assignment]
            if content not in _KINDS:
                field.type_name = "." + _name(content)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool
