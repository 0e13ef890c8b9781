"""Datasets of canonical Parquet parts: the same rows give the same bytes, so a dataset has one digest."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from domain.registry.canonical import Digest, digest_of, encode
from domain.registry.errors import IntegrityError, NotFound
from domain.registry.records import Fields

INDEX = "dataset.json"
ROWS_SCHEMA = pa.schema([("asset", pa.string()), ("date", pa.date32()), ("close", pa.float64())])
"""Canonical rows of a price panel: one closing price per asset and session, in the asset's currency."""

ASSETS_PER_PART = 8
"""A part holds this many assets in the order of their names: fixed, so that parts depend on data alone."""


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file of a dataset: file name, rows, size in bytes, SHA-256."""

    name: str
    rows: int
    size: int
    sha256: Digest

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "rows": self.rows, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Dataset:
    """A directory of parts and the index that names them."""

    root: Path
    parts: tuple[Part, ...]

    @property
    def digest(self) -> Digest:
        """Digest of the parts' digests, in order; independent of where the dataset lies."""
        return digest_of([part.to_json() for part in self.parts])

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def paths(self) -> list[Path]:
        return [self.root / part.name for part in self.parts]

    @classmethod
    def seal(cls, root: Path, parts: Iterable[Part]) -> Dataset:
        """Write the index, which makes the directory a dataset."""
        dataset = cls(root, tuple(sorted(parts, key=lambda part: part.name)))
        temporary = root / f".{INDEX}.{os.getpid()}"
        temporary.write_bytes(encode([part.to_json() for part in dataset.parts]))
        temporary.replace(root / INDEX)
        return dataset

    @classmethod
    def open(cls, root: Path) -> Dataset:
        """Open a sealed dataset; parts are not read.

        Raises:
            NotFound: no dataset lies there.
        """
        try:
            listed = json.loads((root / INDEX).read_bytes())
        except OSError as error:
            raise NotFound(f"dataset {root} is missing: run the task that prepares it again") from error
        fields = [Fields.of("part", item, tuple(Part.__slots__)) for item in listed]
        return cls(root, tuple(Part(**item.values) for item in fields))

    def tables(self) -> Iterator[pa.Table]:
        """The parts as tables, each checked against its digest.

        Raises:
            IntegrityError: a part's bytes changed; names it.
        """
        for part in self.parts:
            data = (self.root / part.name).read_bytes()
            if hashlib.sha256(data).hexdigest() != part.sha256:
                raise IntegrityError(
                    f"part {part.name} of dataset {self.root} changed: its SHA-256 is another"
                )
            yield pq.read_table(pa.BufferReader(data))


def write_part(table: pa.Table, path: Path, schema: pa.Schema) -> Part:
    """Write rows, already sorted by (asset, date), as canonical Parquet.

    Every setting that could change bytes is fixed here; the footer names the pyarrow version, which the
    environment's digest covers.
    """
    table = table.select(schema.names).cast(schema).combine_chunks().replace_schema_metadata(None)
    pq.write_table(
        table,
        path,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        row_group_size=1 << 17,
        use_dictionary=[name for name in ("asset", "date") if name in schema.names],
        store_schema=False,
    )
    data = path.read_bytes()
    return Part(path.name, table.num_rows, len(data), Digest(hashlib.sha256(data).hexdigest()))
