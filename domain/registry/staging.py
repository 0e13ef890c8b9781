"""Private staging: copies an artifact once, hashing and flushing as it goes, and removes the copy at exit."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import stat
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from domain.registry.artifact import Artifact, ArtifactFile, StagedArtifact, as_artifact_path
from domain.registry.canonical import Digest
from domain.registry.errors import DomainException, InvalidInput, Unavailable, UnsafeArtifact

CHUNK = 2 << 20
"""Bytes that are copied at once."""
_AHEAD = 64  # chunks; copying stays so close to hashing that the page cache has what is hashed
# Flushing while hashing overlaps disk and processor; much smaller steps cost a journal commit each.
_FLUSH = 128 << 20
_LOCK = ".lock"
_GONE = (errno.ENOENT, errno.ENOTDIR)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def stage(source: Path, directory: Path) -> Iterator[StagedArtifact]:
    """Copy a file or a directory once into a fresh private directory below `directory`, hashing it.

    A file becomes an artifact of one file with its own name. Every file is on disk (fsync) when the
    block begins; all of the copy is removed when it ends. Memory use does not depend on sizes.

    Raises:
        InvalidInput: `source` does not exist or may not be read.
        UnsafeArtifact: symlinks, special files, empty directories, names no store keeps, nothing at all.
        Unavailable: the disk is full or read-only, or `source` changed while it was copied.
    """
    with private_directory(directory) as private:
        root = private / "artifact"
        try:
            root.mkdir(mode=0o700)
        except OSError as error:
            raise unavailable(error, f"staging in {directory}") from error
        with ThreadPoolExecutor(1) as hasher, ThreadPoolExecutor(1) as flusher:
            files = _Copy(source, root, hasher, flusher).run()
        yield StagedArtifact(root, Artifact(tuple(files)))


@contextlib.contextmanager
def private_directory(directory: Path) -> Iterator[Path]:
    """A fresh directory (0700) below `directory`, removed at exit, or by the next call if this process dies.

    Raises:
        Unavailable: `directory` cannot be made or written.
    """
    try:
        make_directories(directory)
        sweep(directory)
        lock, path = _claim(directory)
    except OSError as error:
        raise unavailable(error, f"staging in {directory}") from error
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(OSError):
            if not path.exists():
                path.with_name(path.name + _LOCK).unlink()
        os.close(lock)


def sweep(directory: Path) -> None:
    """Remove what dead processes left below `directory`; a live owner holds its lock file's flock."""
    for lock_path in directory.glob(f"stage-*{_LOCK}"):
        with contextlib.suppress(OSError):
            lock = os.open(lock_path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The directory goes first: one without its lock file would never be found again.
                path = lock_path.with_name(lock_path.name.removesuffix(_LOCK))
                shutil.rmtree(path, ignore_errors=True)
                if not path.exists():
                    lock_path.unlink()
            finally:
                os.close(lock)


def _claim(directory: Path) -> tuple[int, Path]:
    """Lock a new name before its directory exists, so that no sweeper sees an unlocked directory."""
    while True:
        path = directory / f"stage-{os.getpid()}-{secrets.token_hex(8)}"
        lock_path = path.with_name(path.name + _LOCK)
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # A sweeper may have locked and removed the file between open and flock: then take another name.
            if lock_path.exists():
                path.mkdir(mode=0o700)
                return lock, path
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def make_directories(directory: Path) -> None:
    """Make a directory with its parents, and flush every new name so that it survives a power cut."""
    new = []
    while not os.path.lexists(directory):
        new.append(directory)
        directory = directory.parent
    for path in reversed(new):
        path.mkdir(exist_ok=True)
        flush_directory(path.parent)
    if not directory.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory))


def flush_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def unavailable(error: OSError, doing: str) -> Unavailable:
    """Say in one sentence what kept the operating system from `doing`, and what to do about it."""
    if error.errno in _FULL:
        return Unavailable(f"{doing} failed, the disk is full: free space and run it again")
    if error.errno == errno.EFBIG:
        return Unavailable(f"{doing} failed, a file would exceed the limit on file sizes: raise ulimit -f")
    if error.errno in _REFUSED:
        return Unavailable(
            f"{doing} failed, {error.filename or 'the place'} may not be written or read: "
            "mount it writable or grant this user access"
        )
    return Unavailable(f"{doing} failed: {error}")


@dataclass
class _Copy:
    """One walk over the source: opens relative to directory descriptors, so a swapped symlink is refused."""

    source: Path
    root: Path
    hasher: Executor
    flusher: Executor
    buffer: bytearray = field(default_factory=lambda: bytearray(1 << 20))

    def run(self) -> list[ArtifactFile]:
        try:
            # O_NONBLOCK: opening a pipe must not wait for somebody to write.
            fd = os.open(self.source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise self._unreadable(error, "") from error
        try:
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                return list(self._directory(fd, ""))
            name = os.path.basename(os.path.abspath(self.source))  # noqa: PTH100,PTH119 - resolve() follows links
            return [self._file(fd, _checked(name))]
        finally:
            os.close(fd)

    def _directory(self, fd: int, prefix: str) -> Iterator[ArtifactFile]:
        before = os.fstat(fd).st_mtime_ns
        names = sorted(os.listdir(fd))
        if not names:
            raise UnsafeArtifact(
                "artifact",
                prefix or str(self.source),
                "it is an empty directory: remove it"
                if prefix
                else "it holds no file: give a file or a directory with files",
            )
        for name in names:
            path = _checked(f"{prefix}/{name}" if prefix else name)
            try:
                child = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=fd)
            except OSError as error:
                raise self._unreadable(error, path) from error
            try:
                if stat.S_ISDIR(os.fstat(child).st_mode):
                    self._make(self.root / path)
                    yield from self._directory(child, path)
                else:
                    yield self._file(child, path)
            finally:
                os.close(child)
        if os.fstat(fd).st_mtime_ns != before:
            raise self._changed(prefix)

    def _file(self, fd: int, path: str) -> ArtifactFile:
        before = os.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            raise UnsafeArtifact("artifact", path, "it is a device, pipe or socket: put a regular file there")
        try:
            target = os.open(self.root / path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise unavailable(error, f"staging {path}") from error
        try:
            size, digest = self._pump(fd, target, path)
        finally:
            os.close(target)
        after = os.fstat(fd)
        if (before.st_size, before.st_mtime_ns) != (
            after.st_size,
            after.st_mtime_ns,
        ) or size != after.st_size:
            raise self._changed(path)
        return ArtifactFile(path, size, digest)

    def _pump(self, fd: int, target: int, path: str) -> tuple[int, Digest]:
        """Copy here, hash the copy in one thread and flush it in another; its size and SHA-256."""
        sha256 = hashlib.sha256()
        pending: deque[Future[None]] = deque()
        flushing: Future[None] | None = None
        size = flushed = 0
        try:
            while count := _transfer(fd, target, size):
                pending.append(self.hasher.submit(self._hash, sha256, target, size, count))
                size += count
                if size - flushed >= _FLUSH and (flushing is None or flushing.done()):
                    _raise_from(flushing)
                    flushing, flushed = self.flusher.submit(_flush, target), size
                while len(pending) > _AHEAD or (pending and pending[0].done()):
                    pending.popleft().result()
            for future in (*pending, flushing):
                _raise_from(future)
            os.fsync(target)
        except OSError as error:
            raise unavailable(error, f"staging {path}") from error
        finally:
            # A failure must not leave a thread working on a descriptor that is closed next.
            wait([*pending, *([flushing] if flushing else [])])
        return size, Digest(sha256.hexdigest())

    def _hash(self, sha256: hashlib._Hash, target: int, start: int, count: int) -> None:
        """Add bytes of the copy, which the page cache still holds."""
        view = memoryview(self.buffer)
        while count:
            read = os.preadv(target, [view[: min(count, len(view))]], start)
            if not read:
                raise OSError(errno.EIO, "the copy is shorter than what was written")
            sha256.update(view[:read])
            start += read
            count -= read

    def _make(self, path: Path) -> None:
        try:
            path.mkdir(mode=0o700)
        except OSError as error:
            raise unavailable(error, f"staging {path.name}") from error

    def _unreadable(self, error: OSError, path: str) -> DomainException:
        named = path or str(self.source)
        if error.errno == errno.ELOOP:
            return UnsafeArtifact("artifact", named, "it is a symbolic link: put the file itself there")
        if error.errno == errno.ENXIO:
            return UnsafeArtifact("artifact", named, "it is a socket or device: put a regular file there")
        if path and error.errno in _GONE:
            return self._changed(path)
        if error.errno in _GONE:
            return InvalidInput("artifact", named, "there is no such file or directory, correct the path")
        if error.errno in _REFUSED:
            return InvalidInput("artifact", named, "it may not be read, grant this user access")
        if error.errno == errno.ENAMETOOLONG:
            return InvalidInput("artifact", named, "the path is too long, shorten it")
        return unavailable(error, f"reading {named}")

    def _changed(self, path: str) -> Unavailable:
        named = self.source / path if path else self.source
        return Unavailable(f"{named} changed while it was copied: register it when nothing writes to it")


def _checked(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise UnsafeArtifact("artifact", path, "rename it, the name is not UTF-8") from error
    return as_artifact_path("artifact", path)


def _transfer(fd: int, target: int, offset: int) -> int:
    """Copy at most CHUNK bytes at the same offset of both files; how many, 0 at the end."""
    try:
        return os.sendfile(target, fd, offset, CHUNK)
    except OSError as error:
        # Not every system and file system copies within the kernel.
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSOCK, errno.EOPNOTSUPP):
            raise
    view = memoryview(os.pread(fd, CHUNK, offset))
    count = len(view)
    while view:
        view = view[os.write(target, view) :]
    return count


def _flush(target: int) -> None:
    getattr(os, "fdatasync", os.fsync)(target)  # macOS has no fdatasync


def _raise_from(future: Future[None] | None) -> None:
    """Raise what a thread met; the system reports a failed flush only once, so none may be passed over."""
    if future:
        future.result()
