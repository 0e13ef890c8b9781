"""ONNX models: every byte is a known field, every operator a standard one, all external data inside."""

from __future__ import annotations

import math
import mmap
import posixpath
import re
from dataclasses import dataclass, field
from typing import IO, Any

from domain.registry.artifact import as_artifact_path
from domain.registry.errors import UnsafeArtifact
from veritasvault.adapters.formats.base import CHUNK, Refused
from veritasvault.adapters.formats.onnx_schema import MESSAGES

_REMEDY = "export it again with standard operators, in one file or with external data beside it"
_DEEPEST = 100
_STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "ai.onnx.preview.training", "ai.onnx.training"})
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRE = {"varint": _VARINT, "fixed64": _FIXED64, "fixed32": _FIXED32}
# Attributes hold millions of numbers one by one; these runs of them are matched at once.
_RUNS = {
    ("AttributeProto", 7): re.compile(rb"(?:\x3d.{4})+", re.DOTALL),
    ("AttributeProto", 8): re.compile(rb"(?:\x40[\x80-\xff]{0,9}[\x00-\x7f])+"),
}
_KEPT = frozenset({"domain", "op_type", "name", "dims", "data_type", "data_location", "key", "value"})
_STRING = 8
_BITS = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128,
    16: 16, 17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2, 27: 6, 28: 6,
}  # fmt: skip
EXTERNAL_SUFFIXES = (".data", ".onnx_data")


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes of another file of the artifact that hold a tensor."""

    path: str
    start: int
    stop: int


def check(file: IO[bytes], size: int, name: str) -> list[Span]:
    """Where the model's external tensors lie; `name` is the model's own path in the artifact.

    Raises:
        Refused: for unknown fields, operators of other domains, and data outside of the artifact.
    """
    if not size:
        raise Refused("it is empty", _REMEDY)
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        model = _Model(data, posixpath.dirname(name))
        model.message("ModelProto", 0, size, 0)
    model.check_operators()
    return model.spans


def check_external(file: IO[bytes], size: int, spans: list[Span]) -> None:
    """Refuse external data with bytes that belong to no tensor, other than zeros for alignment."""
    end = 0
    for span in sorted(spans):
        _require_zeros(file, end, span.start)
        end = max(end, span.stop)
    if end > size:
        raise Refused(f"a tensor ends at byte {end} of {size}", _REMEDY)
    _require_zeros(file, end, size)


def _require_zeros(file: IO[bytes], start: int, stop: int) -> None:
    file.seek(start)
    while start < stop:
        chunk = file.read(min(CHUNK, stop - start))
        if not chunk or chunk.strip(b"\0"):
            raise Refused(f"it holds bytes that belong to no tensor, from {start} on", _REMEDY)
        start += len(chunk)


@dataclass
class _Model:
    """One walk over the wire format (protobuf encoding specification), message by message."""

    data: mmap.mmap
    folder: str
    spans: list[Span] = field(default_factory=list)
    operators: set[tuple[str, str]] = field(default_factory=set)
    functions: set[tuple[str, str]] = field(default_factory=set)

    def message(self, kind: str, at: int, end: int, depth: int) -> dict[str, list[Any]]:
        """The values of the fields that matter; every other field is checked and passed over."""
        if depth > _DEEPEST:
            raise Refused(f"its messages are nested more than {_DEEPEST} deep", _REMEDY)
        values: dict[str, list[Any]] = {}
        while at < end:
            tag, after = self._varint(at, end)
            number, wire = tag >> 3, tag & 7
            known = MESSAGES[kind].get(number)
            if known is None:
                raise Refused(f"a {kind} has the unknown field {number}", _REMEDY)
            name, content, repeated = known
            if name in values and not repeated:
                raise Refused(f"a {kind} has two fields {name}", _REMEDY)
            seen = values.setdefault(name, [])
            run = _RUNS.get((kind, number))
            if run is not None and (match := run.match(self.data, at, end)):
                at = match.end()
                continue
            value, at = self._value(content, wire, repeated, after, end, depth)
            if name in _KEPT or content in ("StringStringEntryProto", "bytes"):
                seen.append(value)
        self._visit(kind, values)
        return values

    def _value(
        self, content: str, wire: int, repeated: bool, at: int, end: int, depth: int
    ) -> tuple[Any, int]:
        """A field's value, and the place behind it; of bytes only their number."""
        expected = _WIRE.get(content)
        if expected is not None and wire == expected:
            if wire == _VARINT:
                return self._varint(at, end)
            width = 8 if wire == _FIXED64 else 4
            if at + width > end:
                raise Refused("a number is cut short", _REMEDY)
            return None, at + width
        if wire != _BYTES or (expected is not None and not repeated):
            raise Refused(f"a field of kind {content} has the wire type {wire}", _REMEDY)
        length, at = self._varint(at, end)
        stop = at + length
        if stop > end:
            raise Refused("a field is cut short", _REMEDY)
        if expected is not None:
            return self._packed(expected, at, stop), stop
        if content == "string":
            return self._text(at, stop), stop
        if content == "bytes":
            return length, stop
        return self.message(content, at, stop, depth + 1), stop

    def _packed(self, wire: int, at: int, stop: int) -> list[int]:
        if wire != _VARINT:
            if (stop - at) % (8 if wire == _FIXED64 else 4):
                raise Refused("a list of numbers is cut short", _REMEDY)
            return []
        numbers = []
        while at < stop:
            number, at = self._varint(at, stop)
            numbers.append(number)
        return numbers

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            byte = self.data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
        raise Refused("a number is cut short", _REMEDY)

    def _text(self, at: int, stop: int) -> str:
        try:
            return self.data[at:stop].decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused("a text is not UTF-8", _REMEDY) from error

    def _visit(self, kind: str, values: dict[str, list[Any]]) -> None:
        if kind == "NodeProto":
            self.operators.add((_one(values, "domain", ""), _one(values, "op_type", "")))
        elif kind == "FunctionProto":
            self.functions.add((_one(values, "domain", ""), _one(values, "name", "")))
        elif kind == "TensorProto":
            self._tensor(values)
        elif kind == "ModelProto" and not {"ir_version", "graph", "opset_import"} <= values.keys():
            raise Refused("it is no model: version, operator sets or graph are missing", _REMEDY)

    def _tensor(self, values: dict[str, list[Any]]) -> None:
        dims = [n for each in values.get("dims", ()) for n in (each if isinstance(each, list) else [each])]
        kind = _one(values, "data_type", 0)
        bits = _BITS.get(kind)
        # Negative dimensions are encoded as 2**64 - n.
        if len(dims) > 64 or any(n >= 2**63 for n in dims) or (bits is None and kind != _STRING):
            raise Refused(f"a tensor has the type {kind} or a wrong shape", _REMEDY)
        size = None if bits is None else -(-math.prod(dims) * bits // 8)
        if values.get("raw_data", [size]) != [size]:
            raise Refused("a tensor has more or less data than its shape needs", _REMEDY)
        external = values.get("external_data", [])
        if _one(values, "data_location", 0) == 0 and not external:
            return
        if size is None or "raw_data" in values or not external:
            raise Refused("a tensor has external data without place, or of texts", _REMEDY)
        self.spans.append(self._span({_one(e, "key", ""): _one(e, "value", "") for e in external}, size))

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


def _one(values: dict[str, list[Any]], name: str, default: Any) -> Any:
    found = values.get(name)
    return found[0] if found else default
