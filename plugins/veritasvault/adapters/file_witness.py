"""Witnessed checkpoints as files of a directory, such as a mounted share of somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from domain.registry.errors import IntegrityError, NotFound, Unavailable
from domain.registry.ports import StoredCheckpoint
from veritasvault.adapters.published_keys import put_if_absent
from veritasvault.adapters.witness_names import SUFFIX, checkpoint_name, size_of


class FileWitness:
    """A `WitnessPort`: one file for each size, never replaced."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, checkpoint: StoredCheckpoint) -> None:
        path = self._directory / checkpoint_name(checkpoint.size)
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            put_if_absent(path, checkpoint.note, 0o444)
            same = path.read_bytes() == checkpoint.note
        except OSError as error:
            raise self._unusable(error) from error
        if not same:
            raise IntegrityError(f"{path} is another checkpoint of this size: run veritas verify --all")

    def sizes(self) -> Iterator[int]:
        try:
            # Not glob, which takes a directory that it may not read for an empty one.
            names = sorted(path.name for path in self._directory.iterdir() if path.name.endswith(SUFFIX))
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unusable(error) from error
        yield from (size_of(name, str(self._directory / name)) for name in names)

    def read(self, size: int) -> StoredCheckpoint:
        path = self._directory / checkpoint_name(size)
        try:
            return StoredCheckpoint(size, path.read_bytes())
        except FileNotFoundError as error:
            raise NotFound(f"the witness {self} has no checkpoint of size {size}") from error
        except OSError as error:
            raise self._unusable(error) from error

    def all(self) -> Iterator[StoredCheckpoint]:
        return map(self.read, self.sizes())

    def _unusable(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"the witness {self} cannot be used now ({error.strerror}): "
            "make the directory readable and writable for this user"
        )

    def __str__(self) -> str:
        return self._directory.as_uri()
