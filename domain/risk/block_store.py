"""The store that runs share blocks through: files by their content, and records that find them by key.

A key is the digest of all that decides a result, so whoever finds a record need not compute. Nobody sees half
of a file or of a record. A record never changes; finding another one under its key means that something
decides the result that the key does not name, which is an error.

A file's name is its digest, and a record's first line is that of the JSON after it. What a disk changed is
therefore not believed but made again: a record by whoever looks for it, a file after a reader has removed it.

What is found is marked as used where objects have such a mark, so that what nobody uses can go.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from domain.registry.canonical import Digest, digest
from domain.registry.errors import IntegrityError
from domain.risk.dataset import Part, canonical_parquet, part_of
from domain.risk.local_objects import LocalObjects

if TYPE_CHECKING:
    from domain.risk.objects import ObjectsPort

FILES, RECORDS = "files", "records"


@dataclass(frozen=True, slots=True)
class BlockStore:
    """Two places that all processes reach; small and picklable, so tasks carry it.

    Attributes:
        files: each named by its SHA-256.
        records: each named by its key.
        environment: digest of the interpreter and packages whose versions can change bytes; part of every
            key, so that nothing is taken from another environment.
    """

    files: ObjectsPort
    records: ObjectsPort
    environment: Digest

    @classmethod
    def below(cls, root: Path, environment: Digest) -> Self:
        """The store in a directory."""
        return cls(LocalObjects(root / FILES), LocalObjects(root / RECORDS), environment)

    def key(self, kind: str, decides: Mapping[str, Any]) -> Digest:
        """The key of a result of some kind, from all that decides it beside the environment."""
        named = {"kind": kind, "environment": self.environment, **decides}
        return digest(json.dumps(named, sort_keys=True).encode())

    def find(self, key: Digest) -> Mapping[str, Any] | None:
        """The record under a key; None if there is none, or none that is as it was written."""
        found = self.records.read(key)
        if found is None:
            return None
        sealed, _, body = found.partition(b"\n")
        if sealed != digest(body).encode():
            return None
        self.records.use(key)
        value: Mapping[str, Any] = json.loads(body)
        return value

    def record(self, key: Digest, value: Mapping[str, Any]) -> None:
        """Keep a record under a key, for ever.

        Raises:
            IntegrityError: the key has another record already.
        """
        if self.find(key) == value:
            return
        body = json.dumps(value).encode()
        sealed = digest(body).encode() + b"\n" + body
        if self.records.add(key, sealed):
            return
        found = self.find(key)
        if found is None:
            self.records.replace(key, sealed)  # what a crash of the machine or a bad disk left
        elif found != value:
            raise IntegrityError(
                f"record {key} in {self.records.uri} is not what the same inputs give now: a kernel reads "
                "rows outside of its window, or a package changed under its version; mend it and empty the "
                "store"
            )

    def add(self, name: str, table: pa.Table, schema: pa.Schema) -> Part:
        """Keep a table, sorted by (asset, date), as a part of that name; the same rows are kept once."""
        data = canonical_parquet(table, schema)
        part = part_of(name, table, data)
        if not self.holds(part):
            self.files.replace(part.sha256, data)
        return part

    def holds(self, part: Part) -> bool:
        """Whether a part's file is here, of its size; `Dataset.read` checks what it holds."""
        return self.files.use(part.sha256) == part.size
