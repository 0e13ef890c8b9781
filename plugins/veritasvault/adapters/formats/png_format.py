"""PNG images: chunks of known types with right checksums, from IHDR to IEND, and nothing behind."""

from __future__ import annotations

import struct
import zlib
from typing import IO

from veritasvault.adapters.formats.base import CHUNK, Refused, read_exactly

_REMEDY = "write it again as a plain PNG image"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TYPES = frozenset(
    (
        b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"cHRM", b"gAMA", b"iCCP", b"sBIT", b"sRGB", b"tEXt",
        b"zTXt", b"iTXt", b"bKGD", b"hIST", b"pHYs", b"sPLT", b"tIME", b"eXIf",
    )
)  # fmt: skip


def check(file: IO[bytes], size: int) -> None:
    """Refuse anything but one complete image (PNG specification, sections 5 and 11)."""
    if read_exactly(file, 8, "its signature", _REMEDY) != _SIGNATURE:
        raise Refused("it does not begin as a PNG image", _REMEDY)
    kinds: list[bytes] = []
    while not kinds or kinds[-1] != b"IEND":
        kinds.append(_chunk(file))
        if len(kinds) == 1 and kinds != [b"IHDR"]:
            raise Refused("its first chunk is not IHDR", _REMEDY)
    if b"IDAT" not in kinds or kinds.count(b"IHDR") != 1:
        raise Refused("it has no image data or two headers", _REMEDY)
    if file.read(1):
        raise Refused(f"it goes on behind its end, to byte {size}", _REMEDY)


def _chunk(file: IO[bytes]) -> bytes:
    length, kind = struct.unpack(">I4s", read_exactly(file, 8, "a chunk", _REMEDY))
    wrong = (kind == b"IHDR" and length != 13) or (kind == b"IEND" and length != 0)
    if kind not in _TYPES or wrong or length >= 2**31:
        raise Refused(f"it has a chunk {kind!r} of {length} bytes", _REMEDY)
    crc = zlib.crc32(kind)
    while length:
        part = read_exactly(file, min(length, CHUNK), "a chunk", _REMEDY)
        crc = zlib.crc32(part, crc)
        length -= len(part)
    if read_exactly(file, 4, "a chunk", _REMEDY) != struct.pack(">I", crc):
        raise Refused(f"a chunk {kind!r} has a wrong checksum", _REMEDY)
    return bytes(kind)
