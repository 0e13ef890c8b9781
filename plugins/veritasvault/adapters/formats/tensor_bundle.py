"""Variables of a SavedModel: an index of tensors that accounts for every byte of the data beside it."""

from __future__ import annotations

import functools
import posixpath
import re
import struct
from collections.abc import Iterator
from typing import IO

from veritasvault.adapters.formats.base import Refused
from veritasvault.adapters.formats.external_data import Span
from veritasvault.adapters.formats.protobuf_wire import Values, WireReader, one, varint
from veritasvault.adapters.formats.saved_model_format import STRING, check_object_graph, tensor_size
from veritasvault.adapters.formats.saved_model_schema import MESSAGES

INDEX = "variables.index"
DATA = re.compile(r"variables\.data-[0-9]{5}-of-[0-9]{5}")
_REMEDY = "save the model again with tf.saved_model.save of TensorFlow 2"
_LARGEST_INDEX = 64 << 20
_MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
_FOOTER = 48
# A block is followed by its compression and a checksum; bundles are written without compression.
_TRAILER = 5
_OBJECT_GRAPH = b"_CHECKPOINTABLE_OBJECT_GRAPH"
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def check(file: IO[bytes], size: int, name: str) -> list[Span]:
    """Where the tensors lie in the data files; `name` is the index's own path in the artifact.

    The format is TensorFlow's tensor_bundle: a LevelDB table (doc/table_format.md there) from tensor names
    to BundleEntryProto, with a BundleHeaderProto under the empty name.

    Raises:
        Refused: for bytes outside of blocks, compressed blocks, slices, variants, and sizes that do not fit.
    """
    if not _FOOTER <= size <= _LARGEST_INDEX:
        raise Refused(f"it has {size} bytes", _REMEDY)
    entries = list(_table(file.read()))
    if not entries or entries[0][0]:
        raise Refused("it does not begin with its header", _REMEDY)
    header = _message("BundleHeaderProto", entries[0][1])
    shards = one(header, "num_shards", 0)
    if not 1 <= shards <= 99_999 or one(header, "endianness", 0):
        raise Refused("its header has no data files, or another byte order than little-endian", _REMEDY)
    stem = posixpath.join(posixpath.dirname(name), "variables.data")
    return [_span(key, _message("BundleEntryProto", value), stem, shards) for key, value in entries[1:]]


def _span(key: bytes, entry: Values, stem: str, shards: int) -> Span:
    dtype, shape = one(entry, "dtype", 0), one(entry, "shape", {})
    shard, start, size = (one(entry, field, 0) for field in ("shard_id", "offset", "size"))
    if "slices" in entry or shard >= shards or start >= 2**63 or size >= 2**63:
        raise Refused(f"the tensor {key!r} is in slices or at no place", _REMEDY)
    path = f"{stem}-{shard:05}-of-{shards:05}"
    if dtype == STRING:
        count = tensor_size(6, shape)  # an int8 of that shape has one byte for each text
        if count is None:
            raise Refused(f"the tensor {key!r} has an open shape", _REMEDY)
        return Span(path, start, start + size, functools.partial(_check_texts, key, count))
    if size != tensor_size(dtype, shape):
        raise Refused(
            f"the tensor {key!r} has the type {dtype} or a size that does not fit its shape", _REMEDY
        )
    return Span(path, start, start + size)


def _check_texts(key: bytes, count: int, data: bytes) -> None:
    """Texts lie as their lengths, a checksum of these, and their bytes one behind the other."""
    at, lengths = 0, []
    for _ in range(count):
        length, at = varint(data, at, len(data), _REMEDY)
        lengths.append(length)
    at += 4
    if at + sum(lengths) != len(data):
        raise Refused(f"the tensor {key!r} has more or fewer bytes than its texts", _REMEDY)
    for length in lengths:
        text, at = data[at : at + length], at + length
        if key == _OBJECT_GRAPH:
            check_object_graph(text)
        else:
            _check_text(key, text)


def _check_text(key: bytes, text: bytes) -> None:
    try:
        control = _CONTROL.search(text.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Refused(f"the tensor {key!r} holds bytes that are no UTF-8 text", _REMEDY) from error
    if control:
        raise Refused(f"the tensor {key!r} holds the control character {control.group()!r}", _REMEDY)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values in the order of the file; every byte before the footer belongs to a block."""
    footer = len(data) - _FOOTER
    if data[-8:] != _MAGIC:
        raise Refused("it does not end as a table", _REMEDY)
    offset, at = _handle(data, footer)
    index, at = _handle(data, at)
    if data[at:-8].strip(b"\0"):
        raise Refused("it holds bytes that belong to no tensor", _REMEDY)
    position, last = 0, None
    blocks = [_handle_at(value) for _, value in _block(data, *index)]
    for start, length in blocks:
        _require(start == position)
        for key, value in _block(data, start, length):
            _require(last is None or key > last)
            last = key
            yield key, value
        position = start + length + _TRAILER
    _require(offset[0] == position and not _block(data, *offset))
    _require(index[0] == offset[0] + offset[1] + _TRAILER and index[0] + index[1] + _TRAILER == footer)


def _handle(data: bytes, at: int) -> tuple[tuple[int, int], int]:
    """Place and length of a block, and the place behind them."""
    start, at = varint(data, at, len(data) - 8, _REMEDY)
    length, at = varint(data, at, len(data) - 8, _REMEDY)
    return (start, length), at


def _handle_at(value: bytes) -> tuple[int, int]:
    start, at = varint(value, 0, len(value), _REMEDY)
    length, at = varint(value, at, len(value), _REMEDY)
    _require(at == len(value))
    return start, length


def _block(data: bytes, start: int, length: int) -> list[tuple[bytes, bytes]]:
    """The entries of a block; each key is given as what differs from the one before."""
    stop = start + length
    _require(length >= 4 and stop + _TRAILER <= len(data) - _FOOTER and data[stop] == 0)
    (restarts,) = struct.unpack_from("<I", data, stop - 4)
    end = stop - 4 - 4 * restarts
    _require(restarts >= 1 and end >= start)
    places = {n + start for n in struct.unpack_from(f"<{restarts}I", data, end)}
    entries: list[tuple[bytes, bytes]] = []
    at, key = start, b""
    while at < end:
        places.discard(at)
        shared, at = varint(data, at, end, _REMEDY)
        own, at = varint(data, at, end, _REMEDY)
        size, at = varint(data, at, end, _REMEDY)
        _require(shared <= len(key) and at + own + size <= end)
        key = key[:shared] + data[at : at + own]
        entries.append((key, data[at + own : at + own + size]))
        at += own + size
    # The list of places at which keys are whole holds nothing else.
    _require(places <= {end, start})
    return entries


def _require(holds: bool) -> None:
    if not holds:
        raise Refused("its blocks do not lie one behind the other, whole and uncompressed", _REMEDY)


class _Reader(WireReader):
    def keeps(self, kind: str, name: str, content: str) -> bool:
        return True


def _message(kind: str, data: bytes) -> Values:
    return _Reader(data, MESSAGES, remedy=_REMEDY).message(kind, 0, len(data))
