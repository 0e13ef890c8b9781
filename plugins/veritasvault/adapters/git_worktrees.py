"""Worktrees of a git repository for as long as they are needed; what a killed process left is removed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from domain.registry.errors import CodeNotHad
from domain.registry.staging import private_directory
from veritasvault.adapters.git_command import Git, GitFailed

_DIRTY = "-dirty"


class GitWorktrees:
    """Checks commits out into private directories.

    A worktree is also an entry in the repository. A killed process leaves both; the next one removes them,
    and nobody else's.
    """

    def __init__(self, repository: Path | None, directory: Path) -> None:
        """
        Args:
            repository: with the project's history; None if there is none.
            directory: where worktrees are made.
        """
        self._repository = repository
        self._directory = directory

    @contextmanager
    def checkout(self, version: str) -> Iterator[Path]:
        """A worktree of what `git describe` called `version`; it is gone after the block.

        Raises:
            CodeNotHad: no repository, no such commit in it, or the version was not one of a commit alone.
            InvalidInput: git is not installed.
            Unavailable: the directory cannot be written, or git made no progress.
        """
        git = self._git()
        commit = _commit(git, version)
        with private_directory(self._directory) as place:
            self._forget_dead(git)
            try:
                _add(git, place, commit)
                yield place
            finally:
                with suppress(GitFailed):
                    git.run("worktree", "remove", "--force", "--force", str(place))

    def _git(self) -> Git:
        if self._repository is None:
            raise CodeNotHad(
                "no git repository is here to take it from: name a clone of the project by VERITAS_REPOSITORY"
            )
        directory = self._repository / ".git"
        with suppress(OSError):
            if directory.is_file():
                # In a worktree or a submodule it names the directory, see gitrepository-layout(5).
                named = directory.read_text().removeprefix("gitdir:").strip()
                directory = (self._repository / named).resolve()
        if not directory.is_dir():
            raise CodeNotHad(f"{self._repository} is no git repository: name one by VERITAS_REPOSITORY")
        return Git(directory, local=True)

    def _forget_dead(self, git: Git) -> None:
        """Remove the entries of worktrees of ours whose directories were swept away with their owners."""
        listed = git.run("worktree", "list", "--porcelain").decode(errors="surrogateescape")
        for line in listed.splitlines():
            place = Path(line.removeprefix("worktree "))
            # A living owner's directory is made before its entry.
            if place.parent == self._directory.resolve() and not place.exists():
                with suppress(GitFailed):
                    git.run("worktree", "remove", "--force", "--force", str(place))


def _add(git: Git, place: Path, commit: str) -> None:
    try:
        git.run("worktree", "add", "--detach", "--force", str(place), commit)
    except GitFailed as error:
        raise CodeNotHad(f"commit {commit} cannot be checked out: {error.sentence}") from error


def _commit(git: Git, version: str) -> str:
    if version.endswith(_DIRTY):
        raise CodeNotHad(
            f"the version was trained by {version}, a commit with changes that were never committed"
        )
    if version == "unknown":
        raise CodeNotHad("the version was trained by code of which nobody recorded the commit")
    try:
        found = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{version}^{{commit}}")
    except GitFailed as error:
        raise CodeNotHad(
            f"the version was trained by {version!r}, a commit that the repository does not have: fetch it"
        ) from error
    return found.decode().strip()
