"""What the corpus consists of: an artifact, the careless load that runs it, and the file to be refused."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Load = Callable[[Path], object]
MARKER = "marker.index"
"""What payloads write, beside the artifact; TensorFlow adds the suffix to the names of checkpoints."""


@dataclass(frozen=True)
class Unsafe:
    """An artifact that writes a marker file when somebody loads it carelessly.

    Attributes:
        name: what it is, in a few words.
        make: writes the artifact into an empty directory; the second path is the marker of its payload.
        load: what a careless consumer would do with the directory.
        culprit: the path in the artifact that has to be named by the refusal.
    """

    name: str
    make: Callable[[Path, Path], None]
    load: Load
    culprit: str


def code(marker: Path) -> str:
    """The payload as Python: it makes an empty file and does nothing else."""
    return f"open({str(marker)!r}, 'w').close()"


class Payload:
    """Pickles to a call that makes the marker."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[str, str]]:
        return io.open, (str(self.marker), "w")


def pickled(marker: Path, protocol: int = 4) -> bytes:
    return pickle.dumps(Payload(marker), protocol)


def text_pickle(marker: Path) -> bytes:
    """A pickle of printable characters alone."""
    return b"cbuiltins\nexec\n(V" + code(marker).encode() + b"\ntR."


def unpickle(name: str, after: Callable[[Path], int] = lambda _: 0) -> Load:
    """Open a file, go behind what `after` finds there already, and unpickle the rest."""

    def load(folder: Path) -> object:
        with (folder / name).open("rb") as file:
            file.seek(after(folder / name))
            return pickle.load(file)

    return load


def file(name: str, content: Callable[[Path], bytes], load: Load, *, title: str | None = None) -> Unsafe:
    """A case of one file, whose content is made for a marker."""

    def make(folder: Path, marker: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(marker))

    return Unsafe(title or name, make, load, name)
