"""Who has which role in decisions on models: a TOML file that risk officers keep.

    [roles]
    risk_officer = ["alice", "bob"]
    model_validator = ["carol"]

Names are those of Airflow's users, and of the operating system's users on the command line.
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
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise InvalidInput(FIELD, str(file), f"it cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(FIELD, str(file), f"it is not TOML in UTF-8 ({error})") from error
    roles = content.get("roles")
    if not isinstance(roles, dict) or content.keys() != {"roles"}:
        raise InvalidInput(FIELD, str(file), "write one table, [roles], with a list of names for each role")
    found: dict[str, tuple[str, ...]] = {}
    for role, people in roles.items():
        if role not in ROLES:
            raise InvalidInput(f"{FIELD}.{role}", people, f"no such role, use {', '.join(ROLES)}")
        if not isinstance(people, list):
            raise InvalidInput(f"{FIELD}.{role}", people, 'give a list of names, such as ["alice"]')
        for person in people:
            found[as_text(f"{FIELD}.{role}", person)] = (*found.get(person, ()), role)
    return found


def people_with(roles: Mapping[str, tuple[str, ...]], role: str) -> tuple[str, ...]:
    """The names of those who have a role, sorted."""
    return tuple(sorted(name for name, theirs in roles.items() if role in theirs))
