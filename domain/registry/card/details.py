"""Reading the details of evidence, which are free in form: what has another shape is left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from domain.registry.card.blocks import Cell
from domain.registry.evidence import Evidence


def table(evidence: Evidence, name: str) -> list[Mapping[str, Any]]:
    """The rows of a table, each an object; empty if there is no such table."""
    rows = evidence.details.get(name)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list | tuple) else []


def facts(evidence: Evidence, name: str) -> Mapping[str, Any]:
    """An object; empty if there is none."""
    found = evidence.details.get(name)
    return found if isinstance(found, Mapping) else {}


def text(row: Mapping[str, Any], name: str) -> str:
    """A text; empty if there is none."""
    value = row.get(name)
    return value if isinstance(value, str) else ""


def number(row: Mapping[str, Any], name: str) -> float | int | None:
    """A number, or None."""
    value = row.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def cell(value: object) -> Cell:
    """Any JSON value as a cell."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return value
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or None
    return str(value)


def scores(row: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """The metrics of a group of forecasts: by model, by metric."""
    found = row.get("metrics")
    return {model: of for model, of in _items(found) if isinstance(of, Mapping)}


def _items(value: object) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield from sorted(value.items())
