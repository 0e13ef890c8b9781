"""An engine that starts when there is work to share; most dates of a backfill need one block, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Self

from domain.risk.ports import Item, PrepEnginePort, Result
from veritasvault.adapters.inline_prep import InlinePrepEngine


class OnDemandPrepEngine:
    """Runs a single task where it is called and starts the engine for the first two that come together.

    Starting an engine takes seconds, and every engine gives the same bytes as none.

    Args:
        engine: what shares tasks among processes; not entered yet.
    """

    def __init__(self, engine: PrepEnginePort) -> None:
        self.name = engine.name
        self._engine = engine
        self._started: PrepEnginePort | None = None
        self._stack = ExitStack()

    def map(self, task: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Results in the order of the items.

        Raises:
            DomainException: what the first failing task raised; `Unavailable` for a foreign exception.
            InvalidInput: what the engine needs is not installed.
            Unavailable: the engine cannot be started, or failed.
        """
        if len(items) < 2:
            return InlinePrepEngine().map(task, items)
        if self._started is None:
            self._started = self._stack.enter_context(self._engine)
        return self._started.map(task, items)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._started = None
        self._stack.close()
