"""Where a search leaves what is to be tried, and trials of Ray Tune fetch it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory
from typing import Any

from domain.registry.errors import Unavailable
from veritasvault.adapters.prep_outcome import Outcome, attempt

_TRIES = 4
_END = -1

Work = tuple[Callable[[Any], Any], Any]


class Desk:
    """An actor: work that is numbered, and what came of it."""

    def __init__(self) -> None:
        self._work: dict[int, Work] = {}
        self._waiting: deque[int] = deque()
        self._outcomes: dict[int, Outcome[Any]] = {}
        self._changed = asyncio.Condition()
        self._closed = False

    async def leave(self, task: Callable[[Any], Any], items: Sequence[Any]) -> list[int]:
        """Leave a task of each item; their numbers."""
        numbers = list(range(len(self._work), len(self._work) + len(items)))
        self._work.update(zip(numbers, [(task, item) for item in items], strict=True))
        self._waiting.extend(numbers)
        return numbers

    async def next(self) -> int | None:
        """A number that nobody was given; None if there is none now, -1 if there will be none."""
        if self._waiting:
            return self._waiting.popleft()
        return _END if self._closed else None

    async def work(self, number: int) -> Work:
        return self._work[number]

    async def answer(self, number: int, outcome: Outcome[Any]) -> None:
        async with self._changed:
            self._outcomes[number] = outcome
            self._changed.notify_all()

    async def answers(self, numbers: Sequence[int]) -> list[Outcome[Any]]:
        """What came of them, once all are done."""
        async with self._changed:
            await self._changed.wait_for(lambda: all(number in self._outcomes for number in numbers))
        return [self._outcomes[number] for number in numbers]

    async def close(self) -> None:
        """Nothing more will be left."""
        self._closed = True


def tune_what_is_left_at(desk: Any) -> None:
    """A task: run trials until the desk is closed."""
    from ray import tune

    # Nothing is stored there but Ray's own notes: what a trial found is answered at the desk.
    with TemporaryDirectory(prefix="veritas-ray-tune-") as notes:
        tune.Tuner(
            tune.with_resources(tune.with_parameters(_try, desk=desk), {"cpu": 1}),
            # Without an end; a worker that has begun serves one trial after the other.
            tune_config=tune.TuneConfig(search_alg=_searcher(desk), num_samples=-1, reuse_actors=True),
            run_config=tune.RunConfig(
                storage_path=notes, failure_config=tune.FailureConfig(max_failures=_TRIES - 1), verbose=0
            ),
        ).fit()


def _try(config: dict[str, Any], desk: Any) -> None:
    import ray
    from ray import tune

    task, item = ray.get(desk.work.remote(config["number"]))
    outcome = attempt(task, item)
    ray.get(desk.answer.remote(config["number"], outcome))
    tune.report({"result": outcome.result})


def _searcher(desk: Any) -> Any:
    """Proposes what was left at a desk: what is tried is decided by the project's own search."""
    import ray
    from ray.tune.search import Searcher

    class DeskSearcher(Searcher):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self._numbers: dict[str, int] = {}

        def suggest(self, trial_id: str) -> Any:
            number = ray.get(desk.next.remote())
            if number == _END:
                return Searcher.FINISHED
            if number is None:
                return None
            self._numbers[trial_id] = number
            _, item = ray.get(desk.work.remote(number))
            return {"number": number, "item": str(item)}

        def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
            """Whoever waits for a trial that was given up is told."""
            if error:
                found = Unavailable(f"ray gave up a trial of the search after {_TRIES} workers that ended")
                ray.get(desk.answer.remote(self._numbers[trial_id], Outcome(None, found)))

        def save(self, checkpoint_path: str) -> None:
            """Nothing: the search keeps its own notes."""

        def restore(self, checkpoint_path: str) -> None:
            """Nothing."""

    return DeskSearcher()
