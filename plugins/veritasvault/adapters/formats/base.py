"""What the parsers share: how they refuse, and reads that notice a short file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

CHUNK = 1 << 20


class Refused(Exception):
    """A file is not, completely, of the format its name says."""

    def __init__(self, reason: str, remedy: str) -> None:
        self.reason = reason
        self.remedy = remedy
        super().__init__(reason)


class Readable(Protocol):
    """Anything with `read(n)`, at the start of what is to be parsed."""

    def read(self, size: int, /) -> bytes: ...


def read_exactly(file: Readable, size: int, what: str, remedy: str) -> bytes:
    """Read `size` bytes or refuse the file as cut short in `what`."""
    data = b""
    while len(data) < size:
        chunk = file.read(size - len(data))
        if not chunk:
            raise Refused(f"it ends within {what}", remedy)
        data += chunk
    return data


def strict_json(data: bytes, what: str, remedy: str) -> Any:
    """Parse UTF-8 JSON without byte order mark, NaN, infinities and repeated names."""

    def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise Refused(f"{what} repeats a name within an object", remedy)
        return result

    def constant(name: str) -> Any:
        raise Refused(f"{what} holds {name}, which is not JSON", remedy)

    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=constant)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{what} is not UTF-8 JSON ({error})", remedy) from error
