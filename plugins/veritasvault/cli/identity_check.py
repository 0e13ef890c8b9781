"""The doctor's check of who commands, and whether anybody believes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from veritasvault.cli.checks import Check

if TYPE_CHECKING:
    from veritasvault.bootstrap import Application

_OTHERS = 0o077


def identity(application: Application) -> Check:
    """Under which name commands are recorded, who vouches for it, and which roles it has."""
    found = application.identity
    person = application.people.get(found.name, found.name)
    also = "" if person == found.name else f", who is {person}"
    roles = ", ".join(application.roles.get(person, ())) or "none"
    detail = f"you are {found.name}{also}, by the word of the {_source(found.known_by)}; roles: {roles}"
    file = application.settings.token_file
    if file is not None and file.stat().st_mode & _OTHERS:
        return Check("identity", "warn", f"{detail}; {file} can be read by others", f"chmod 600 {file}")
    return Check("identity", "ok", detail)


def _source(known_by: str) -> str:
    return f"issuer {known_by}" if "://" in known_by else known_by
