"""Private staging of processes that were killed: directories whose lock nobody holds any more."""

from __future__ import annotations

import contextlib
import datetime as dt
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from domain.registry.ports import Leftover
from domain.registry.staging import unavailable

_LOCK = ".lock"
STAGING = "staging"


class StagingLeftovers:
    """What is left below a directory in which `private_directory` makes its own, a `LeftoversPort`.

    The next process that stages something there sweeps it away too; but a directory in which nothing is
    staged any more is swept by nobody else.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def leftovers(self) -> Iterator[Leftover]:
        try:
            for lock in sorted(self._directory.glob(f"stage-*{_LOCK}")):
                with _unlocked(lock) as free:
                    if free:
                        yield _described(lock)
        except OSError as error:
            raise unavailable(error, f"looking through {self._directory}") from error

    def remove_leftover(self, leftover: Leftover) -> None:
        lock = Path(leftover.name + _LOCK)
        try:
            with _unlocked(lock) as free:
                if free:
                    # The directory goes first: one without its lock file would never be found again.
                    shutil.rmtree(leftover.name, ignore_errors=True)
                    if not Path(leftover.name).exists():
                        lock.unlink()
        except OSError as error:
            raise unavailable(error, f"removing {leftover.name}") from error


@contextlib.contextmanager
def _unlocked(lock: Path) -> Iterator[bool]:
    """Hold a lock file during the block; False if its owner lives, or it is gone."""
    try:
        fd = os.open(lock, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield False
        return
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(fd)


def _described(lock: Path) -> Leftover:
    directory = lock.with_name(lock.name.removesuffix(_LOCK))
    files = [path for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]
    newest = max([lock.stat().st_mtime, *(path.stat().st_mtime for path in files)])
    size = sum(path.stat().st_size for path in files)
    return Leftover(STAGING, str(directory), size, dt.datetime.fromtimestamp(newest, dt.UTC))
