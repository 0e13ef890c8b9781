"""Kills a forked process at the n-th moment of its work that leaves the outside in a state of its own.

The outside is the file system, servers, databases and git repositories.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests import processes


@dataclass
class KillPoints:
    """Counts the moments before and after the steps of a process, and sends it SIGKILL at one of them.

    Attributes:
        kinds: words of the steps that count, such as `S3`; a process of which another test kills the other
            steps need not die at them again. All count if there are none.
    """

    kill_at: int | None
    kinds: tuple[str, ...] = ()
    reached: list[str] = field(default_factory=list)
    _unchanged: bool = False

    def reach(self, moment: str) -> None:
        if self.kinds and not any(kind in moment for kind in self.kinds):
            return
        between, self._unchanged = self._unchanged, moment.startswith("after")
        if between and moment.startswith("before"):
            return  # The outside is as the step before this one left it, and a kill was there.
        self.reached.append(moment)
        if len(self.reached) == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, owner: Any, name: str, label: Callable[..., str], *, after: bool = False) -> None:
        """Make a step of every call of `owner.name`; the real function still does the work.

        `after` adds the moment when the call has had its effect and nobody knows yet. Elsewhere the next
        step's beginning is that moment. A call whose label is empty is no step.
        """
        real = getattr(owner, name)

        @functools.wraps(real)
        def counted(*args: Any, **kwargs: Any) -> Any:
            step = label(*args, **kwargs)
            if step:
                self.reach(f"before {step}")
            result = real(*args, **kwargs)
            if step and after:
                self.reach(f"after {step}")
            return result

        setattr(owner, name, counted)

    def watch(self) -> None:
        """Count what makes a registration durable or visible; reading changes nothing."""
        for name in ("fsync", "link", "rename", "replace", "mkdir", "unlink", "chmod"):
            self.around(os, name, lambda *_, _name=name, **__: f"os.{_name}")
        from botocore.httpsession import URLLib3Session
        from requests.adapters import HTTPAdapter
        from sqlalchemy.engine.default import DefaultDialect

        self.around(URLLib3Session, "send", lambda _, request: _sending("S3", request), after=True)
        self.around(HTTPAdapter, "send", lambda _, request, **__: _sending("HTTP", request), after=True)
        self.around(subprocess, "run", lambda arguments, **_: _in_git(arguments), after=True)
        self.around(DefaultDialect, "do_execute", lambda _, __, sql, *___: _writing(sql))
        self.around(DefaultDialect, "do_executemany", lambda _, __, sql, *___: _writing(sql))
        self.around(DefaultDialect, "do_commit", lambda *_: "SQL COMMIT", after=True)


def _sending(protocol: str, request: Any) -> str:
    """The method of a request that changes something; MLflow is also asked by POST."""
    asking = request.method in ("GET", "HEAD") or request.url.endswith("/search")
    return "" if asking else f"{protocol} {request.method}"


def _in_git(arguments: list[str]) -> str:
    changing = {"fast-import", "fetch", "push"}.intersection(arguments)
    return f"git {changing.pop()}" if arguments[0] == "git" and changing else ""


def _writing(sql: str) -> str:
    verb = sql.split()[0].upper()
    return "" if verb in ("BEGIN", "PRAGMA", "SELECT", "SHOW") else f"SQL {verb}"


@dataclass(frozen=True)
class Outcome:
    """How a child process ended: killed, or finished with the moments it reached."""

    killed: bool
    reached: list[str]


def in_child(work: Callable[[], None], kill_at: int | None = None, kinds: tuple[str, ...] = ()) -> Outcome:
    """Run `work` in a forked process that dies at its n-th moment; None counts them.

    Raises:
        ChildError: the child failed on its own.
    """
    points = KillPoints(kill_at, kinds)

    def counted() -> list[str]:
        work()
        return points.reached

    try:
        return Outcome(killed=False, reached=processes.in_child(counted, before=points.watch))
    except processes.ChildKilled as killed:
        if killed.args != (signal.SIGKILL,):
            raise
        return Outcome(killed=True, reached=[])
