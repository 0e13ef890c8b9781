"""Witnessed checkpoints as files of a directory, such as a mounted share of somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from domain.registry.errors import IntegrityError, Unavailable
from domain.registry.ports import StoredCheckpoint
from veritasvault.adapters.published_keys import put_if_absent
from veritasvault.adapters.witness_names import checkpoint_name, size_of


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

    def all(self) -> Iterator[StoredCheckpoint]:
        try:
            for path in sorted(self._directory.glob("*.checkpoint")):
                yield StoredCheckpoint(size_of(path.name, str(path)), path.read_bytes())
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"the witness {self} cannot be used now ({error.strerror}): "
            "make the directory readable and writable for this user"
        )

    def __str__(self) -> str:
        return self._directory.as_uri()
