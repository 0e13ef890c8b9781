"""File operators of a SavedModel: its own saver alone has them, below the prefix it is called with.

`tf.saved_model.save` writes two functions that save and restore the variables. The graph calls each of them
once, with a placeholder as the file's prefix that whoever loads the model fills in. Such functions are
admitted; a file operator anywhere else, or with a name that the model itself chooses, is not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from veritasvault.adapters.formats.base import Refused

_REMEDY = "save the model again with tf.saved_model.save of TensorFlow 2"
_NAMES_AT = {"SaveV2": (0,), "RestoreV2": (0,), "ShardedFilename": (0,), "MergeV2Checkpoints": (0, 1)}
OPERATORS = frozenset(_NAMES_AT)
"""Operators that open files, and those that only make their names."""
_CALLS = ("StatefulPartitionedCall", "PartitionedCall")
_PART = re.compile(rb"[0-9A-Za-z_-]*(?:[./][0-9A-Za-z_-]+)*")


@dataclass(frozen=True, slots=True)
class Node:
    """An operator of a graph: its inputs as `NAME`, `NAME:OUTPUT:INDEX` or `^NAME`, and what it refers to.

    Attributes:
        called: names of functions in its attributes.
        texts: the bytes of text attributes, and of constants of texts, by attribute.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    called: tuple[str, ...]
    texts: Mapping[str, list[bytes]]


@dataclass(frozen=True, slots=True)
class Scope:
    """The nodes of the main graph or of a function, by name, and the function's arguments."""

    arguments: tuple[str, ...]
    nodes: dict[str, Node]


def check(
    main: Scope, functions: Mapping[str, Scope], saver: Mapping[str, str], public: frozenset[str]
) -> None:
    """Refuse file operators outside of the saver's two functions, and names that are not below its prefix.

    Args:
        saver: the SaverDef's names of its placeholder, of the call that saves and of the call that restores.
        public: functions that whoever loads the model can call with arguments of the model's own.
    """
    for node in _file_operators(main):
        raise Refused(f"it uses the operator {node.op!r} outside of the functions that save it", _REMEDY)
    opening = {name for name, scope in functions.items() if any(_file_operators(scope))}
    for name in sorted(opening & public):
        raise Refused(f"it offers the function {name!r}, which opens files", _REMEDY)
    for scope in functions.values():
        for node in _calls(scope, opening):
            raise Refused(f"the node {node.name!r} calls a function that opens files", _REMEDY)
    for node in _calls(main, opening):
        _check_call(main, node, saver)
    for name in opening:
        _check_names(functions[name])


def _file_operators(scope: Scope) -> Iterator[Node]:
    return (node for node in scope.nodes.values() if node.op in OPERATORS)


def _calls(scope: Scope, opening: set[str]) -> Iterator[Node]:
    return (
        node for node in scope.nodes.values() if node.op in opening or not opening.isdisjoint(node.called)
    )


def _check_call(main: Scope, node: Node, saver: Mapping[str, str]) -> None:
    entry = {_base(saver.get("save_tensor_name", "")), _base(saver.get("restore_op_name", ""))}
    prefix = main.nodes.get(_base(node.inputs[0])) if node.inputs else None
    if node.name not in entry or node.op not in _CALLS:
        raise Refused(f"the node {node.name!r} calls a function that opens files", _REMEDY)
    if (
        prefix is None
        or prefix.op != "Placeholder"
        or prefix.name != _base(saver.get("filename_tensor_name", ""))
    ):
        raise Refused(f"the node {node.name!r} chooses itself which file is opened", _REMEDY)


def _check_names(scope: Scope) -> None:
    for node in _file_operators(scope):
        for at in _NAMES_AT[node.op]:
            if at >= len(node.inputs) or not _below_prefix(scope, node.inputs[at], 0):
                raise Refused(
                    f"the node {node.name!r} opens a file of another name than it is given", _REMEDY
                )


def _below_prefix(scope: Scope, name: str, depth: int) -> bool:
    """Whether a text is the function's first argument, with nothing added but parts of file names."""
    base = _base(name)
    if base in scope.arguments:
        return base == scope.arguments[0]
    node = scope.nodes.get(base)
    if node is None or not node.inputs or depth > 20:
        return False
    if node.op in ("Identity", "ShardedFilename"):
        return _below_prefix(scope, node.inputs[0], depth + 1)
    data = [each for each in node.inputs if not each.startswith("^")]
    if node.op == "Pack":
        return all(_below_prefix(scope, each, depth + 1) for each in data)
    return (
        node.op == "StringJoin"
        and not any(node.texts.get("separator", ()))
        and _below_prefix(scope, data[0], depth + 1)
        and all(_is_part(scope, each) for each in data[1:])
    )


def _is_part(scope: Scope, name: str) -> bool:
    node = scope.nodes.get(_base(name))
    if node is None:
        return False
    if node.op == "Select":
        return len(node.inputs) >= 3 and all(_is_part(scope, each) for each in node.inputs[1:3])
    return node.op == "Const" and all(_PART.fullmatch(text) for text in node.texts.get("value", ()))


def _base(name: str) -> str:
    """The node or argument that an input names."""
    return name.removeprefix("^").partition(":")[0]
