"""Who is told when a run fails: a TOML file that names notifiers of Airflow's providers.

    [[notifier]]
    class = "airflow.providers.smtp.notifications.smtp.SmtpNotifier"
    to = ["model-risk@example.com"]
    subject = "{{ dag.dag_id }} failed: {{ reason }}"

Beside `class` stand the arguments of the class. Passwords and tokens belong in Airflow's connections.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.registry.errors import InvalidInput
from domain.registry.records import as_text

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier

FIELD = "VERITAS_ALERTS"
_SHAPE = "write a table [[notifier]] for each, with its class and the arguments of that"


@dataclass(frozen=True, slots=True)
class NotifierSetting:
    """A notifier as the file names it.

    Attributes:
        path: of its class, `package.module.Class`.
        arguments: what the class is called with; not shown, for a secret may be among them.
    """

    path: str
    arguments: Mapping[str, Any]

    def make(self) -> BaseNotifier:
        """The notifier itself.

        Raises:
            InvalidInput: there is no such class, it is no notifier, or it takes other arguments.
        """
        from airflow.sdk import BaseNotifier

        module, _, name = self.path.rpartition(".")
        try:
            found = getattr(import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            remedy = "give the path of a class, and install the provider that has it"
            raise InvalidInput(f"{FIELD}.notifier.class", self.path, remedy) from error
        if not (isinstance(found, type) and issubclass(found, BaseNotifier)):
            raise InvalidInput(f"{FIELD}.notifier.class", self.path, "give the class of a notifier")
        try:
            return found(**self.arguments)
        except Exception:  # each class looks at its arguments in its own way
            names = ", ".join(self.arguments) or "none"
            remedy = f"it does not take the arguments given ({names}), correct them"
            # What the class says may quote an argument, so it is no cause.
            raise InvalidInput(f"{FIELD}.notifier.class", self.path, remedy) from None


def read_notifiers(file: Path) -> tuple[NotifierSetting, ...]:
    """The notifiers that a file names, in its order; none while it does not exist.

    Raises:
        InvalidInput: the file cannot be read, is no TOML, or has anything but notifiers.
    """
    try:
        content = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise InvalidInput(FIELD, str(file), f"it cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(FIELD, str(file), f"it is not TOML in UTF-8 ({error})") from error
    tables = content.get("notifier")
    if set(content) != {"notifier"} or not isinstance(tables, list):
        raise InvalidInput(FIELD, str(file), _SHAPE)
    return tuple(_setting(table) for table in tables)


def _setting(table: object) -> NotifierSetting:
    if not isinstance(table, dict):
        raise InvalidInput(f"{FIELD}.notifier", "not shown", _SHAPE)
    path = as_text(f"{FIELD}.notifier.class", table.get("class"))
    return NotifierSetting(path, {name: value for name, value in table.items() if name != "class"})
