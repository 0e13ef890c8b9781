"""One branch of a remote git repository: read as of its newest commit, and written by whole commits."""

from __future__ import annotations

import datetime as dt
import random
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from domain.registry.canonical import digest
from domain.registry.errors import Contended, InvalidInput
from domain.registry.staging import unavailable
from veritasvault.adapters.file_lock import file_lock
from veritasvault.adapters.git_command import Git, GitFailed, bare, make_bare, translated

_DEADLINE = 300.0
"""Seconds to win a push against other writers."""
_MOST_PAUSE = 2.0
_AUTHOR = "VeritasVault <registry@veritasvault.invalid>"
_LONGEST_HEAD = 2048
"""More bytes than the line has that says what an object is; a missing one's holds its whole name."""
_TRACKED = "refs/remotes/origin/followed"
_NEXT = "refs/veritas/next"
# What is left in the clone when git was killed in it; the clone is then made anew.
_STALE = (".lock'", "bad object", "corrupt", "is empty", "unable to read")
# Somebody pushed first, or is pushing.
_LOST = (
    "fetch first",
    "non-fast-forward",
    "cannot lock ref",
    "failed to update ref",
    "reference already exists",
)


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file of a commit: path, git's object id, and size in bytes."""

    path: str
    object_id: str
    size: int


class GitBranch:
    """A branch, through a bare clone of one's own that may be deleted at any time.

    Processes that share the clone take turns; those with other clones are told apart by the remote, which
    accepts a commit only on top of its newest.
    """

    def __init__(self, url: str, branch: str, cache: Path) -> None:
        """`cache` is a private directory; the clone is made in it when it is first needed."""
        self.url = url
        self._branch = branch
        self._clone = cache / digest(f"{url} {branch}".encode())[:16]
        self._lock = self._clone.with_suffix(".lock")

    def newest(self) -> str | None:
        """The newest commit as the remote has it now; None while the branch does not exist."""
        with self._turn():
            return self._fetch()

    def files(self, commit: str, *paths: str) -> Iterator[TreeFile]:
        """All files at or below the paths, in git's order, which is that of their names' bytes."""
        listed = self._ask("listing", "ls-tree", "-r", "-z", "-l", "--full-tree", commit, "--", *paths)
        for line in listed.split(b"\0"):
            if line:
                described, _, name = line.partition(b"\t")
                _, _, object_id, size = described.decode().split()
                # A submodule has no size.
                yield TreeFile(name.decode(errors="replace"), object_id, int(size) if size.isdigit() else 0)

    def read(self, commit: str, path: str) -> bytes | None:
        """A file of a commit; None if there is none."""
        (content,) = self.read_all([f"{commit}:{path}"])
        return content

    def read_all(self, objects: Sequence[str]) -> list[bytes | None]:
        """The contents of objects, by their names in git; None for one that is not a file."""
        if not objects:
            return []
        answer = memoryview(self._ask("reading", "cat-file", "--batch", given="\n".join(objects).encode()))
        contents: list[bytes | None] = []
        for _ in objects:
            end = bytes(answer[:_LONGEST_HEAD]).index(b"\n")
            head = bytes(answer[:end]).split(b" ")
            answer = answer[end + 1 :]
            kind, size = (head[1], int(head[2]) + 1) if len(head) == 3 and head[2].isdigit() else (b"", 0)
            contents.append(bytes(answer[: size - 1]) if kind == b"blob" else None)
            answer = answer[size:]
        return contents

    def times(self, commit: str, path: str) -> dict[str, dt.datetime]:
        """When each file that ever was at or below a path was changed last, by its path."""
        # Without quoting, which would be undone nowhere: what is asked for has plain names.
        asked = ("-c", "core.quotePath=false", "log", "-z", "--format=%x01%ct", "--name-only", "--no-renames")
        found: dict[str, dt.datetime] = {}
        when = dt.datetime.fromtimestamp(0, dt.UTC)
        for part in self._ask("listing", *asked, commit, "--", path).split(b"\0"):
            for line in part.decode(errors="replace").split("\n"):
                if line.startswith("\1"):
                    when = dt.datetime.fromtimestamp(int(line[1:]), dt.UTC)
                elif line:
                    # The log begins with the newest commit.
                    found.setdefault(line, when)
        return found

    def change(self, message: str, wanted: Callable[[str | None], Mapping[str, bytes | None]]) -> None:
        """Change files in one commit on top of the newest, again on a newer one whenever somebody was faster.

        Args:
            wanted: what files become in a commit, by path, None to delete one; nothing ends it. It is asked
                for each try.

        Raises:
            Contended: others were faster until the deadline.
        """
        give_up = time.monotonic() + _DEADLINE
        pause = 0.05
        while True:
            with self._turn():
                newest = self._fetch()
                files = wanted(newest)
                if not files or self._push(self._commit(newest, message, files), message):
                    return
            if time.monotonic() > give_up:
                raise Contended(f"{message} lost against other writers of {self.url}: retry later")
            time.sleep(random.uniform(0, pause))  # noqa: S311 - spreads writers, hides nothing
            pause = min(2 * pause, _MOST_PAUSE)

    def _fetch(self) -> str | None:
        try:
            return self._fetch_once()
        except GitFailed as error:
            if not any(sign in error.text for sign in _STALE):
                raise translated(error, "fetching", self.url) from error
        self._drop()
        try:
            return self._fetch_once()
        except GitFailed as error:
            raise translated(error, "fetching", self.url) from error

    def _fetch_once(self) -> str | None:
        git = self._git()
        wanted = f"refs/heads/{self._branch}"
        try:
            git.run("fetch", "--quiet", "--no-tags", "--force", "origin", f"+{wanted}:{_TRACKED}")
        except GitFailed as error:
            if "couldn't find remote ref" in error.text:
                return None
            raise
        return (self._clone / "FETCH_HEAD").read_text().split()[0]

    def _commit(self, parent: str | None, message: str, files: Mapping[str, bytes | None]) -> str:
        """Write a commit with other files into the clone; its id. The format is git-fast-import(1)'s."""
        told = message.encode()
        lines = [
            f"reset {_NEXT}\ncommit {_NEXT}\nmark :1\n".encode(),
            f"committer {_AUTHOR} {int(time.time())} +0000\ndata {len(told)}\n".encode() + told + b"\n",
            f"from {parent}\n".encode() if parent else b"",
        ]
        for path, content in sorted(files.items()):
            if content is None:
                lines.append(f"D {path}\n".encode())
            else:
                lines.append(f"M 100644 inline {path}\ndata {len(content)}\n".encode() + content + b"\n")
        lines.append(b"get-mark :1\ndone\n")
        return (
            self._ask("writing", "fast-import", "--quiet", "--force", "--done", given=b"".join(lines))
            .decode()
            .strip()
        )

    def _push(self, commit: str, message: str) -> bool:
        """Make a commit the branch's newest; False if another one is meanwhile."""
        try:
            self._git().run("push", "--quiet", "--no-verify", "origin", f"{commit}:refs/heads/{self._branch}")
        except GitFailed as error:
            if any(sign in error.text for sign in _LOST):
                return False
            if "remote rejected" in error.text:
                raise InvalidInput(
                    "repository", self.url, f"it rejects {message}, let this account push ({error.sentence})"
                ) from error
            raise translated(error, message, self.url) from error
        return True

    def _ask(self, doing: str, *arguments: str, given: bytes = b"") -> bytes:
        try:
            return bare(self._clone, self.url).run(*arguments, given=given)
        except GitFailed as error:
            raise translated(error, doing, self.url) from error

    def _git(self) -> Git:
        known = (self._clone / "HEAD").exists()
        return bare(self._clone, self.url) if known else make_bare(self._clone, self.url)

    def _drop(self) -> None:
        """Let go of a clone that a killed git left unusable; whoever still reads it sees it vanish."""
        away = self._clone.with_suffix(f".{uuid.uuid4().hex}")
        self._clone.rename(away)
        shutil.rmtree(away, ignore_errors=True)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        try:
            with file_lock(self._lock, f"the clone of {self.url}"):
                # In our turn, locks of git's own are what a killed process left.
                for ref in (_TRACKED, _NEXT):
                    (self._clone / f"{ref}.lock").unlink(missing_ok=True)
                yield
        except OSError as error:
            raise unavailable(error, f"using the clone of {self.url}") from error
