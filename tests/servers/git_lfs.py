"""A git repository with Git LFS for tests: bare, in a directory, reached by a file:// URL."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.registry.canonical import digest


@dataclass(frozen=True)
class GitRemote:
    """A bare repository, looked at and changed by git itself."""

    directory: Path

    @property
    def url(self) -> str:
        return self.directory.as_uri()

    def git(self, *arguments: str, given: bytes | None = None, **environment: str) -> str:
        """What a git command in the repository prints."""
        settings = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
        done = subprocess.run(
            ["git", *settings, *arguments],
            cwd=self.directory,
            input=given,
            capture_output=True,
            env={**os.environ, **environment},
            check=True,
        )
        return done.stdout.decode()

    def commits(self) -> int:
        return int(self.git("rev-list", "--count", "main"))

    def lfs_object(self, sha256: str) -> Path:
        """The file that an LFS object is kept in."""
        return self.directory / "lfs" / "objects" / sha256[:2] / sha256[2:4] / sha256

    def overwrite(self, path: str, content: bytes) -> None:
        """Commit a file with other content; under `artifact/`, as a pointer to an LFS object."""
        stored = content
        if "/artifact/" in path:
            place = self.lfs_object(digest(content))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
            oid = f"oid sha256:{digest(content)}\nsize {len(content)}\n"
            stored = f"version https://git-lfs.github.com/spec/v1\n{oid}".encode()
        blob = self.git("hash-object", "-w", "--stdin", given=stored).strip()
        self._commit(f"100644 {blob}\t{path}\n")

    def remove(self, path: str) -> None:
        """Commit the branch without a file."""
        self._commit(f"0 {'0' * 40}\t{path}\n")

    def _commit(self, change: str) -> None:
        """Commit one line of what `git update-index --index-info` takes."""
        index = {"GIT_INDEX_FILE": str(self.directory / "tampering-index")}
        try:
            parent = ["-p", self.git("rev-parse", "--verify", "main").strip()]
            self.git("read-tree", "main", **index)
        except subprocess.CalledProcessError:
            parent = []
        self.git("update-index", "--index-info", given=change.encode(), **index)
        tree = self.git("write-tree", **index).strip()
        commit = self.git("commit-tree", tree, "-m", "change", *parent).strip()
        self.git("update-ref", "refs/heads/main", commit)
        (self.directory / "tampering-index").unlink()


@pytest.fixture
def git_remote(tmp_path: Path) -> GitRemote:
    """An empty bare repository."""
    return make_remote(tmp_path / "remote.git")


def make_remote(directory: Path) -> GitRemote:
    """Make an empty bare repository in a new directory."""
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(directory)], check=True)
    return GitRemote(directory)
