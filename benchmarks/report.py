"""What benchmarks print: a line for each ratio, its spread, its limit, and whether it holds."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A measured figure.

    Attributes:
        limit: the most it may be; None where it is only told.
        spread: the least and the greatest of the repetitions that `value` is the median of.
    """

    what: str
    value: float
    limit: float | None
    spread: tuple[float, float] | None = None

    @classmethod
    def of(cls, what: str, repetitions: Sequence[float], limit: float | None) -> Line:
        """The median of repetitions."""
        return cls(what, statistics.median(repetitions), limit, (min(repetitions), max(repetitions)))

    @property
    def good(self) -> bool:
        return self.limit is None or self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Turns:
    """Seconds of two ways to do the same, which took turns so that both had the same machine."""

    ours: tuple[float, ...]
    theirs: tuple[float, ...]

    @classmethod
    def of(cls, ours: Callable[[int], object], theirs: Callable[[int], object], rounds: int) -> Turns:
        """Run both in turns, each with the number of the round, after one round numbered -1 that warms up."""
        ours(-1), theirs(-1)
        pairs = [
            (seconds(lambda number=number: ours(number)), seconds(lambda number=number: theirs(number)))  # type: ignore[misc]
            for number in range(rounds)
        ]
        return cls(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours by theirs, of each round."""
        return tuple(a / b for a, b in zip(self.ours, self.theirs, strict=True))


def seconds(work: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def show(title: str, lines: Sequence[Line]) -> int:
    """Print a table; 1 if a limit was missed, else 0."""
    from rich.console import Console
    from rich.table import Table

    busy = f"{os.getloadavg()[1]:.1f} of {os.cpu_count()} processors busy in the last 5 minutes"
    table = Table(title=title, caption=busy)
    for heading in ("measured", "figure", "least to most", "at most", ""):
        table.add_column(heading, justify="left" if heading in ("measured", "") else "right")
    for line in lines:
        spread = "" if line.spread is None else f"{line.spread[0]:.3g} to {line.spread[1]:.3g}"
        limit = "" if line.limit is None else f"{line.limit:g}"
        told = "" if line.limit is None else "[green]holds[/]" if line.good else "[red]missed[/]"
        table.add_row(line.what, f"{line.value:.3g}", spread, limit, told)
    Console().print(table)
    return 0 if all(line.good for line in lines) else 1
