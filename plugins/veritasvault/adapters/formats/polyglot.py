"""Finds files that are something else as well: a zip or tar archive, or a pickle that runs."""

from __future__ import annotations

import contextlib
import functools
import mmap
import re
import struct
from typing import IO

from veritasvault.adapters.formats.base import Refused

_REMEDY = "write the file again with the library of its format"
_END_OF_ZIP = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_TAIL = (1 << 16) + 42
_MOST_OPCODES = 2_000_000
_TAR_BLOCK = 512
# How a pickle of text imports something; what it does with it comes behind.
_IMPORT = re.compile(rb"[ci](?=[A-Za-z_][\w.]{0,100}\n[A-Za-z_][\w.]{0,100}\n)")
_IMPORTED = re.compile(rb"[^\W\d][\w.]*\n")
# Opcodes that import, call or hand over to a loader; a pickle without one of them is plain data.
_ACTING = frozenset(b"ciRob\x81\x92\x93\x82\x83\x84PQ")
_STOP = ord(".")
_LENGTH_FORMATS = {-2: "<B", -3: "<i", -4: "<I", -5: "<Q"}


def refuse_polyglot(file: IO[bytes], size: int) -> None:
    """Refuse a file that zip or tar readers or `pickle.load` would accept as well. Reads little of it."""
    if _ends_as_zip(file, size):
        raise Refused("it is a zip archive as well", _REMEDY)
    file.seek(0)
    if _begins_as_tar(file.read(_TAR_BLOCK)):
        raise Refused("it is a tar archive as well", _REMEDY)
    file.seek(0)
    if _runs_as_pickle(file, size):
        raise Refused("it is a pickle as well", _REMEDY)


def refuse_pickles_in_text(file: IO[bytes], size: int) -> None:
    """Refuse a text with a pickle of printable characters anywhere in it; reads it once more."""
    if not size:
        return
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for found in _IMPORT.finditer(text):
            text.seek(found.start())
            if _runs_as_pickle(text, size):
                raise Refused(f"it holds a pickle, which imports at byte {found.start()}", _REMEDY)


def _begins_as_tar(block: bytes) -> bool:
    """Whether the first block has a tar header's checksum (POSIX.1-1988 ustar); readers ask for no more."""
    if len(block) < _TAR_BLOCK:
        return False
    field = block[148:156]
    expected = -1
    if field[0] in (0x80, 0xFF):
        expected = int.from_bytes(field[1:], "big")
    else:
        with contextlib.suppress(ValueError):
            expected = int(field.partition(b"\0")[0].strip() or b"0", 8)
    rest = block[:148] + b" " * 8 + block[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in rest)
    return expected in (sum(rest), signed)


def _ends_as_zip(file: IO[bytes], size: int) -> bool:
    """Whether an end record near the end points at a directory; by chance it practically never does."""
    start = max(0, size - _TAIL)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(_END_OF_ZIP)
    while at >= 0:
        if len(tail) - at >= 22:
            (entries, length) = struct.unpack_from("<HI", tail, at + 10)
            file.seek(max(0, start + at - length))
            large = entries == 0xFFFF or length == 0xFFFFFFFF or tail[at - 20 : at - 16] == _ZIP64_LOCATOR
            if large or file.read(4) == b"PK\x01\x02":
                return True
        at = tail.rfind(_END_OF_ZIP, 0, at)
    return False


def _runs_as_pickle(file: IO[bytes] | mmap.mmap, size: int) -> bool:
    """Whether the opcodes from here on reach STOP and one of them acts; arguments are skipped."""
    codes = _argument_lengths()
    acting = False
    for _ in range(_MOST_OPCODES):
        code = file.read(1)
        if not code or code[0] not in codes:
            return False
        if code[0] == _STOP:
            return acting
        acting = acting or code[0] in _ACTING
        if code in b"ci":
            # Names that nothing can be imported by are columns of a table, rather than a pickle.
            if not all(_IMPORTED.fullmatch(file.readline()) for _ in range(2)):
                return False
        elif not _skip_argument(file, size, codes[code[0]]):
            return False
    return True


@functools.cache
def _argument_lengths() -> dict[int, tuple[int, ...]]:
    """For each opcode the lengths of what follows; negative ones as in `pickletools`."""
    import pickletools

    lengths: dict[int, tuple[int, ...]] = {}
    for opcode in pickletools.opcodes:
        argument = opcode.arg
        pair = argument is not None and argument.name == "stringnl_noescape_pair"
        lengths[ord(opcode.code)] = () if argument is None else (argument.n,) * (2 if pair else 1)
    return lengths


def _skip_argument(file: IO[bytes] | mmap.mmap, size: int, lengths: tuple[int, ...]) -> bool:
    """Move behind an opcode's argument; False if the file ends before."""
    for length in lengths:
        if length == -1:
            if not file.readline().endswith(b"\n"):
                return False
            continue
        if length < 0:
            form = _LENGTH_FORMATS[length]
            field = file.read(struct.calcsize(form))
            if len(field) != struct.calcsize(form):
                return False
            (length,) = struct.unpack(form, field)
        if length < 0 or file.tell() + length > size:
            return False
        file.seek(length, 1)
    return True
