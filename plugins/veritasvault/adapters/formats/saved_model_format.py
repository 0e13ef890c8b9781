"""SavedModels: every byte a known field, every operator one that only computes, no Python to revive."""

from __future__ import annotations

import math
import mmap
import posixpath
import re
from typing import IO, Any

from veritasvault.adapters.formats import saved_model_saver
from veritasvault.adapters.formats.base import Refused
from veritasvault.adapters.formats.protobuf_wire import Values, WireReader, one
from veritasvault.adapters.formats.saved_model_operators import COMPUTING
from veritasvault.adapters.formats.saved_model_saver import Node, Scope
from veritasvault.adapters.formats.saved_model_schema import MESSAGES

GRAPH, FINGERPRINT = "saved_model.pb", "fingerprint.pb"
_REMEDY = "export it again with tf.saved_model.save or model.export() of TensorFlow 2, without custom Python"
# Identifiers of `tf.saved_model.load` that stand for containers; others revive classes, as Keras's layers.
_CONTAINERS = frozenset(
    {
        "", "_generic_user_object", "signature_map", "trackable_dict_wrapper", "trackable_list_wrapper",
        "trackable_tuple_wrapper",
    }
)  # fmt: skip
_REGISTERED = frozenset({"", "tf.StaticHashTable", "tf.TrackableConstant"})
_ASSET = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z_.-]*")
# How TensorFlow's own operators are called; a function of such a name could stand in for one of them.
_OPERATOR_NAME = re.compile(r"_?[A-Z][0-9A-Za-z_]*")
_KEPT = {
    "SavedModel": {"saved_model_schema_version", "meta_graphs"},
    "MetaGraphDef": {"graph_def", "saver_def", "object_graph_def"},
    "GraphDef": {"node", "library"},
    "FunctionDefLibrary": {"function"},
    "FunctionDef": {"signature", "node_def"},
    "OpDef": {"name", "input_arg"},
    "OpDef.ArgDef": {"name"},
    "NodeDef": {"name", "op", "input", "attr"},
    "NodeDef.AttrEntry": {"key", "value"},
    "AttrValue": {"s", "tensor", "func", "list"},
    "AttrValue.ListValue": {"func"},
    "NameAttrList": {"name", "attr"},
    "NameAttrList.AttrEntry": {"key", "value"},
    "TensorProto": {"dtype", "tensor_shape", "tensor_content", "string_val"},
    "TensorShapeProto": {"dim", "unknown_rank"},
    "TensorShapeProto.Dim": {"size"},
    "SaverDef": {"filename_tensor_name", "save_tensor_name", "restore_op_name"},
    "AssetFileDef": {"filename"},
    "SavedObjectGraph": {"nodes", "concrete_functions"},
    "SavedObjectGraph.ConcreteFunctionsEntry": {"key"},
    "SavedObject": {"function", "bare_concrete_function", "registered_name", "registered_saver"},
    "SavedFunction": {"concrete_functions"},
    "SavedBareConcreteFunction": {"concrete_function_name"},
    "SavedUserObject": {"identifier", "metadata"},
    "CollectionDef.BytesList": {"value"},
    "TrackableObjectGraph.TrackableObject": {"registered_saver"},
}
STRING = 7
"""DT_STRING of TensorFlow's types.proto."""
WIDTHS = {
    1: 4, 2: 8, 3: 4, 4: 1, 5: 2, 6: 1, 8: 8, 9: 8, 10: 1, 11: 1, 12: 1, 13: 4, 14: 2, 15: 2, 16: 2, 17: 2,
    18: 16, 19: 2, 22: 4, 23: 8, 24: 1, 25: 1, 26: 1, 27: 1, 28: 1, 29: 1, 30: 1, 31: 1, 32: 1,
}  # fmt: skip
"""Bytes of one element by DataType; texts, resources and variants have none."""


def check(file: IO[bytes], size: int) -> None:
    """Refuse a saved_model.pb that could do more than compute when it is loaded or called.

    Raises:
        Refused: for unknown fields, operators outside of `COMPUTING`, file operators other than those of the
            model's own saver, objects that revive Python classes, and opaque messages.
    """
    if not size:
        raise Refused("it is empty", _REMEDY)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        reader = _Reader(data)
        model = reader.message("SavedModel", 0, size)
        if one(model, "saved_model_schema_version", 0) != 1 or not model.get("meta_graphs"):
            raise Refused("it is no SavedModel: version or graph are missing", _REMEDY)
        for graph in model["meta_graphs"]:
            _check_graph(graph, data)


def check_fingerprint(file: IO[bytes], size: int) -> None:
    """Refuse a fingerprint.pb with anything but its known fields."""
    data = file.read()
    _Reader(data).message("FingerprintDef", 0, size)


def check_object_graph(data: bytes) -> None:
    """Refuse the object graph of a checkpoint if it has unknown fields, or savers of custom classes."""
    _Reader(data).message("TrackableObjectGraph", 0, len(data))


def home(path: str) -> str:
    """The path of the saved_model.pb that a file in its directory or in `variables/` belongs to."""
    folder = posixpath.dirname(path)
    if posixpath.basename(path) != FINGERPRINT:
        folder = posixpath.dirname(folder) if posixpath.basename(folder) == "variables" else "/"
    return posixpath.join(folder, GRAPH)


def tensor_size(dtype: int, shape: Values) -> int | None:
    """Bytes that a tensor takes, None if its type has no fixed width or its shape is open or unknown."""
    sizes = [one(dim, "size", 0) for dim in shape.get("dim", ())]
    # Negative sizes are encoded as 2**64 - n.
    if dtype not in WIDTHS or len(sizes) > 254 or any(n >= 2**63 for n in sizes):
        return None
    return int(math.prod(sizes)) * WIDTHS[dtype]


class _Reader(WireReader):
    """Keeps graphs, functions and objects, and refuses at once what no context could make harmless."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        super().__init__(data, MESSAGES, remedy=_REMEDY)

    def keeps(self, kind: str, name: str, content: str) -> bool:
        return name in _KEPT.get(kind, ())

    def visit(self, kind: str, values: Values) -> None:
        if kind == "TensorProto":
            self._tensor(values)
        elif kind == "Any" or (kind == "CollectionDef.BytesList" and values.get("value")):
            raise Refused("it holds a message whose content only its writer knows", _REMEDY)
        elif kind == "SavedUserObject":
            identifier, metadata = one(values, "identifier", ""), one(values, "metadata", "")
            if identifier not in _CONTAINERS or metadata:
                raise Refused(f"it revives a Python object of the kind {identifier!r}", _REMEDY)
        elif kind in ("SavedObject", "TrackableObjectGraph.TrackableObject"):
            name = one(values, "registered_name", "")
            if name not in _REGISTERED or values.get("registered_saver"):
                raise Refused(f"it revives a Python class of its own, {name!r}", _REMEDY)
        elif kind == "AssetFileDef":
            name = one(values, "filename", "")
            if not _ASSET.fullmatch(name):
                raise Refused(f"it names the asset {name!r}", "give assets plain names")

    def _tensor(self, values: Values) -> None:
        if "resource_handle_val" in values or "variant_val" in values:
            raise Refused("a tensor holds a handle or a variant", _REMEDY)
        content = one(values, "tensor_content", None)
        if content is not None and len(content) != tensor_size(
            one(values, "dtype", 0), one(values, "tensor_shape", {})
        ):
            raise Refused("a tensor has more or less data than its shape needs", _REMEDY)


def _check_graph(graph: Values, data: mmap.mmap) -> None:
    definition = one(graph, "graph_def", {})
    functions = {}
    for function in one(definition, "library", {}).get("function", ()):
        signature = one(function, "signature", {})
        name = one(signature, "name", "")
        if name in functions:
            raise Refused(f"it defines the function {name!r} twice", _REMEDY)
        arguments = tuple(one(argument, "name", "") for argument in signature.get("input_arg", ()))
        functions[name] = _scope(function.get("node_def", ()), arguments, data)
    main = _scope(definition.get("node", ()), (), data)
    for scope in (main, *functions.values()):
        for node in scope.nodes.values():
            _check_operator(node, functions)
    saver_definition = {name: found[0] for name, found in one(graph, "saver_def", {}).items() if found}
    public = frozenset(_public(one(graph, "object_graph_def", {})))
    saved_model_saver.check(main, functions, saver_definition, public)


def _scope(nodes: Any, arguments: tuple[str, ...], data: mmap.mmap) -> Scope:
    scope = Scope(arguments, {})
    for values in nodes:
        node = _node(values, data)
        if node.name in scope.nodes or node.name in arguments:
            raise Refused(f"it has two nodes {node.name!r}", _REMEDY)
        scope.nodes[node.name] = node
    return scope


def _node(values: Values, data: mmap.mmap) -> Node:
    called: list[str] = []
    texts: dict[str, list[bytes]] = {}
    for entry in values.get("attr", ()):
        key, value = one(entry, "key", ""), one(entry, "value", {})
        called.extend(_functions(value))
        found = [*value.get("s", ()), *one(value, "tensor", {}).get("string_val", ())]
        texts.setdefault(key, []).extend(data[text.start : text.stop] for text in found)
    return Node(
        one(values, "name", ""), one(values, "op", ""), tuple(values.get("input", ())), tuple(called), texts
    )


def _functions(value: Values) -> list[str]:
    """Names of the functions that an attribute refers to, also within attributes of those references."""
    lists = [reference for each in value.get("list", ()) for reference in each.get("func", ())]
    names = []
    for reference in (*value.get("func", ()), *lists):
        names.append(one(reference, "name", ""))
        for entry in reference.get("attr", ()):
            names.extend(_functions(one(entry, "value", {})))
    return names


def _check_operator(node: Node, functions: dict[str, Scope]) -> None:
    # An operator may also be the name of a function, which is then called.
    is_call = node.op in functions and not _OPERATOR_NAME.fullmatch(node.op)
    if node.op not in COMPUTING and node.op not in saved_model_saver.OPERATORS and not is_call:
        raise Refused(f"it uses the operator {node.op!r}, which may do more than compute", _REMEDY)
    for name in node.called:
        # TensorFlow leaves the branch of a conditional without name where there is none.
        if name and name not in functions:
            raise Refused(f"it calls the function {name!r} that it does not define", _REMEDY)


def _public(objects: Values) -> list[str]:
    """Names of the functions that whoever loads the model can call."""
    names = [one(entry, "key", "") for entry in objects.get("concrete_functions", ())]
    for saved in objects.get("nodes", ()):
        names.extend(one(saved, "function", {}).get("concrete_functions", ()))
        names.extend(one(saved, "bare_concrete_function", {}).get("concrete_function_name", ()))
    return names
