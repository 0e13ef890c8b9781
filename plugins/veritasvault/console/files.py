"""Answers with bytes that somebody registered: shown as what they are, and nothing in them runs."""

import re

from fastapi import Request, Response
from starlette.status import HTTP_304_NOT_MODIFIED

from domain.registry.canonical import Digest

POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
"""Pages and pictures are shown by themselves; they are an origin of their own and load nothing."""

_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(; ?[A-Za-z0-9-]+=[A-Za-z0-9._-]+)*")
_FOREVER = "private, max-age=31536000, immutable"


def sandboxed(content: bytes, media_type: str) -> Response:
    """Bytes that are other ones next time, perhaps."""
    return Response(content, media_type=media_type, headers=_headers("private, no-cache"))


def attached(request: Request, digest: Digest, content: bytes, media_type: str) -> Response:
    """Bytes with this SHA-256, which are the same for ever; 304 for who has them already."""
    headers = {**_headers(_FOREVER), "ETag": f'"{digest}"'}
    if _has_it(request, digest):
        return Response(status_code=HTTP_304_NOT_MODIFIED, headers=headers)
    # Whatever it was registered as, it ends up in a header.
    known = media_type if _MEDIA_TYPE.fullmatch(media_type) else "application/octet-stream"
    return Response(content, media_type=known, headers=headers)


def _headers(caching: str) -> dict[str, str]:
    return {
        "Cache-Control": caching,
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
    }


def _has_it(request: Request, digest: Digest) -> bool:
    """Whether If-None-Match names the digest, or anything; RFC 9110, section 13.1.2."""
    named = ",".join(request.headers.getlist("if-none-match"))
    return any(tag.strip().removeprefix("W/") in ("*", f'"{digest}"') for tag in named.split(","))
