"""Files of bare tensors: only the model beside them says what their bytes are, and it must say so of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO

from veritasvault.adapters.formats.base import CHUNK, Refused

_REMEDY = "export the model again with its library"


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Bytes of another file of the artifact that hold a tensor."""

    path: str
    start: int
    stop: int


def check(file: IO[bytes], size: int, spans: list[Span]) -> None:
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
