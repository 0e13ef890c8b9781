"""Who commands: the subject of a verified token where there is one, and else the user of the process."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from domain.registry.errors import InvalidInput

FIELD = "VERITAS_TOKEN_FILE"
OIDC = "oidc:"
"""Before a token's subject; no user of an operating system has a colon in the name."""
_MOST = 1 << 16
"""Bytes of a token."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A name, and who vouches for it.

    Attributes:
        name: of the operating system's user, or `oidc:SUBJECT`.
        known_by: `operating system`, or the URL of the issuer.
    """

    name: str
    known_by: str


def of_process() -> Identity:
    """Whose process this is, by its user id: the variables LOGNAME and USER can say anything."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = str(os.getuid())
    return Identity(name, "operating system")


def of_subject(subject: str, issuer: str) -> Identity:
    """Whom a verified token of an issuer speaks for."""
    return Identity(OIDC + subject, issuer)


def read_token(file: Path) -> str:
    """The token in a file.

    Raises:
        InvalidInput: the file cannot be read, or holds no token.
    """
    try:
        with file.open("rb") as opened:
            token = opened.read(_MOST + 1).decode("ascii").strip()
    except OSError as error:
        raise InvalidInput(FIELD, str(file), f"name a file that can be read ({error.strerror})") from error
    except UnicodeDecodeError:
        token = ""
    if not token or len(token) > _MOST:
        raise InvalidInput(FIELD, str(file), "there is no token in it, write one there and nothing else")
    return token
