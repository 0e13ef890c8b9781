"""Plain texts: JSON, TOML, and UTF-8 without control characters; no scripts, no pickles of text."""

from __future__ import annotations

import codecs
import re
from typing import IO

from veritasvault.adapters.formats.base import CHUNK, Refused, strict_json
from veritasvault.adapters.formats.json_dialects import refuse_dialects
from veritasvault.adapters.formats.polyglot import refuse_pickles_in_text

_LARGEST_DOCUMENT = 16 << 20
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def check_json(file: IO[bytes], size: int) -> None:
    """Refuse anything but one strict JSON document of at most 16 MiB."""
    remedy = "write it again as UTF-8 JSON without NaN and repeated names"
    refuse_dialects(strict_json(_document(file, size), "it", remedy))


def check_toml(file: IO[bytes], size: int) -> None:
    """Refuse anything but one TOML document of at most 16 MiB."""
    import tomllib

    data = _document(file, size)
    try:
        tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Refused(f"it is not TOML ({error})", "write it again as UTF-8 TOML") from error
    _refuse_script(data)
    refuse_pickles_in_text(file, size)


def check_text(file: IO[bytes], size: int) -> None:
    """Refuse bytes that are not UTF-8, and control characters other than tab, line and page ends.

    Refuses scripts too, which begin with `#!`, and pickles of printable characters, wherever they begin.
    """
    remedy = "write it again as plain UTF-8 text"
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    read = 0
    while True:
        chunk = file.read(CHUNK)
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise Refused(f"it is not UTF-8 text (within the mebibyte from byte {read})", remedy) from error
        if found := _CONTROL.search(text):
            raise Refused(f"it holds the control character {found.group()!r}", remedy)
        if not read:
            _refuse_script(chunk)
        if not chunk:
            break
        read += len(chunk)
    refuse_pickles_in_text(file, size)


def _refuse_script(start: bytes) -> None:
    if start.startswith(b"#!"):
        raise Refused("it begins as a script", "leave out the line with #!")


def _document(file: IO[bytes], size: int) -> bytes:
    if size > _LARGEST_DOCUMENT:
        raise Refused(f"it has {size} bytes", "store more than 16 MiB of data as Parquet or .npy")
    return file.read()
