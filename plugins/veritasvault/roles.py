"""Who has which role in decisions on models, and who is one person: a TOML file that risk officers keep.

    [roles]
    risk_officer = ["alice", "bob"]
    model_validator = ["carol"]

    [people]
    alice = ["asmith", "alice.smith@example.com", "oidc:8f3e2c"]

A person has the name of their user in Airflow. `people` says which other names they go by: of the operating
system's user, in commits, and `oidc:` with the subject of their tokens.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from domain.registry.errors import InvalidInput
from domain.registry.lifecycle.rules import ROLES
from domain.registry.records import as_text

FIELD = "VERITAS_ROLES"


def read_roles(file: Path) -> Mapping[str, tuple[str, ...]]:
    """The roles of each person; nobody has any while the file does not exist.

    Raises:
        InvalidInput: the file cannot be read, is no TOML, or names another role.
    """
    people = read_people(file)
    found: dict[str, tuple[str, ...]] = {}
    for role, names in _table(file, "roles").items():
        if role not in ROLES:
            raise InvalidInput(f"{FIELD}.{role}", names, f"no such role, use {', '.join(ROLES)}")
        for name in _names(f"{FIELD}.{role}", names):
            person = people.get(name, name)
            found[person] = tuple(dict.fromkeys((*found.get(person, ()), role)))
    return found


def read_people(file: Path) -> Mapping[str, str]:
    """The one name of each person by their other names; empty while the file does not exist.

    Raises:
        InvalidInput: the file cannot be read, is no TOML, or gives a name to two people.
    """
    found: dict[str, str] = {}
    people = _table(file, "people")
    for person, names in people.items():
        field = f"{FIELD}.people.{person}"
        for name in _names(field, names):
            if name in people or found.get(name, person) != person:
                raise InvalidInput(field, name, "another person has this name, give each name to one")
            found[name] = person
    return found


def _table(file: Path, name: str) -> Mapping[str, object]:
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidInput(FIELD, str(file), f"it cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(FIELD, str(file), f"it is not TOML in UTF-8 ({error})") from error
    table = content.get(name, {})
    if not isinstance(table, dict) or "roles" not in content or content.keys() - {"roles", "people"}:
        raise InvalidInput(
            FIELD, str(file), "write the table [roles], a list of names for each role, and perhaps [people]"
        )
    return table


def _names(field: str, value: object) -> list[str]:
    if not isinstance(value, list):
        raise InvalidInput(field, value, 'give a list of names, such as ["alice"]')
    return [as_text(field, name) for name in value]


def people_with(roles: Mapping[str, tuple[str, ...]], role: str) -> tuple[str, ...]:
    """The names of those who have a role, sorted."""
    return tuple(sorted(name for name, theirs in roles.items() if role in theirs))
