"""ONNX models: every byte is a known field, every operator a standard one, all external data inside."""

from __future__ import annotations

import math
import mmap
import posixpath
import re
from typing import IO

from domain.registry.artifact import as_artifact_path
from domain.registry.errors import UnsafeArtifact
from veritasvault.adapters.formats.base import Refused
from veritasvault.adapters.formats.external_data import Span
from veritasvault.adapters.formats.onnx_schema import MESSAGES
from veritasvault.adapters.formats.protobuf_wire import Values, WireReader, numbers, one

_REMEDY = "export it again with standard operators, in one file or with external data beside it"
_STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "ai.onnx.training"})
# Attributes hold millions of numbers one by one; these runs of them are matched at once.
_RUNS = {
    ("AttributeProto", 7): re.compile(rb"(?:\x3d.{4})+", re.DOTALL),
    ("AttributeProto", 8): re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])+"),
}
_KEPT = frozenset(
    {"domain", "op_type", "name", "dims", "data_type", "data_location", "key", "value", "raw_data"}
)
_STRING = 8
_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128,
    16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2, 27: 6, 28: 6,
}  # fmt: skip
EXTERNAL_SUFFIXES = (".data", ".onnx_data")


def check(file: IO[bytes], size: int, name: str) -> list[Span]:
    """Where the model's external tensors lie; `name` is the model's own path in the artifact.

    Raises:
        Refused: for unknown fields, operators of other domains, and data outside of the artifact.
    """
    if not size:
        raise Refused("it is empty", _REMEDY)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        model = _Model(data, posixpath.dirname(name))
        model.message("ModelProto", 0, size)
    model.check_operators()
    return model.spans


class _Model(WireReader):
    """A model's operators, functions and external tensors, found on one walk over its messages."""

    def __init__(self, data: mmap.mmap, folder: str) -> None:
        super().__init__(data, MESSAGES, remedy=_REMEDY, runs=_RUNS)
        self.folder = folder
        self.spans: list[Span] = []
        self.operators: set[tuple[str, str]] = set()
        self.functions: set[tuple[str, str]] = set()

    def keeps(self, kind: str, name: str, content: str) -> bool:
        return name in _KEPT or content == "StringStringEntryProto"

    def visit(self, kind: str, values: Values) -> None:
        if kind == "NodeProto":
            self.operators.add((one(values, "domain", ""), one(values, "op_type", "")))
        elif kind == "FunctionProto":
            self.functions.add((one(values, "domain", ""), one(values, "name", "")))
        elif kind == "TensorProto":
            self._tensor(values)
        elif kind == "ModelProto" and not {"ir_version", "graph", "opset_import"} <= values.keys():
            raise Refused("it is no model: version, operator sets or graph are missing", _REMEDY)

    def _tensor(self, values: Values) -> None:
        dims = numbers(values, "dims")
        kind = one(values, "data_type", 0)
        bits = _BITS.get(kind)
        # Negative dimensions are encoded as 2**64 - n.
        if len(dims) > 64 or any(n >= 2**63 for n in dims) or (bits is None and kind != _STRING):
            raise Refused(f"a tensor has the type {kind} or a wrong shape", _REMEDY)
        size = None if bits is None else -(-math.prod(dims) * bits // 8)
        if any(len(raw) != size for raw in values.get("raw_data", ())):
            raise Refused("a tensor has more or less data than its shape needs", _REMEDY)
        external = values.get("external_data", [])
        if one(values, "data_location", 0) == 0 and not external:
            return
        if size is None or "raw_data" in values or not external:
            raise Refused("a tensor has external data without place, or of texts", _REMEDY)
        self.spans.append(self._span({one(e, "key", ""): one(e, "value", "") for e in external}, size))

    def _span(self, entries: dict[str, str], size: int) -> Span:
        location = entries.get("location", "")
        try:
            start, length = int(entries.get("offset", "0")), int(entries.get("length", str(size)))
            path = as_artifact_path("location", posixpath.join(self.folder, location))
        except (ValueError, UnsafeArtifact) as error:
            raise Refused(f"it refers to data at {location!r}", _REMEDY) from error
        if start < 0 or length != size or location.startswith("/"):
            raise Refused(f"it refers to {length} bytes at {start} of {location!r}", _REMEDY)
        if not path.endswith(EXTERNAL_SUFFIXES):
            raise Refused(f"its external data is called {location!r}", "call it NAME.data or NAME.onnx_data")
        return Span(path, start, start + length)

    def check_operators(self) -> None:
        """Refuse operators of other domains than ONNX's own, unless the model itself defines them."""
        for domain, name in sorted(self.functions):
            if domain in _STANDARD_DOMAINS:
                raise Refused(f"it redefines the standard operator {name!r}", _REMEDY)
        for domain, name in sorted(self.operators - self.functions):
            if domain not in _STANDARD_DOMAINS:
                raise Refused(f"it uses the operator {name!r} of the domain {domain!r}", _REMEDY)
