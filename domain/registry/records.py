"""Strict reading of JSON objects into value objects: every field named, none missing, none extra."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain.registry.errors import InvalidInput

_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object whose fields are taken one by one; `what` names it in errors."""

    what: str
    values: Mapping[str, Any]

    @classmethod
    def of(cls, what: str, value: object, names: tuple[str, ...]) -> Fields:
        """Require an object with exactly these names.

        Raises:
            InvalidInput: naming the first missing or unknown field.
        """
        if not isinstance(value, Mapping):
            raise InvalidInput(what, value, "give an object (a table of names and values)")
        for name in names:
            if name not in value:
                raise InvalidInput(f"{what}.{name}", None, "it is required, add it")
        for name in value:
            if name not in names:
                raise InvalidInput(f"{what}.{name}", value[name], f"no such field, use {', '.join(names)}")
        return cls(what, value)

    def text(self, name: str, *, longest: int = 4000) -> str:
        return as_text(f"{self.what}.{name}", self.values[name], longest=longest)

    def integer(self, name: str, *, least: int = 0) -> int:
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InvalidInput(f"{self.what}.{name}", value, f"give a whole number of at least {least}")
        return value

    def date(self, name: str) -> dt.date:
        return as_date(f"{self.what}.{name}", self.values[name])

    def mapping(self, name: str) -> Mapping[str, Any]:
        value = self.values[name]
        if not isinstance(value, Mapping):
            raise InvalidInput(f"{self.what}.{name}", value, "give an object (a table of names and values)")
        return value

    def items(self, name: str) -> list[Any]:
        value = self.values[name]
        if not isinstance(value, list | tuple):
            raise InvalidInput(f"{self.what}.{name}", value, "give a list")
        return list(value)


def as_text(field: str, value: object, *, longest: int = 4000) -> str:
    """Return a non-blank string without surrounding white space or control characters."""
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(field, value, "give a text that is not blank")
    if value != value.strip() or _CONTROL.search(value):
        raise InvalidInput(field, value, "remove white space around it and control characters in it")
    if len(value) > longest:
        raise InvalidInput(field, value, f"shorten it to {longest} characters, it has {len(value)}")
    return value


def as_date(field: str, value: object) -> dt.date:
    """Return an ISO 8601 calendar date, YYYY-MM-DD."""
    try:
        if isinstance(value, str) and len(value) == 10:
            return dt.date.fromisoformat(value)
    except ValueError:
        pass
    raise InvalidInput(field, value, "give a calendar date as YYYY-MM-DD")


def instant_text(moment: dt.datetime) -> str:
    """An aware moment as UTC text with microseconds, the one form that events use."""
    return f"{moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def as_instant(field: str, value: object) -> dt.datetime:
    """Read what `instant_text` writes."""
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return dt.datetime.fromisoformat(value)
        except ValueError:
            pass
    raise InvalidInput(field, value, "give a moment as YYYY-MM-DDTHH:MM:SS.ffffffZ")
