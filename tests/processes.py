"""Runs a piece of a test in a forked process: with fewer rights, with limits, or to be killed."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any


def in_child(work: Callable[[], Any], *, before: Callable[[], None] = lambda: None) -> Any:
    """What `work` returns or raises, from a forked process that first ran `before`.

    Raises:
        ChildError: what `work` raised.
        ChildKilled: a signal ended the process.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            before()
            try:
                answer = (True, work())
            except Exception as error:
                answer = (False, f"{type(error).__name__}: {error}")
            with os.fdopen(writer, "wb") as out:
                pickle.dump(answer, out)
            code = 0
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        data = answers.read()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        raise ChildKilled(signal.Signals(-code))
    assert code == 0, "the child failed, its traceback is on stderr"
    good, answer = pickle.loads(data)
    if not good:
        raise ChildError(answer)
    return answer


class ChildError(Exception):
    """What `work` raised, as its type and message."""


class ChildKilled(Exception):
    """A signal ended the child; the argument is the signal."""


def without_privileges() -> None:
    """Become a user whom file permissions bind; tests often run as root, whom they do not."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
