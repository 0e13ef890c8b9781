"""PNG images: known chunks with right checksums, which hold pixels and printable texts alone."""

from __future__ import annotations

import re
import struct
import zlib
from typing import IO

from veritasvault.adapters.formats.base import CHUNK, Refused, read_exactly

_REMEDY = "write it again as a plain PNG image"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks and their longest content. Left out are those of bytes that an image does not need: profiles, EXIF
# and compressed texts.
_LONGEST = {
    b"IHDR": 13, b"PLTE": 768, b"IDAT": 2**31 - 1, b"IEND": 0, b"tRNS": 256, b"cHRM": 32, b"gAMA": 4,
    b"sBIT": 4, b"sRGB": 1, b"tEXt": 1 << 16, b"bKGD": 6, b"hIST": 512, b"pHYs": 9, b"tIME": 7,
}  # fmt: skip
_TEXT = re.compile(rb"[\x20-\x7e\xa1-\xff]{1,79}\0[\t\n\r\x20-\x7e\xa0-\xff]*")
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = (1, 2, 4, 8, 16)
# Start and step of columns and rows in each pass of an interlaced image (PNG specification, section 8.2).
_PASSES = ((0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2))


def check(file: IO[bytes], size: int) -> None:
    """Refuse anything but one complete image (PNG specification, sections 5, 10 and 11)."""
    if read_exactly(file, 8, "its signature", _REMEDY) != _SIGNATURE:
        raise Refused("it does not begin as a PNG image", _REMEDY)
    kind, header = _chunk(file, None)
    if kind != b"IHDR" or len(header) != 13:
        raise Refused("its first chunk is not IHDR", _REMEDY)
    pixels = _Pixels(_bytes_of_pixels(header))
    while kind != b"IEND":
        kind, content = _chunk(file, pixels)
        if kind == b"IHDR" or (kind == b"tEXt" and not _TEXT.fullmatch(content)):
            raise Refused("it has two headers, or a text of characters that cannot be printed", _REMEDY)
    pixels.finish()
    if file.read(1):
        raise Refused(f"it goes on behind its end, to byte {size}", _REMEDY)


class _Pixels:
    """Inflates the image data in pieces of bounded size, to count them."""

    def __init__(self, size: int) -> None:
        self._inflate = zlib.decompressobj()
        self._left = size

    def add(self, packed: bytes) -> None:
        while packed:
            try:
                self._left -= len(self._inflate.decompress(packed, CHUNK))
            except zlib.error as error:
                raise Refused("its image data cannot be unpacked", _REMEDY) from error
            packed = self._inflate.unconsumed_tail
            if self._inflate.unused_data or self._left < 0:
                raise Refused("it hides bytes behind its image data", _REMEDY)

    def finish(self) -> None:
        if self._left or not self._inflate.eof:
            raise Refused("it has less image data than its size needs", _REMEDY)


def _chunk(file: IO[bytes], pixels: _Pixels | None) -> tuple[bytes, bytes]:
    """The kind and content of the next chunk; image data goes to `pixels` instead."""
    length, kind = struct.unpack(">I4s", read_exactly(file, 8, "a chunk", _REMEDY))
    if length > _LONGEST.get(kind, -1) or (kind == b"IDAT" and pixels is None):
        raise Refused(f"it has a chunk {kind!r} of {length} bytes", _REMEDY)
    crc, content = zlib.crc32(kind), b""
    while length:
        part = read_exactly(file, min(length, CHUNK), "a chunk", _REMEDY)
        crc = zlib.crc32(part, crc)
        length -= len(part)
        if kind == b"IDAT" and pixels is not None:
            pixels.add(part)
        else:
            content += part
    if read_exactly(file, 4, "a chunk", _REMEDY) != struct.pack(">I", crc):
        raise Refused(f"a chunk {kind!r} has a wrong checksum", _REMEDY)
    return bytes(kind), content


def _bytes_of_pixels(header: bytes) -> int:
    """Bytes of all rows, each with the number of its filter before it."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">2I5B", header)
    if colour not in _SAMPLES or depth not in _DEPTHS or interlaced > 1 or not width or not height:
        raise Refused("its header describes no image", _REMEDY)
    bits = _SAMPLES[colour] * depth
    total = 0
    for left, across, top, down in _PASSES if interlaced else ((0, 1, 0, 1),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits // 8))
    return total
