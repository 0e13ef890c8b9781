"""The desk where work for a Ray cluster is left; what workers do with it is tested on clusters elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from veritasvault.adapters.prep_outcome import Outcome
from veritasvault.adapters.ray_desk import END, Desk


def at_a_desk(talk: Callable[[Desk], Awaitable[None]]) -> None:
    """As in an actor, all calls are one event loop's."""

    async def all_of_it() -> None:
        await asyncio.wait_for(talk(Desk()), 30)

    asyncio.run(all_of_it())


def test_work_is_given_out_in_its_order_and_answers_come_in_that_of_the_question() -> None:
    async def talk(desk: Desk) -> None:
        first, second = await desk.leave(["a", "b"])
        assert [await desk.next(), await desk.next(), await desk.next()] == [first, second, None]
        waiting = asyncio.create_task(desk.answers([first, second]))
        await desk.answer(second, Outcome("B", None))
        await desk.answer(first, Outcome("A", None))
        assert [one.result for one in await waiting] == ["A", "B"]

    at_a_desk(talk)


def test_the_first_answer_stays_and_its_work_is_not_given_again() -> None:
    """A worker that answered and ended at once is given up by Ray: what it found stands all the same."""

    async def talk(desk: Desk) -> None:
        (number,) = await desk.leave(["a"])
        await desk.answer(number, Outcome("A", None))
        assert await desk.work(number) is None
        await desk.answer(number, Outcome(None, RuntimeError("given up")))
        assert await desk.answers([number]) == [Outcome("A", None)]
        assert await desk.first_open() == number + 1

    at_a_desk(talk)


def test_whoever_waits_for_work_is_told_that_there_will_be_none() -> None:
    async def talk(desk: Desk) -> None:
        waiting = asyncio.create_task(desk.work(0))
        await desk.close()
        assert await waiting is None
        assert await desk.next() == END

    at_a_desk(talk)
