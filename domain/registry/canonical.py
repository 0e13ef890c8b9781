"""Canonical bytes: RFC 8785 JSON, read back strictly, and the SHA-256 digests made from it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import NewType

import rfc8785

from domain.registry.errors import IntegrityError, InvalidInput

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
Digest = NewType("Digest", str)
"""A SHA-256 digest as 64 lower-case hexadecimal characters."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def encode(value: Json) -> bytes:
    """Return the RFC 8785 bytes of a JSON value.

    Raises:
        InvalidInput: for NaN, infinities, integers beyond 2**53 and values JSON does not have.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, TypeError, ValueError, RecursionError) as error:
        raise InvalidInput("value", value, f"give plain JSON with finite numbers ({error})") from error


def decode(data: bytes, what: str) -> Json:
    """Parse canonical bytes; `what` names them in the error.

    Raises:
        IntegrityError: if encoding the parsed value again does not give the same bytes.
    """
    try:
        text = data.decode("utf-8")
        value, alike = _parsed(text)
        same = (alike and _quick(value) == text) or encode(value) == data
    except (ValueError, RecursionError, InvalidInput) as error:
        raise IntegrityError(f"{what} is not canonical JSON: {error}") from error
    if not same:
        raise IntegrityError(f"{what} is not canonical JSON: encoding it again gives other bytes")
    return value


def encodes_to(value: Json, canonical: bytes) -> bool:
    """Whether `encode(value)` gives these bytes, which `decode` has accepted; seldom has to encode.

    Raises:
        InvalidInput: as `encode`.
    """
    try:
        if _quick(value).encode("utf-8") == canonical:
            return True
    except (TypeError, ValueError, RecursionError):
        pass
    return encode(value) == canonical


def _parsed(text: str) -> tuple[Json, bool]:
    """The value, and whether `_quick` can only give this text of it where RFC 8785 gives it too."""
    try:
        return _PARSER.decode(text), text.isascii() or _ORDERED_OTHERWISE.search(text) is None
    except _SpelledOtherwise:
        return _LENIENT_PARSER.decode(text), False


class _SpelledOtherwise(Exception):
    """A text holds a number that Python and RFC 8785 may write in two ways."""


def _number(digits: str) -> int | float:
    """RFC 8785 writes a float of 2**53 and more without a point; it has to be read as the float it was."""
    whole = int(digits)
    return whole if abs(whole) < 2**53 else float(digits)


def _fraction(literal: str) -> float:
    """Without an exponent and with a fraction, both write the shortest digits that give the same float."""
    if literal.endswith(".0") or "e" in literal or "E" in literal:
        raise _SpelledOtherwise
    return float(literal)


# The standard library's encoder takes a tenth of the time of `rfc8785`. It is only asked whether it gives the
# very bytes that are there, and where the two could differ its answer does not count.
_quick = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, allow_nan=False, sort_keys=True, separators=(",", ":")
).encode
_PARSER = json.JSONDecoder(parse_int=_number, parse_float=_fraction)
_LENIENT_PARSER = json.JSONDecoder(parse_int=_number)
_ORDERED_OTHERWISE = re.compile("[\ud800-\U0010ffff]")
"""Python sorts names by code points, RFC 8785 by UTF-16 units; up to here that is the same order."""


def digest(data: bytes) -> Digest:
    """SHA-256 of the bytes."""
    return Digest(hashlib.sha256(data).hexdigest())


def digest_of(value: Json) -> Digest:
    """SHA-256 of the canonical bytes of a JSON value."""
    return digest(encode(value))


def as_digest(field: str, value: object) -> Digest:
    """Return the value as a digest.

    Raises:
        InvalidInput: unless it is 64 lower-case hexadecimal characters.
    """
    if not isinstance(value, str) or not _DIGEST.fullmatch(value):
        raise InvalidInput(field, value, "give a SHA-256 digest, 64 lower-case hexadecimal characters")
    return Digest(value)
