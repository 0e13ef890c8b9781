"""Copies of versions on a local disk, shared by processes, bounded in size, each checked whenever it is used.

    <root>/models/<model id>/<copy>/        files of one copy, and what proves them, written last
    <root>/models/<model id>/<copy>.lock    held shared by whoever uses or fills it; its time is the last use
    <root>/names/<NAME@VERSION>             the model id, to find a version without the ledger

A copy is never changed in place: a damaged one is left to those who have it open, and another takes its
place.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from domain.registry.errors import IntegrityError, InvalidInput
from domain.registry.manifest import ModelId, as_model_id
from domain.registry.staging import unavailable
from veritasvault.adapters.durable_files import write_durably
from veritasvault.adapters.file_lock import file_lock

_LOCK = ".lock"
_T = TypeVar("_T")


class CachedCopy:
    """A directory that stays, whatever others do with the cache, until it is released."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock: int | None = lock

    def release(self) -> None:
        """Let the cache remove the copy when it needs the room."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __del__(self) -> None:
        self.release()


class ModelCache:
    """Keeps copies below a directory; a read-only one serves what is in it."""

    def __init__(self, root: Path, limit: int, *, finished: str) -> None:
        """
        Args:
            limit: bytes of all copies together; copies that are in use are kept also above it.
            finished: name of the file that is written last; a copy without it is nobody's.
        """
        self._root = root
        self._limit = limit
        self._finished = finished

    def get(
        self, model_id: ModelId, check: Callable[[Path], _T], fill: Callable[[Path], None]
    ) -> tuple[CachedCopy, _T]:
        """A copy that passes the check, and what the check returned; made if there is none.

        Of processes that want the same version at once, one makes the copy. A copy that fails the check with
        an IntegrityError is taken out of the cache and replaced.

        Args:
            fill: writes a copy's files to a new directory, the one named `finished` last.

        Raises:
            Contended: another process was making the copy all the time.
            Unavailable: the cache cannot be read or written.
            Exception: whatever `fill` raises, and `check` other than for damaged copies.
        """
        found = self._good(model_id, check)
        if found is not None:
            return found
        try:
            with file_lock(self._root / "locks" / model_id, f"the cached copy of model {model_id}"):
                found = self._good(model_id, check) or self._made(model_id, check, fill)
            self._make_room()
        except OSError as error:
            raise unavailable(error, f"writing to the cache {self._root}") from error
        return found

    def name(self, reference: str, model_id: ModelId) -> None:
        """Remember which model a version is; a read-only cache keeps what it knows."""
        place = self._root / "names" / reference
        with contextlib.suppress(OSError):
            if self.named(reference) != model_id:
                write_durably(place, model_id.encode())

    def named(self, reference: str) -> ModelId | None:
        """The model that a version was when it was loaded last: a hint, the copy itself says what it is."""
        try:
            return as_model_id("model id", (self._root / "names" / reference).read_text())
        except (OSError, UnicodeDecodeError, InvalidInput):
            return None

    def forget(self, model_id: ModelId) -> None:
        """Take a model's copies out of the cache."""
        for lock_path in self._locks(model_id):
            self._remove(lock_path, damaged=True)

    def _good(self, model_id: ModelId, check: Callable[[Path], _T]) -> tuple[CachedCopy, _T] | None:
        for lock_path in self._locks(model_id):
            copy = self._taken(lock_path)
            if copy is None:
                continue
            try:
                value = check(copy.path)
            except IntegrityError:
                copy.release()
                self._remove(lock_path, damaged=True)
                continue
            except BaseException:
                copy.release()
                raise
            with contextlib.suppress(OSError):
                os.utime(lock_path)
            return copy, value
        return None

    def _taken(self, lock_path: Path) -> CachedCopy | None:
        """A finished copy, kept from being removed; None if it is unfinished or being removed."""
        path = lock_path.with_suffix("")
        try:
            lock = os.open(lock_path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return None
        copy = CachedCopy(path, lock)
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if os.fstat(lock).st_nlink and (path / self._finished).is_file():
                return copy
        copy.release()
        return None

    def _made(
        self, model_id: ModelId, check: Callable[[Path], _T], fill: Callable[[Path], None]
    ) -> tuple[CachedCopy, _T]:
        home = self._root / "models" / model_id
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy = _new_place(home)
        try:
            copy.path.mkdir(mode=0o700)
            fill(copy.path)
            return copy, check(copy.path)
        except BaseException:
            copy.release()
            self._remove(copy.path.with_suffix(_LOCK))
            raise

    def _make_room(self) -> None:
        """Remove what dead processes left unfinished, then the least recently used, down to the limit."""
        sizes: dict[Path, int] = {}
        for lock_path in self._locks():
            if (lock_path.with_suffix("") / self._finished).is_file():
                sizes[lock_path] = _size(lock_path.with_suffix(""))
            else:
                self._remove(lock_path)
        total = sum(sizes.values())
        for lock_path in sorted(sizes, key=_last_use):
            if total <= self._limit:
                return
            if self._remove(lock_path):
                total -= sizes[lock_path]

    def _remove(self, lock_path: Path, *, damaged: bool = False) -> bool:
        """Remove a copy unless somebody has it open; a damaged one is given to nobody else then."""
        path = lock_path.with_suffix("")
        try:
            lock = os.open(lock_path, os.O_RDONLY | os.O_NOFOLLOW)
        except OSError:
            return False
        try:
            if damaged:
                (path / self._finished).unlink(missing_ok=True)
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
            if not path.exists():
                lock_path.unlink()
            return True
        except OSError:
            return False
        finally:
            os.close(lock)

    def _locks(self, model_id: str = "*") -> Iterator[Path]:
        return iter(sorted((self._root / "models").glob(f"{model_id}/*{_LOCK}")))


def _new_place(home: Path) -> CachedCopy:
    """A place for a copy, locked before its directory is there, so that nobody takes it for a dead process's.

    Until it is locked, who makes room may do so all the same, and unlink the lock: a copy there would never
    be found, counted or removed.
    """
    while True:
        lock_path = home / f"{secrets.token_hex(8)}{_LOCK}"
        lock = os.open(lock_path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o600)
        copy = CachedCopy(lock_path.with_suffix(""), lock)
        fcntl.flock(lock, fcntl.LOCK_SH)
        if os.fstat(lock).st_nlink:
            return copy
        copy.release()


def _last_use(lock_path: Path) -> float:
    try:
        return lock_path.stat().st_mtime
    except OSError:
        return 0.0


def _size(directory: Path) -> int:
    """Bytes of the files below; what vanishes meanwhile counts nothing."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with contextlib.suppress(OSError):
                total += (Path(folder) / name).lstat().st_size
    return total
