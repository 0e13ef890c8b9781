"""Protobuf's wire format, strictly: every byte belongs to a field that a table of messages knows."""

from __future__ import annotations

import mmap
import re
from collections.abc import Mapping
from typing import Any

from veritasvault.adapters.formats.base import Refused

Field = tuple[str, str, bool]
"""A field's name, its kind (a scalar of `WIRE`, 'string', 'bytes' or a message) and whether it repeats."""
Messages = Mapping[str, Mapping[int, Field]]
"""For each kind of message its fields by number."""
Values = dict[str, list[Any]]
"""The values of a message's fields by name, in the order of the file."""

_DEEPEST = 100
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_WIRE = {"varint": _VARINT, "fixed64": _FIXED64, "fixed32": _FIXED32}


class WireReader:
    """One walk over a message (protobuf encoding specification), depth first.

    Subclasses say which values they want to see (`keeps`) and look at each finished message (`visit`).
    """

    def __init__(
        self,
        data: bytes | mmap.mmap,
        messages: Messages,
        *,
        remedy: str,
        runs: Mapping[tuple[str, int], re.Pattern[bytes]] | None = None,
    ) -> None:
        """`runs` match many unpacked numbers of a field (message kind, number) at once, to spare time."""
        self.data = data
        self.remedy = remedy
        self._messages = messages
        self._runs = runs or {}

    def keeps(self, kind: str, name: str, content: str) -> bool:
        """Whether values of the field `name`, which holds `content`, are handed to `visit`."""
        raise NotImplementedError

    def visit(self, kind: str, values: Values) -> None:
        """Called for each message after its fields; refuses what must not be there."""

    def message(self, kind: str, at: int, end: int, depth: int = 0) -> Values:
        """The kept values between two places; every other field is checked and passed over.

        Numbers are integers (floats are not decoded: None), texts `str`, bytes the `range` they lie in,
        messages `Values`, packed numbers lists.

        Raises:
            Refused: for unknown fields, repeated single fields, wrong wire types and cut ends.
        """
        if depth > _DEEPEST:
            raise Refused(f"its messages are nested more than {_DEEPEST} deep", self.remedy)
        values: Values = {}
        while at < end:
            tag, after = varint(self.data, at, end, self.remedy)
            number, wire = tag >> 3, tag & 7
            known = self._messages[kind].get(number)
            if known is None:
                raise Refused(f"a {kind} has the unknown field {number}", self.remedy)
            name, content, repeated = known
            if name in values and not repeated:
                raise Refused(f"a {kind} has two fields {name}", self.remedy)
            seen = values.setdefault(name, [])
            run = self._runs.get((kind, number))
            if run is not None and (match := run.match(self.data, at, end)):
                at = match.end()
                continue
            value, at = self._value(content, wire, repeated, after, end, depth)
            if self.keeps(kind, name, content):
                seen.append(value)
        self.visit(kind, values)
        return values

    def _value(
        self, content: str, wire: int, repeated: bool, at: int, end: int, depth: int
    ) -> tuple[Any, int]:
        """A field's value, and the place behind it."""
        expected = _WIRE.get(content)
        if expected is not None and wire == expected:
            if wire == _VARINT:
                return varint(self.data, at, end, self.remedy)
            width = 8 if wire == _FIXED64 else 4
            if at + width > end:
                raise Refused("a number is cut short", self.remedy)
            return None, at + width
        if wire != _BYTES or (expected is not None and not repeated):
            raise Refused(f"a field of kind {content} has the wire type {wire}", self.remedy)
        length, at = varint(self.data, at, end, self.remedy)
        stop = at + length
        if stop > end:
            raise Refused("a field is cut short", self.remedy)
        if expected is not None:
            return self._packed(expected, at, stop), stop
        if content == "string":
            return self._text(at, stop), stop
        if content == "bytes":
            return range(at, stop), stop
        return self.message(content, at, stop, depth + 1), stop

    def _packed(self, wire: int, at: int, stop: int) -> list[int]:
        if wire != _VARINT:
            if (stop - at) % (8 if wire == _FIXED64 else 4):
                raise Refused("a list of numbers is cut short", self.remedy)
            return []
        numbers = []
        while at < stop:
            number, at = varint(self.data, at, stop, self.remedy)
            numbers.append(number)
        return numbers

    def _text(self, at: int, stop: int) -> str:
        try:
            return self.data[at:stop].decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refused("a text is not UTF-8", self.remedy) from error


def varint(data: bytes | mmap.mmap, at: int, end: int, remedy: str) -> tuple[int, int]:
    """The number at a place, seven bits to a byte and the lowest first, and the place behind it."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise Refused("a number is cut short", remedy)


def one(values: Values, name: str, default: Any) -> Any:
    """The value of a field that does not repeat."""
    found = values.get(name)
    return found[0] if found else default


def numbers(values: Values, name: str) -> list[int]:
    """The numbers of a repeated field, which may be packed or not."""
    return [n for each in values.get(name, ()) for n in (each if isinstance(each, list) else [each])]
