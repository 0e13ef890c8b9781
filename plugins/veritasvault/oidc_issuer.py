"""The OpenID Connect provider whose tokens say who commands, as the settings name it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from domain.registry.errors import InvalidInput
from domain.registry.redaction import has_login

AUDIENCE = "veritas"
CLAIMS = ("sub", "preferred_username", "email")
"""Claims that may name a person, OpenID Connect Core 1.0 section 5.1; `sub` alone is never given away."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class OidcIssuer:
    """Whose tokens are believed, and for what.

    Attributes:
        url: the issuer, exactly as it stands in its tokens.
        audience: what a token has to be meant for.
        claim: which claim names the person, one of `CLAIMS`.
        jwks: URL of its keys; None asks its discovery document.
        authority: PEM file of the authority that signed its certificate; None takes the system's.
    """

    url: str
    audience: str = AUDIENCE
    claim: str = CLAIMS[0]
    jwks: str | None = None
    authority: Path | None = None

    def __post_init__(self) -> None:
        """Raise InvalidInput, naming the setting that cannot be used."""
        as_provider_url("VERITAS_OIDC_ISSUER", self.url)
        if self.jwks is not None:
            as_provider_url("VERITAS_OIDC_JWKS", self.jwks)
        if self.claim not in CLAIMS:
            raise InvalidInput("VERITAS_OIDC_CLAIM", self.claim, f"use one of {', '.join(CLAIMS)}")


def as_provider_url(name: str, value: object) -> str:
    """Return a URL that nobody on the way can answer for: HTTPS, or HTTP on loopback for tests.

    Raises:
        InvalidInput: with `name` as the field.
    """
    try:
        parts = urlsplit(value) if isinstance(value, str) else urlsplit("")
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        usable = safe and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not isinstance(value, str) or not usable or has_login(value) or parts.query or parts.fragment:
        raise InvalidInput(name, value, "give https://host[:port][/path], no more")
    return value
