"""No engine: preparation in this process, one task after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from domain.risk.ports import Item, Result
from veritasvault.adapters.prep_outcome import attempt, results


class InlinePrepEngine:
    """Runs tasks where it is called; for small panels and as the reference for the engines."""

    name = "inline"

    def map(self, task: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Results in the order of the items.

        Raises:
            DomainException: what the first failing task raised; `Unavailable` for a foreign exception.
        """
        return results(attempt(task, item) for item in items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return None
