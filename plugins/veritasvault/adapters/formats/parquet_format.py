"""Parquet: a readable footer whose column chunks cover the file without a gap; pages are not read."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import IO, Any

from veritasvault.adapters.formats.base import Refused, read_exactly

_REMEDY = "write it again with pyarrow, without page index and bloom filters"
_MAGIC = b"PAR1"
_LONGEST_FOOTER = 16 << 20
_SCHEMA = b"ARROW:schema"
# Whose library is imported builds an extension type from its bytes: pyarrow, Ray and others by unpickling.
_EXTENSION = b"ARROW:extension:name"


def check(file: IO[bytes], size: int) -> None:
    """Refuse hidden bytes before, between and behind the column chunks, and extension types."""
    if size < 12 or read_exactly(file, 4, "its header", _REMEDY) != _MAGIC:
        raise Refused("it does not begin as Parquet", _REMEDY)
    file.seek(size - 8)
    length, magic = struct.unpack("<I4s", read_exactly(file, 8, "its footer", _REMEDY))
    if magic != _MAGIC or length > min(size - 12, _LONGEST_FOOTER):
        raise Refused("it does not end as Parquet", _REMEDY)
    metadata = _metadata(file)
    end = 4
    for first, last in sorted(_chunks(metadata)):
        if first != end:
            raise Refused(f"it has bytes outside of its columns, from {end} to {first}", _REMEDY)
        end = last
    if end != size - 8 - length:
        raise Refused(f"it has bytes outside of its columns, from {end} to {size - 8 - length}", _REMEDY)


def _metadata(file: IO[bytes]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.seek(0)
    try:
        metadata = pq.read_metadata(file)
        entries = metadata.metadata or {}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Refused(f"its footer cannot be read ({error})", _REMEDY) from error
    try:
        schema = base64.b64decode(entries.get(_SCHEMA, b""), validate=True)
    except binascii.Error as error:
        raise Refused("its Arrow schema is not base64", _REMEDY) from error
    if _EXTENSION in schema:
        raise Refused("its schema has an extension type, which may be a pickle", "store plain Arrow types")
    return metadata


def _chunks(metadata: Any) -> list[tuple[int, int]]:
    spans = []
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for column in range(row_group.num_columns):
            chunk = row_group.column(column)
            if chunk.file_path:
                raise Refused(f"it refers to another file, {chunk.file_path!r}", _REMEDY)
            first = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                first = min(first, chunk.dictionary_page_offset)
            if chunk.total_compressed_size < 0:
                raise Refused("a column has a negative size", _REMEDY)
            spans.append((first, first + chunk.total_compressed_size))
    return spans
