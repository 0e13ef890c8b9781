"""safetensors: a JSON header whose tensors cover the rest of the file exactly; the payload is not read."""

from __future__ import annotations

import math
import struct
from typing import IO, Any

from veritasvault.adapters.formats.base import Refused, read_exactly, strict_json

_REMEDY = "write it again with the safetensors library"
# The format allows 100 MB; parsing that would take more memory than a registration may.
_LONGEST_HEADER = 16 << 20
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U16": 16, "I16": 16, "F16": 16, "BF16": 16,
    "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64, "C64": 64,
}  # fmt: skip


def check(file: IO[bytes], size: int) -> None:
    """Refuse anything but a header of known types and offsets without gap, overlap or rest."""
    (length,) = struct.unpack("<Q", read_exactly(file, 8, "the length of its header", _REMEDY))
    if not 2 <= length <= min(_LONGEST_HEADER, size - 8):
        raise Refused(f"its header of {length} bytes does not fit a file of {size}", _REMEDY)
    text = read_exactly(file, length, "its header", _REMEDY)
    if not text.startswith(b"{"):
        raise Refused("its header does not begin with '{'", _REMEDY)
    header = strict_json(text, "its header", _REMEDY)
    _check_metadata(header.pop("__metadata__", {}))
    end = 0
    for first, last, name in sorted(_span(name, tensor) for name, tensor in header.items()):
        if first != end:
            raise Refused(f"tensor {name!r} begins at {first} instead of {end}", _REMEDY)
        end = last
    if 8 + length + end != size:
        raise Refused(f"its tensors end at byte {8 + length + end} of {size}", _REMEDY)


def _check_metadata(metadata: object) -> None:
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Refused("its __metadata__ is not an object of texts", _REMEDY)


def _span(name: str, tensor: Any) -> tuple[int, int, str]:
    if not isinstance(tensor, dict) or tensor.keys() != {"dtype", "shape", "data_offsets"}:
        raise Refused(f"tensor {name!r} has other fields than dtype, shape and data_offsets", _REMEDY)
    bits = _BITS.get(tensor["dtype"]) if isinstance(tensor["dtype"], str) else None
    if bits is None:
        raise Refused(f"tensor {name!r} is of the unknown type {tensor['dtype']!r}", _REMEDY)
    shape, offsets = tensor["shape"], tensor["data_offsets"]
    if not _sizes(shape) or not _sizes(offsets) or len(offsets) != 2:
        raise Refused(f"tensor {name!r} has a shape or offsets that are not whole numbers", _REMEDY)
    if len(shape) > 64 or (offsets[1] - offsets[0]) * 8 != math.prod(shape) * bits:
        raise Refused(f"tensor {name!r} has offsets that do not fit its shape and type", _REMEDY)
    return offsets[0], offsets[1], name


def _sizes(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**63 for item in value
    )
