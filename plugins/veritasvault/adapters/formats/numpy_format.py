"""NumPy arrays (.npy): a literal header, no objects, and exactly the bytes that shape and type need."""

from __future__ import annotations

import ast
import math
import struct

from veritasvault.adapters.formats.base import Readable, Refused, read_exactly

_REMEDY = "write it again with numpy.save(..., allow_pickle=False)"
_LONGEST_HEADER = 10_000


def check(file: Readable, size: int) -> None:
    """Refuse anything but one array; reads the header, and of the rest only its size."""
    length, payload = header_of(file)
    if length + payload != size:
        raise Refused(f"its array ends at byte {length + payload} of {size}", _REMEDY)


def header_of(file: Readable) -> tuple[int, int]:
    """Bytes of the header and bytes of the array behind it.

    Raises:
        Refused: for a header that is not NumPy's, and for arrays of objects.
    """
    start = read_exactly(file, 8, "its header", _REMEDY)
    if start[:6] != b"\x93NUMPY" or start[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise Refused("it does not begin as a NumPy array", _REMEDY)
    form = "<H" if start[6] == 1 else "<I"
    prefix = read_exactly(file, struct.calcsize(form), "its header", _REMEDY)
    (length,) = struct.unpack(form, prefix)
    if length > _LONGEST_HEADER:
        raise Refused(f"its header has {length} bytes", _REMEDY)
    text = read_exactly(file, length, "its header", _REMEDY)
    return 8 + len(prefix) + length, _payload(text.decode("utf-8" if start[6] == 3 else "latin-1"))


def _payload(text: str) -> int:
    import numpy as np

    try:
        header = ast.literal_eval(text)
        if not isinstance(header, dict) or header.keys() != {"descr", "fortran_order", "shape"}:
            raise Refused("its header has other fields than descr, fortran_order and shape", _REMEDY)
        dtype = np.lib.format.descr_to_dtype(header["descr"])
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError, IndexError) as error:
        raise Refused(f"its header cannot be read ({error})", _REMEDY) from error
    if dtype.hasobject:
        raise Refused("it holds Python objects, which are stored as a pickle", _REMEDY)
    shape = header["shape"]
    if not isinstance(header["fortran_order"], bool) or not isinstance(shape, tuple) or len(shape) > 64:
        raise Refused("its header has a wrong order or shape", _REMEDY)
    if not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 2**63 for n in shape):
        raise Refused("its shape is not of whole numbers", _REMEDY)
    return math.prod(shape) * int(dtype.itemsize)
