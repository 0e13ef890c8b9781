"""Takes out of a text what is secret in it before anybody reads the text: logins and options of addresses.

Addresses with a secret in them are refused where that is possible (`settings.py`). What is left are addresses
that need one, such as a database's, and what people write by mistake; these appear in error messages, the
doctor's answers and logs, which are copied into tickets.
"""

from __future__ import annotations

import re

HIDDEN = "***"
_PUBLIC_USERS = frozenset({"mariadb", "mssql", "mysql", "oracle", "postgres", "postgresql", "ssh"})
"""Schemes whose user is a name that helps; elsewhere a user without a password is often a token."""
_STORES = frozenset({"file", "s3", "sample", "sqlite"})
"""Schemes whose paths may hold an `@`; elsewhere what is before one may be a token with a slash in it."""
_HARMLESS = frozenset(
    {
        "application_name", "artifact", "branch", "checkpoint", "connect_timeout", "host", "insecure", "port",
        "sslmode", "use_ssl", "user_id",
    }
)  # fmt: skip
"""Options whose values are shown. What a server calls its secrets is not known, so all others are hidden."""

# Up to the last character that can be an address's and not its sentence's.
_ADDRESS = re.compile(r"""[A-Za-z][A-Za-z0-9+.-]*://\S*[^\s.,;:!?'")\]}>]""")
_ASSIGNED = re.compile(
    r"\b((?:\w+[_-])?(?:password|passwd|pwd|secret|token|access[_-]?key|secret[_-]?key)\s*=\s*)[^\s;&'\"*]+",
    re.IGNORECASE,
)
_LOGIN_ALONE = re.compile(r"^[^/@:\s]+:[^@\s]*@")
# A password after which somebody forgot the host; passwords that are left out are no port either.
_NO_PORT = re.compile(r"^([^:/?#@\[\]]+):(?!\d*(?:[/?#;]|$))[^/?#@]+(?=[/?#]|$)")
_PARAMETER = re.compile(r";([^;=/?#]+)=([^;?#]*)")


def redacted(text: str) -> str:
    """A sentence without the secrets of the addresses and assignments (`password=…`) that stand in it."""
    if "://" in text:
        text = _ADDRESS.sub(lambda found: shown_address(found.group()), text)
    return _ASSIGNED.sub(rf"\1{HIDDEN}", text) if "=" in text else text


def shown_address(address: str) -> str:
    """An address, whole and alone, as it may be shown.

    Passwords are taken out up to the last `@`, for people forget to escape what they hold; so is a user,
    unless its scheme's users are no secrets. Of options (`?name=value`, `;name=value`) the harmless ones are
    kept. A path with `@` in it may be shortened.
    """
    scheme, separator, rest = address.partition("://")
    if not separator:
        return _LOGIN_ALONE.sub(f"{HIDDEN}@", address)
    place = _NO_PORT.sub(rf"\1:{HIDDEN}", _without_login(scheme, rest))
    place, mark, fragment = place.partition("#")
    place, asked, query = place.partition("?")
    place = _PARAMETER.sub(lambda found: f";{_option(found.group(1), found.group(2))}", place)
    options = "&".join(_option(*pair.split("=", 1)) for pair in query.split("&"))
    return f"{scheme}://{place}{asked}{options}{mark}{HIDDEN if fragment else ''}"


def has_login(address: str) -> bool:
    """Whether an address holds a user, or a password that nobody escaped."""
    scheme, separator, rest = address.partition("://")
    return bool(separator) and _without_login(scheme, rest, public=frozenset()) != rest


def _without_login(scheme: str, rest: str, public: frozenset[str] = _PUBLIC_USERS) -> str:
    login, at, place = rest.rpartition("@")
    parts = set(scheme.lower().split("+"))
    first = re.split(r"[/?#]", login, maxsplit=1)[0]
    # Behind a slash the @ of a store is the path's, unless that slash is a password's.
    if not at or (first != login and parts & _STORES and not (":" in first or "@" in first)):
        return rest
    if public.isdisjoint(parts):
        return f"{HIDDEN}@{place}"
    user, colon, _ = login.partition(":")
    return f"{user}:{HIDDEN}@{place}" if colon else rest


def _option(name: str, value: str | None = None) -> str:
    if value is None:
        return HIDDEN if name else ""
    return f"{name}={value if name.lower() in _HARMLESS else HIDDEN}"
