"""Files of bare tensors: only the model beside them says what their bytes are, and it must say so of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO

from veritasvault.adapters.formats.base import CHUNK, Refused, read_exactly

_REMEDY = "export the model again with its library"
_LARGEST_CHECKED = 64 << 20


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes of another file of the artifact that hold a tensor.

    Attributes:
        check: what refuses them if they are not numbers; it gets all of them at once.
    """

    path: str
    start: int
    stop: int
    check: Callable[[bytes], None] | None = field(default=None, compare=False)


def check(file: IO[bytes], size: int, spans: list[Span]) -> None:
    """Refuse bytes that belong to no tensor, other than zeros for alignment.

    Reads what lies between the tensors, and those tensors that are no numbers.
    """
    end = 0
    for span in sorted(spans):
        _require_zeros(file, end, span.start)
        end = max(end, span.stop)
        if end > size:
            raise Refused(f"a tensor ends at byte {end} of {size}", _REMEDY)
        if span.check is not None:
            _check_content(file, span)
    _require_zeros(file, end, size)


def _check_content(file: IO[bytes], span: Span) -> None:
    size = span.stop - span.start
    if span.check is None or size > _LARGEST_CHECKED:
        raise Refused(
            f"a tensor of texts has {size} bytes", "keep texts of more than 64 MiB in a file beside"
        )
    file.seek(span.start)
    span.check(read_exactly(file, size, "a tensor", _REMEDY))


def _require_zeros(file: IO[bytes], start: int, stop: int) -> None:
    file.seek(start)
    while start < stop:
        chunk = file.read(min(CHUNK, stop - start))
        if not chunk or chunk.strip(b"\0"):
            raise Refused(f"it holds bytes that belong to no tensor, from {start} on", _REMEDY)
        start += len(chunk)
