"""What `make demo` ends with: the registered version as its register task returned it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


def summary(results: Mapping[str, Any]) -> RenderableType:
    """Render the end of a run for people.

    Args:
        results: what each task returned, by task id; only of those that succeeded.
    """
    from rich.panel import Panel
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    last = list(results.values())[-1] if results else None
    for name, value in (last if isinstance(last, Mapping) else results).items():
        table.add_row(str(name), str(value))
    return Panel(table, title="Done", expand=False)
