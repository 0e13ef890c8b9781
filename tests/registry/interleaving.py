"""Runs actors one step at a time in an order that a test decides, and kills them where it likes.

Each actor is a thread, and only one of them, or the test, ever runs: an actor gives up its turn before every
call of a store that wraps it, so the test chooses which effect comes next.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

PATIENCE = 60.0


class Killed(BaseException):
    """Ends an actor within a step, as SIGKILL would; nothing catches it."""


class ManualClock:
    """Stands still until it is moved; wall clock and monotonic clock in one."""

    def __init__(self) -> None:
        self.moment = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)

    def now(self) -> dt.datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    def advance(self, duration: dt.timedelta) -> None:
        self.moment += duration


class Actor:
    """A piece of work that waits before each of its steps for `step` or `kill`.

    Attributes:
        deleting_since: when a deletion that is not over began.
        failure: what ended it, besides `Killed`.
    """

    def __init__(self, work: Callable[[], Any], name: str) -> None:
        self.name = name
        self.deleting_since: dt.datetime | None = None
        self.answer: Any = None
        self.failure: Exception | None = None
        self.done = False
        self._doomed = False
        self._turn, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(work,), name=name, daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Let it go on to its next call."""
        if not self.done:
            self._turn.release()
            assert self._back.acquire(timeout=PATIENCE), f"{self.name} does not come back"

    def kill(self) -> None:
        """End it before the call that it is about to make."""
        self._doomed = True
        while not self.done:
            self.step()

    def pause(self) -> None:
        """Called in the actor's thread: wait for the next turn."""
        self._back.release()
        assert self._turn.acquire(timeout=PATIENCE)
        if self._doomed:
            raise Killed

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            assert self._turn.acquire(timeout=PATIENCE)
            if not self._doomed:
                self.answer = work()
        except Killed:
            pass
        except Exception as error:
            self.failure = error
        finally:
            self.done = True
            self._back.release()


def pause() -> None:
    """Give up the turn if this thread is an actor's; the test itself goes on."""
    actor = current()
    if actor is not None:
        actor.pause()


def current() -> Actor | None:
    """The actor whose thread this is."""
    work = getattr(threading.current_thread(), "_target", None)
    owner = getattr(work, "__self__", None)
    return owner if isinstance(owner, Actor) else None
