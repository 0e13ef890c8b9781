"""Addresses of raw data: they are recorded with what was made of it and stand in forms, so hold no secret."""

from __future__ import annotations

from domain.registry.errors import InvalidInput
from domain.registry.redaction import has_login

PATTERN = r"^(?![^:]*://([^/?#]*@|[^/?#]*:.*@|.*[?]))(?!(?!s3:|file:|sample:)[^:]*://.*@)"
"""What `require_open` allows, as a JSON schema says it: a form refuses the rest before it is kept."""


def require_open(field: str, uri: str) -> None:
    """Require that an address has neither a login nor a signature.

    Raises:
        InvalidInput: with `field` as the field, showing neither.
    """
    if has_login(uri) or ("://" in uri and "?" in uri):
        raise InvalidInput(
            field,
            uri,
            "take user, password and signature out, name S3 credentials by VERITAS_AWS_CONNECTION or AWS_* "
            "variables",
        )
