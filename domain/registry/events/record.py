"""Events as records: frozen dataclasses that are written and read by their annotations."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Protocol, Self, Union, get_args, get_origin, get_type_hints

from domain.registry.canonical import Digest, as_digest
from domain.registry.errors import InvalidInput
from domain.registry.manifest import ModelId, as_model_id
from domain.registry.metadata import as_model_name
from domain.registry.records import Fields, as_date, as_instant, as_text, instant_text

Read = Callable[[str, object], Any]
"""Returns a JSON value as a field's value, or raises InvalidInput that names the field."""


class DomainEvent(Protocol):
    """Something that happened: an entry of the ledger, once for each `key`."""

    KIND: ClassVar[str]

    @property
    def key(self) -> str:
        """The dedupe key: the ledger takes one event for it."""

    @property
    def at(self) -> dt.datetime: ...

    def to_json(self) -> dict[str, Any]: ...


def as_version(field: str, value: object) -> int:
    """Return the number of a version, 1 and up."""
    return _integer(field, value, least=1)


def as_provenance(field: str, value: object) -> Mapping[str, str]:
    """Return names and values as texts."""
    if not isinstance(value, Mapping):
        raise InvalidInput(field, value, "give an object (a table of names and values)")
    return {as_text(field, name): as_text(f"{field}.{name}", item) for name, item in value.items()}


ModelName = Annotated[str, as_model_name]
Version = Annotated[int, as_version]
Provenance = Annotated[Mapping[str, str], as_provenance]
"""Which run, try, host, commit and person produced something; names and values are texts."""


class Record:
    """What a frozen dataclass inherits to be written to plain JSON and read back strictly."""

    __slots__ = ()
    KIND: ClassVar[str]

    def to_json(self) -> dict[str, Any]:
        """The fields by name, in plain JSON."""
        return {name: _plain(getattr(self, name)) for name in _readers(type(self))}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read what `to_json` writes.

        Raises:
            InvalidInput: naming the field that is missing, unknown or wrong.
        """
        readers = _readers(cls)  # type: ignore[arg-type]
        values = Fields.of(cls.KIND, value, tuple(readers)).values
        return cls(**{name: read(f"{cls.KIND}.{name}", values[name]) for name, read in readers.items()})


@cache
def _readers(record: Any) -> dict[str, Read]:
    hints = get_type_hints(record, include_extras=True)
    return {field.name: _reader(hints[field.name]) for field in fields(record)}


def _reader(hint: Any) -> Read:
    if hint in _READERS:
        return _READERS[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        read: Read = hint.__metadata__[0]
        return read
    if origin in (Union, UnionType):
        return _or_none(_reader(next(argument for argument in arguments if argument is not type(None))))
    if origin is tuple:
        return _all(_reader(arguments[0]))
    return lambda _field, value: hint.from_json(value)


def _or_none(read: Read) -> Read:
    return lambda field, value: None if value is None else read(field, value)


def _all(read: Read) -> Read:
    def read_all(field: str, value: object) -> tuple[Any, ...]:
        if not isinstance(value, list | tuple):
            raise InvalidInput(field, value, "give a list")
        return tuple(read(field, item) for item in value)

    return read_all


def _integer(field: str, value: object, *, least: int = 0) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(field, value, f"give a whole number of at least {least}")
    return value


def _boolean(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(field, value, "give true or false")
    return value


_READERS: dict[Any, Read] = {
    str: as_text,
    int: _integer,
    bool: _boolean,
    Digest: as_digest,
    ModelId: as_model_id,
    dt.date: as_date,
    dt.datetime: as_instant,
}


def _plain(value: Any) -> Any:
    # First what most fields are: a verification comes here a dozen times for each entry of a ledger.
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, dt.datetime):
        return instant_text(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    return value.to_json() if hasattr(value, "to_json") else value
