"""What benchmarks print: a line for each ratio, its limit, and whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A measured figure; `limit` is the most it may be, None where it is only told."""

    what: str
    value: float
    limit: float | None

    @property
    def good(self) -> bool:
        return self.limit is None or self.value <= self.limit


def show(title: str, lines: Sequence[Line]) -> int:
    """Print a table; 1 if a limit was missed, else 0."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for heading, justify in (("measured", "left"), ("figure", "right"), ("at most", "right"), ("", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for line in lines:
        limit = "" if line.limit is None else f"{line.limit:g}"
        told = "" if line.limit is None else "[green]holds[/]" if line.good else "[red]missed[/]"
        table.add_row(line.what, f"{line.value:.3g}", limit, told)
    Console().print(table)
    return 0 if all(line.good for line in lines) else 1
