"""Verifies tokens of an OpenID Connect provider: signature, issuer, audience and time.

Formats: RFC 7519 (JSON Web Token), RFC 7517 (JSON Web Key Set), OpenID Connect Discovery 1.0 section 4. The
cryptography is PyJWT's; what is decided here is whose keys, and which algorithms.
"""

from __future__ import annotations

import datetime as dt
import json
import ssl
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from domain.registry.errors import InvalidInput, Unavailable
from veritasvault.oidc_issuer import OidcIssuer, as_provider_url

if TYPE_CHECKING:
    from email.message import Message

    from jwt import PyJWK

ALGORITHMS = ("RS256", "ES256", "EdDSA")
"""Signatures by keys that no verifier has; never `none` or HS256, which a verifier could make itself."""
LEEWAY = 30
"""Seconds that the provider's clock may differ from ours."""
_PATIENCE = 10
_MOST = 1 << 20
"""Bytes of a provider's answer."""
_REQUIRED = ("exp", "iss", "aud", "sub")


class OidcTokens:
    """Verifies the tokens of one issuer; its keys are fetched once, and again for a key that is unknown."""

    def __init__(self, issuer: OidcIssuer, field: str) -> None:
        """Nothing is fetched yet. Errors name `field` as where the token came from."""
        self._issuer = issuer
        self._field = field
        self._keys: dict[str | None, PyJWK] | None = None

    def subject(self, token: str, shown: str) -> str:
        """Who a token speaks for: the value of the issuer's `claim`.

        Args:
            shown: what errors show in the token's place.

        Raises:
            InvalidInput: the token is malformed, expired, for others, or not signed by the issuer.
            Unavailable: the issuer's keys cannot be had.
        """
        import jwt

        try:
            key = self._key(jwt.get_unverified_header(token), shown)
            claims = jwt.decode(
                token,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._issuer.audience,
                issuer=self._issuer.url,
                leeway=LEEWAY,
                options={"require": list(_REQUIRED)},
            )
        except jwt.ExpiredSignatureError:
            raise self._refused(shown, f"it expired{self._expiry(token)}, get a new one") from None
        except jwt.ImmatureSignatureError:
            raise self._refused(shown, "it is not valid yet, correct the clock or get another") from None
        except jwt.InvalidAudienceError:
            remedy = f"it is not for {self._issuer.audience}, get one for that or mend VERITAS_OIDC_AUDIENCE"
            raise self._refused(shown, remedy) from None
        except jwt.InvalidIssuerError:
            raise self._refused(shown, f"it is not of {self._issuer.url}, get one from there") from None
        except jwt.MissingRequiredClaimError as error:
            raise self._refused(shown, f"it has no claim {error.claim}, get a complete one") from None
        except (jwt.PyJWTError, RecursionError) as error:
            # Never the error's text: it may quote the token.
            remedy = f"it does not hold ({type(error).__name__}), get one from {self._issuer.url}"
            raise self._refused(shown, remedy) from None
        return self._named(claims, shown)

    def _named(self, claims: dict[str, Any], shown: str) -> str:
        name = claims.get(self._issuer.claim)
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise self._refused(shown, f"it has no claim {self._issuer.claim}, or an unusable one")
        if self._issuer.claim == "email" and claims.get("email_verified") is not True:
            raise self._refused(shown, "its email is not verified, verify it at the provider")
        return name

    def _key(self, header: dict[str, Any], shown: str) -> PyJWK:
        """The issuer's key that a token names; a new one is looked for once, as keys are rotated."""
        name, algorithm = header.get("kid"), header.get("alg")
        if algorithm not in ALGORITHMS:
            raise self._refused(shown, f"it is not signed with one of {', '.join(ALGORITHMS)}")
        fresh = self._keys is None
        if self._keys is None or (name not in self._keys and not fresh):
            self._keys = self._fetch_keys()
        known = list(self._keys.values())
        found = self._keys.get(name) if name is not None else (known[0] if len(known) == 1 else None)
        if found is None:
            raise self._refused(shown, f"{self._issuer.url} has no key that signed it, get a new one")
        return found

    def _fetch_keys(self) -> dict[str | None, PyJWK]:
        """The issuer's signing keys by name; those of algorithms that are not accepted are left out."""
        from jwt import PyJWK, PyJWTError

        found: dict[str | None, PyJWK] = {}
        document = self._get(self._issuer.jwks or self._place_of_keys())
        keys = document.get("keys")
        for entry in keys if isinstance(keys, list) else []:
            if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
                continue
            try:
                key = PyJWK(entry)
            except (PyJWTError, KeyError):
                continue
            if key.algorithm_name in ALGORITHMS:
                found[key.key_id] = key
        return found

    def _place_of_keys(self) -> str:
        document = self._get(f"{self._issuer.url.rstrip('/')}/.well-known/openid-configuration")
        if document.get("issuer") != self._issuer.url:
            raise InvalidInput(
                "VERITAS_OIDC_ISSUER", self._issuer.url, f"the provider calls itself {document.get('issuer')}"
            )
        return as_provider_url("jwks_uri of VERITAS_OIDC_ISSUER", document.get("jwks_uri"))

    def _get(self, url: str) -> dict[str, Any]:
        authority = self._issuer.authority
        try:
            context = ssl.create_default_context(cafile=None if authority is None else str(authority))
        except OSError as error:
            raise InvalidInput(
                "VERITAS_OIDC_CA", str(authority), "name a PEM file that can be read"
            ) from error
        # A redirect could lead to where anybody can answer.
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirects())
        try:
            with opener.open(url, timeout=_PATIENCE) as answer:
                document = json.loads(answer.read(_MOST + 1)[:_MOST])
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or type(error).__name__
            raise Unavailable(
                f"the keys of VERITAS_OIDC_ISSUER cannot be had from {url} ({reason}): see that it is there, "
                "or mend VERITAS_OIDC_ISSUER, VERITAS_OIDC_JWKS or VERITAS_OIDC_CA"
            ) from error
        if not isinstance(document, dict):
            raise Unavailable(f"{url} gives no JSON object: mend VERITAS_OIDC_ISSUER or VERITAS_OIDC_JWKS")
        return document

    def _refused(self, shown: str, remedy: str) -> InvalidInput:
        return InvalidInput(self._field, shown, remedy)

    def _expiry(self, token: str) -> str:
        import jwt

        claims = jwt.decode(token, options={"verify_signature": False})
        try:
            return f" at {dt.datetime.fromtimestamp(int(claims['exp']), dt.UTC):%Y-%m-%d %H:%M:%S}Z"
        except (ValueError, OverflowError, OSError):
            return ""


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an error."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None
