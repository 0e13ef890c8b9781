"""The store that runs share blocks through: files by their content, and records that find them by key.

A key is the digest of all that decides a result, so whoever finds a record need not compute. Files and
records appear by an atomic rename or link: nobody sees half of one. A record never changes; finding another
one under its key means that something decides the result that the key does not name, which is an error.

A file's name is its digest, and a record's first line is that of the JSON after it. What a disk changed is
therefore not believed but made again: a record by whoever looks for it, a file after a reader has removed it.

What is found is marked as used, by its modification time and within an hour, so that what nobody uses can go.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from domain.registry.canonical import Digest, digest
from domain.registry.errors import IntegrityError
from domain.risk.dataset import Part, canonical_parquet, part_of

USED_WITHIN = dt.timedelta(hours=1)
"""A file that was used may say that it was so much earlier: most uses then write nothing."""


@dataclass(frozen=True, slots=True)
class BlockStore:
    """A directory that all processes reach; small and picklable, so tasks carry it.

    Attributes:
        environment: digest of the interpreter and packages whose versions can change bytes; part of every
            key, so that nothing is taken from another environment.
    """

    root: Path
    environment: Digest

    @property
    def files(self) -> Path:
        """The directory of the files, each named by its SHA-256."""
        return self.root / "files"

    def key(self, kind: str, decides: Mapping[str, Any]) -> Digest:
        """The key of a result of some kind, from all that decides it beside the environment."""
        named = {"kind": kind, "environment": self.environment, **decides}
        return digest(json.dumps(named, sort_keys=True).encode())

    def find(self, key: Digest) -> Mapping[str, Any] | None:
        """The record under a key; None if there is none, or none that is as it was written."""
        try:
            sealed, _, body = self._place(key).read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        if sealed != digest(body).encode():
            return None
        _use(self._place(key))
        found: Mapping[str, Any] = json.loads(body)
        return found

    def record(self, key: Digest, value: Mapping[str, Any]) -> None:
        """Keep a record under a key, for ever.

        Raises:
            IntegrityError: the key has another record already.
        """
        place = self._place(key)
        if self.find(key) == value:
            return
        body = json.dumps(value).encode()
        temporary = _written(place, digest(body).encode() + b"\n" + body)
        try:
            os.link(temporary, place)
        except FileExistsError:
            found = self.find(key)
            if found is None:
                temporary.replace(place)  # what a crash of the machine or a bad disk left
            elif found != value:
                raise IntegrityError(
                    f"record {place} is not what the same inputs give now: a kernel reads rows outside of "
                    "its window, or a package changed under its version; mend it and empty the store"
                ) from None
        finally:
            temporary.unlink(missing_ok=True)

    def add(self, name: str, table: pa.Table, schema: pa.Schema) -> Part:
        """Keep a table, sorted by (asset, date), as a part of that name; the same rows are kept once."""
        data = canonical_parquet(table, schema)
        part = part_of(name, table, data)
        if not self.holds(part):
            place = self.files / part.sha256
            _written(place, data).replace(place)
        return part

    def holds(self, part: Part) -> bool:
        """Whether a part's file is here, of its size; `Dataset.read` checks what it holds."""
        place = self.files / part.sha256
        return _use(place) == part.size

    @property
    def records(self) -> Path:
        """The directory of the records, each named by its key."""
        return self.root / "records"

    def _place(self, key: Digest) -> Path:
        return self.records / key


def _written(place: Path, data: bytes) -> Path:
    """A complete file beside a place, under a name of its own, on the disk before it gets its name."""
    temporary = place.with_name(f".{uuid.uuid4().hex}")
    try:
        temporary.write_bytes(data)
    except FileNotFoundError:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(data)
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    return temporary


def _use(place: Path) -> int | None:
    """Mark a file as used, unless it was within `USED_WITHIN`; its size, None if it is not there."""
    try:
        found = place.stat()
        if time.time() - found.st_mtime > USED_WITHIN.total_seconds():
            os.utime(place)
    except FileNotFoundError:
        return None
    return found.st_size
