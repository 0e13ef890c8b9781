"""Named bytes in a directory, as an `ObjectsPort`: they appear by an atomic rename or link, never by half."""

from __future__ import annotations

import datetime as dt
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

USED_WITHIN = dt.timedelta(hours=1)
"""A file that was used may say that it was so much earlier: most uses then write nothing."""


@dataclass(frozen=True, slots=True)
class LocalObjects:
    """A directory that all processes reach, made by the first write; a file's time says when it was used."""

    root: Path

    @property
    def uri(self) -> str:
        return str(self.root)

    def read(self, name: str) -> bytes | None:
        try:
            return self.path(name).read_bytes()
        except FileNotFoundError:
            return None

    def use(self, name: str) -> int | None:
        place = self.path(name)
        try:
            found = place.stat()
            if time.time() - found.st_mtime > USED_WITHIN.total_seconds():
                os.utime(place)
        except FileNotFoundError:
            return None
        return found.st_size

    def add(self, name: str, data: bytes) -> bool:
        temporary = self._written(data)
        try:
            os.link(temporary, self.path(name))
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def replace(self, name: str, data: bytes) -> None:
        self._written(data).replace(self.path(name))

    def remove(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)

    def path(self, name: str) -> Path:
        """Where the bytes of a name are."""
        return self.root / name

    def _written(self, data: bytes) -> Path:
        """A complete file under a name of its own, on the disk before it gets its name."""
        temporary = self.root / f".{uuid.uuid4().hex}"
        try:
            temporary.write_bytes(data)
        except FileNotFoundError:
            self.root.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(data)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        return temporary
