"""A desk on a Ray cluster: work is left there, and what runs on the cluster fetches it and answers.

Ray Tune and Ray Train take ten seconds and more to begin. So one experiment, or one training, goes on as long
as there may be work, and each piece of it costs a tenth of a second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

from domain.registry.errors import Unavailable
from veritasvault.adapters.prep_outcome import Outcome

END = -1
"""In place of a number: nothing more will be left."""
_END_SECONDS = 60.0
_POLL_SECONDS = 1.0


class Desk:
    """An actor: numbered work, and what came of it."""

    def __init__(self) -> None:
        self._work: dict[int, Any] = {}
        self._waiting: deque[int] = deque()
        self._outcomes: dict[int, Outcome[Any]] = {}
        self._changed = asyncio.Condition()
        self._closed = False

    async def leave(self, works: Sequence[Any]) -> list[int]:
        """Leave work; its numbers."""
        numbers = list(range(len(self._work), len(self._work) + len(works)))
        async with self._changed:
            self._work.update(zip(numbers, works, strict=True))
            self._waiting.extend(numbers)
            self._changed.notify_all()
        return numbers

    async def close(self) -> None:
        """Nothing more will be left."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def next(self) -> int | None:
        """A number that nobody was given; None if there is none now, `END` if there will be none."""
        if self._waiting:
            return self._waiting.popleft()
        return END if self._closed else None

    async def first_open(self) -> int:
        """The first number that was not answered; its work may not be left yet."""
        return next(number for number in count() if number not in self._outcomes)

    async def work(self, number: int) -> Any:
        """The work of a number, once it is left; None if it will not be, or is answered."""
        async with self._changed:
            await self._changed.wait_for(lambda: number in self._work or self._closed)
        return self._work.get(number)

    async def answer(self, number: int, outcome: Outcome[Any]) -> None:
        """The first answer stays: who gave it may have ended before it could say that it is done."""
        async with self._changed:
            self._outcomes.setdefault(number, outcome)
            self._work[number] = None
            self._changed.notify_all()

    async def answers(self, numbers: Sequence[int]) -> list[Outcome[Any]]:
        """What came of them, once all are answered."""
        async with self._changed:
            await self._changed.wait_for(lambda: all(number in self._outcomes for number in numbers))
        return [self._outcomes[number] for number in numbers]


class Served:
    """A desk, and a task of the cluster that sees to what is left there."""

    def __init__(
        self, task: Callable[..., None], arguments: Sequence[object], check: Callable[[], None]
    ) -> None:
        import ray

        self._check = check
        self._desk = ray.remote(num_cpus=0)(Desk).remote()
        # Not begun anew where its worker ends: what it had reserved stays reserved until we disconnect.
        self._running = ray.remote(num_cpus=0, max_retries=0)(task).remote(self._desk, *arguments)

    def outcomes(self, works: Sequence[Any]) -> list[Outcome[Any]]:
        """What comes of work, in its order.

        Raises:
            DomainException: what the check raised, which is asked meanwhile.
            Unavailable: the task ended; any exception of Ray's that it ended with.
        """
        import ray

        answers = self._desk.answers.remote(ray.get(self._desk.leave.remote(list(works))))
        while not (ended := ray.wait([answers, self._running], timeout=_POLL_SECONDS)[0]):
            self._check()
        if answers not in ended:
            ray.get(self._running)
            raise Unavailable("ray ended what it was given before it was done: retry")
        found: list[Outcome[Any]] = ray.get(answers)
        return found

    def close(self) -> None:
        """Let the task end, and wait for it a while."""
        import ray

        with suppress(Exception):  # the cluster may be what failed
            self._desk.close.remote()
            ray.wait([self._running], timeout=_END_SECONDS)


@contextmanager
def served_by(task: Callable[..., None], *arguments: object, check: Callable[[], None]) -> Iterator[Served]:
    """Start a task that gets the desk and the arguments, on the Ray that this process is connected to.

    Args:
        check: is asked while somebody waits, and raises when there is nothing to wait for.
    """
    served = Served(task, arguments, check)
    try:
        yield served
    finally:
        served.close()
