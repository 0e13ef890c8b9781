"""A git repository with the project's own code, whose history a test writes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from veritasvault.settings import project_root

_WHAT_RUNS = ("domain", "plugins", "deploy/policy", "pyproject.toml")
_WHO = {
    "GIT_AUTHOR_NAME": "tester",
    "GIT_AUTHOR_EMAIL": "tester@example.com",
    "GIT_COMMITTER_NAME": "tester",
    "GIT_COMMITTER_EMAIL": "tester@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


@dataclass(frozen=True)
class Repository:
    """A checkout that commands can run from."""

    root: Path

    @classmethod
    def empty(cls, root: Path) -> Repository:
        root.mkdir(parents=True)
        repository = cls(root)
        repository.git("init", "--quiet", "--initial-branch", "main")
        return repository

    def take_the_code(self) -> None:
        """Copy the code that runs, as it is."""
        source = project_root()
        assert source is not None
        for name in _WHAT_RUNS:
            here, there = source / name, self.root / name
            there.parent.mkdir(parents=True, exist_ok=True)
            if here.is_file():
                shutil.copy(here, there)
            else:
                ignored = shutil.ignore_patterns("__pycache__", "node_modules")
                shutil.copytree(here, there, symlinks=True, ignore=ignored, dirs_exist_ok=True)

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        """Change a text in a file, everywhere."""
        text = (self.root / path).read_text()
        assert old in text
        (self.root / path).write_text(text.replace(old, new))

    def commit(self, message: str) -> str:
        """Commit everything; the commit's name."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD").strip()

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.root), *arguments],
            env={**os.environ, **_WHO},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def worktrees(self) -> list[Path]:
        """The places of all worktrees, the main one first."""
        listed = self.git("worktree", "list", "--porcelain").splitlines()
        return [Path(line.removeprefix("worktree ")) for line in listed if line.startswith("worktree ")]

    def veritas(self, home: Path, *arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
        """The command by the code of this checkout, on a home."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
        environment = {
            **kept,
            "PYTHONPATH": os.pathsep.join([str(self.root), str(self.root / "plugins")]),
            "PYTHONDONTWRITEBYTECODE": "1",
            "VERITAS_HOME": str(home),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "veritasvault.cli", *arguments],
            cwd=home,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
