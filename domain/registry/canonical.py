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
        value: Json = json.loads(data.decode("utf-8"), parse_int=_number)
        same = encode(value) == data
    except (ValueError, RecursionError, InvalidInput) as error:
        raise IntegrityError(f"{what} is not canonical JSON: {error}") from error
    if not same:
        raise IntegrityError(f"{what} is not canonical JSON: encoding it again gives other bytes")
    return value


def _number(digits: str) -> int | float:
    """RFC 8785 writes a float of 2**53 and more without a point; it has to be read as the float it was."""
    whole = int(digits)
    return whole if abs(whole) < 2**53 else float(digits)


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
