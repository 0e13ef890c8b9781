"""Base64 with one text for each value, so that no bit of a text can change unseen."""

from __future__ import annotations

import base64
import binascii


def encode64(data: bytes) -> str:
    """Standard base64 with padding, RFC 4648 section 4."""
    return base64.b64encode(data).decode("ascii")


def decode64(text: str) -> bytes | None:
    """Read what `encode64` writes; None for any other text, also with stray bits in its last digit."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if encode64(data) == text else None
