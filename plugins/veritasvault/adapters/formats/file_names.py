"""Names that make tools run or obey what is an innocent text otherwise."""

from __future__ import annotations

from pathlib import PurePosixPath

from veritasvault.adapters.formats.base import Refused

_REMEDY = "rename it, or leave it out"
# Package managers, build tools and editors run commands that such files name.
_OBEYED = frozenset(
    {
        "cargo.toml", "cmakelists.txt", "composer.json", "deno.json", "devcontainer.json", "launch.json",
        "package.json", "pyproject.toml", "tasks.json", "uv.toml",
    }
)  # fmt: skip


def refuse_name(path: str) -> None:
    """Refuse hidden files and directories, and names of files that tools take commands from."""
    for part in PurePosixPath(path).parts:
        if part.startswith("."):
            raise Refused(f"{part!r} is hidden, and shells and tools read such files unasked", _REMEDY)
    name = PurePosixPath(path).name
    if name.lower() in _OBEYED:
        raise Refused(f"tools run commands from files that are called {name!r}", _REMEDY)
