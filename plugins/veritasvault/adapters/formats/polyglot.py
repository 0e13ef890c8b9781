"""Finds files that are also something else: a zip archive at their end, or a pickle that runs."""

from __future__ import annotations

import functools
import struct
from typing import IO

from veritasvault.adapters.formats.base import Refused

_REMEDY = "write the file again with the library of its format"
_END_OF_ZIP = b"PK\x05\x06"
_ZIP64_LOCATOR = b"PK\x06\x07"
_TAIL = (1 << 16) + 42
_MOST_OPCODES = 2_000_000
# Opcodes that import, call or hand over to a loader; a pickle without one of them is plain data.
_ACTING = frozenset(b"ciRob\x81\x92\x93\x82\x83\x84PQ")
_STOP = ord(".")
_LENGTH_FORMATS = {-2: "<B", -3: "<i", -4: "<I", -5: "<Q"}


def refuse_polyglot(file: IO[bytes], size: int) -> None:
    """Refuse a file that zip readers or `pickle.load` would accept as well. Reads little of it."""
    if _ends_as_zip(file, size):
        raise Refused("it is a zip archive as well", _REMEDY)
    file.seek(0)
    if _runs_as_pickle(file, size):
        raise Refused("it is a pickle as well", _REMEDY)


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


def _runs_as_pickle(file: IO[bytes], size: int) -> bool:
    """Whether the opcodes from the start on reach STOP and one of them acts; arguments are skipped."""
    codes = _argument_lengths()
    acting = False
    for _ in range(_MOST_OPCODES):
        code = file.read(1)
        if not code or code[0] not in codes:
            return False
        if code[0] == _STOP:
            return acting
        acting = acting or code[0] in _ACTING
        if not _skip_argument(file, size, codes[code[0]]):
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


def _skip_argument(file: IO[bytes], size: int, lengths: tuple[int, ...]) -> bool:
    """Move behind an opcode's argument; False if the file ends before."""
    for length in lengths:
        if length == -1:
            while not (line := file.readline(1 << 16)).endswith(b"\n"):
                if not line:
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
