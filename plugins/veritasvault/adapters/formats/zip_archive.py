"""Zip archives, strictly: members side by side from the first byte to the last, nothing hidden between."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from veritasvault.adapters.formats.base import CHUNK, Refused

_REMEDY = "write it again with the library of its format"
_END = struct.Struct("<4s4H2IH")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_STORED, _DEFLATED = 0, 8
_UTF8_NAME = 0x800
_ZIP64 = 0xFFFFFFFF
_LARGEST_DIRECTORY = 64 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """One stored file: its name, sizes in bytes, CRC-32, and where its data begins in the archive."""

    name: str
    method: int
    crc: int
    packed: int
    size: int
    start: int


def members(file: IO[bytes], size: int) -> list[Member]:
    """The members in the order of the archive (APPNOTE.TXT 6.3, sections 4.3 and 4.4).

    Raises:
        Refused: for comments, encryption, data descriptors, gaps, and headers that contradict each other.
    """
    if size < _END.size:
        raise Refused("it is too short for a zip archive", _REMEDY)
    file.seek(size - _END.size)
    magic, disk, first_disk, here, entries, length, start, comment = _END.unpack(file.read(_END.size))
    if magic != b"PK\x05\x06" or comment or disk or first_disk or here != entries:
        raise Refused("it is not a plain zip archive up to its last byte", _REMEDY)
    if start + length + _END.size != size or length > _LARGEST_DIRECTORY:
        raise Refused("it has bytes before, behind or between its parts", _REMEDY)
    file.seek(start)
    directory = file.read(length)
    found: list[Member] = []
    at = position = 0
    for _ in range(entries):
        member, at = _entry(file, directory, at, position)
        found.append(member)
        position = member.start + member.packed
    if at != length or position != start:
        raise Refused("it has bytes that belong to no member", _REMEDY)
    if len({member.name for member in found}) != len(found):
        raise Refused("it holds two members of the same name", _REMEDY)
    return found


def _entry(file: IO[bytes], directory: bytes, at: int, position: int) -> tuple[Member, int]:
    """The directory's entry at `at`, whose local header must stand at `position`; the next entry's place."""
    if at + _CENTRAL.size > len(directory):
        raise Refused("its directory is cut short", _REMEDY)
    (magic, _, _, flags, method, _, _, crc, packed, size, name_length, extra, comment, disk, _, _, offset) = (
        _CENTRAL.unpack_from(directory, at)
    )
    name = directory[at + _CENTRAL.size :][:name_length]
    if magic != b"PK\x01\x02" or extra or comment or disk or offset != position:
        raise Refused("its directory does not list its members one behind the other", _REMEDY)
    if flags & ~_UTF8_NAME or method not in (_STORED, _DEFLATED) or _ZIP64 in (packed, size):
        raise Refused(f"member {name!r} is encrypted, streamed, too large or oddly packed", _REMEDY)
    start = position + _local(file, position, name, (flags, method, crc, packed, size))
    return Member(name.decode("utf-8"), method, crc, packed, size, start), at + _CENTRAL.size + len(name)


def _local(file: IO[bytes], position: int, name: bytes, expected: tuple[int, ...]) -> int:
    """Bytes of the local header, which must say the same as the directory."""
    file.seek(position)
    header = file.read(_LOCAL.size)
    if len(header) != _LOCAL.size:
        raise Refused("a member's header is cut short", _REMEDY)
    magic, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(header)
    local_name = file.read(name_length)
    if (
        magic != b"PK\x03\x04"
        or local_name != name
        or extra_length
        or (flags, method, crc, packed, size) != expected
    ):
        raise Refused(f"member {name!r} differs from the directory", _REMEDY)
    return _LOCAL.size + int(name_length)


class MemberReader:
    """Reads one member in pieces; `finish` reads the rest and compares size and CRC-32."""

    def __init__(self, file: IO[bytes], member: Member) -> None:
        self._member = member
        self._chunks = _inflated(file, member)
        self._rest = b""
        self._crc = 0
        self._size = 0

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes, none only at the end."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
            self._crc = zlib.crc32(self._rest, self._crc)
            self._size += len(self._rest)
            if self._size > self._member.size:
                raise Refused(f"member {self._member.name!r} is larger than it says", _REMEDY)
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def finish(self) -> None:
        while self.read(CHUNK):
            pass
        if (self._size, self._crc) != (self._member.size, self._member.crc):
            raise Refused(f"member {self._member.name!r} has a wrong size or checksum", _REMEDY)


def _inflated(file: IO[bytes], member: Member) -> Iterator[bytes]:
    """The member's content in chunks of bounded size, whatever it was packed to."""
    inflate = zlib.decompressobj(-15) if member.method == _DEFLATED else None
    at, end = member.start, member.start + member.packed
    while at < end:
        file.seek(at)
        chunk = file.read(min(CHUNK, end - at))
        at += len(chunk)
        if not chunk:
            raise Refused(f"member {member.name!r} is cut short", _REMEDY)
        if inflate is None:
            yield chunk
            continue
        while chunk:
            try:
                yield inflate.decompress(chunk, CHUNK)
            except zlib.error as error:
                raise Refused(f"member {member.name!r} cannot be unpacked", _REMEDY) from error
            chunk = inflate.unconsumed_tail
            if inflate.unused_data:
                raise Refused(f"member {member.name!r} hides bytes behind its content", _REMEDY)
    if inflate is not None and not inflate.eof:
        raise Refused(f"member {member.name!r} is cut short", _REMEDY)
