"""Datasets of canonical Parquet parts: the same rows give the same bytes, so a dataset has one digest.

A part holds one block of days, so datasets of successive as-of dates have all parts but the last in common.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from domain.registry.canonical import Digest, digest_of
from domain.registry.errors import DomainException, IntegrityError, NotFound, Unavailable
from domain.registry.records import Fields
from domain.risk.local_objects import LocalObjects

if TYPE_CHECKING:
    from domain.risk.objects import ObjectsPort

INDEX = "dataset.json"
ROWS_SCHEMA = pa.schema([("asset", pa.string()), ("date", pa.date32()), ("close", pa.float64())])
"""Canonical rows of a price panel: one closing price per asset and session, in the asset's currency."""


def rows_schema(measures: Iterable[str] = ()) -> pa.Schema:
    """`ROWS_SCHEMA`, followed by a column of float64 for each measure that the features need."""
    return pa.schema([*ROWS_SCHEMA, *((name, pa.float64()) for name in measures)])


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet file of a dataset: file name, rows, size in bytes, SHA-256.

    Attributes:
        listed: the assets whose first row of all is in this part, sorted; empty for features. It tells who
            looks for an asset's earlier rows where to stop.
    """

    name: str
    rows: int
    size: int
    sha256: Digest
    listed: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "rows": self.rows,
            "size": self.size,
            "sha256": self.sha256,
            "listed": list(self.listed),
        }

    @classmethod
    def from_json(cls, value: object) -> Part:
        """Read what `to_json` gives. Raises InvalidInput."""
        values = Fields.of("part", value, tuple(cls.__slots__)).values
        return cls(**{**values, "listed": tuple(values["listed"])})


@dataclass(frozen=True, slots=True)
class Dataset:
    """A directory with an index that names the parts.

    Attributes:
        store: holds the parts' files under their SHA-256, where datasets share them; None if they lie
            beside the index under their own names.
    """

    root: Path
    parts: tuple[Part, ...]
    store: ObjectsPort | None = None

    @property
    def digest(self) -> Digest:
        """Digest of the parts' digests, in order; independent of where the dataset lies."""
        return digest_of([part.to_json() for part in self.parts])

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)

    @property
    def paths(self) -> list[Path]:
        return [self.path(part) for part in self.parts]

    def path(self, part: Part) -> Path:
        """Where a part's file is; for datasets whose parts are files of this machine."""
        objects, name = self._place(part)
        assert isinstance(objects, LocalObjects), f"{objects.uri} is no directory"
        return objects.path(name)

    @classmethod
    def seal(cls, root: Path, parts: Iterable[Part], store: ObjectsPort | None = None) -> Dataset:
        """Write the index, which makes the directory a dataset."""
        dataset = cls(root, tuple(sorted(parts, key=lambda part: part.name)), store)
        temporary = root / f".{INDEX}.{os.getpid()}"
        listed = [part.to_json() for part in dataset.parts]
        temporary.write_text(json.dumps({"store": None if store is None else store.uri, "parts": listed}))
        temporary.replace(root / INDEX)
        return dataset

    @classmethod
    def open(cls, root: Path, shared: ObjectsPort | None = None) -> Dataset:
        """Open a sealed dataset; parts are not read.

        Args:
            shared: where its files are, if it shares them in another place than a directory.

        Raises:
            NotFound: no dataset lies there, or its files are in another place than `shared`.
        """
        try:
            index = json.loads((root / INDEX).read_bytes())
        except OSError as error:
            raise NotFound(f"dataset {root} is missing: run the task that prepares it again") from error
        parts = tuple(Part.from_json(item) for item in index["parts"])
        return cls(root, parts, _store(root, index["store"], shared))

    def read(self, part: Part) -> pa.Table:
        """A part as a table, asset dictionary-encoded.

        Raises:
            IntegrityError: its bytes changed; names it.
            Unavailable: they changed in a store; its file is removed, so that preparing makes it again.
            NotFound: its file is gone.
        """
        objects, name = self._place(part)
        data = objects.read(name)
        if data is None:
            raise NotFound(
                f"part {part.name} of dataset {self.root} is missing: run the task that prepares it again"
            )
        if hashlib.sha256(data).hexdigest() != part.sha256:
            raise self._changed(part)
        # Not `read_table`, whose discovery of datasets costs three times the reading of a part. One thread:
        # the engine's processes already share the cores.
        return pq.ParquetFile(pa.BufferReader(data), read_dictionary=["asset"]).read(use_threads=False)

    def tables(self) -> Iterator[pa.Table]:
        """The parts as tables, each as `read` gives it, with its errors."""
        for part in self.parts:
            yield self.read(part)

    def _place(self, part: Part) -> tuple[ObjectsPort, str]:
        """Where a part's file is, and its name there."""
        return (LocalObjects(self.root), part.name) if self.store is None else (self.store, part.sha256)

    def _changed(self, part: Part) -> DomainException:
        said = f"part {part.name} of dataset {self.root} changed: its SHA-256 is another"
        if self.store is None:
            return IntegrityError(said)
        try:
            # The store compares sizes alone, so all runs that share the file would meet it for ever.
            self.store.remove(part.sha256)
        except (OSError, DomainException) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            place = f"{self.store.uri}/{part.sha256}"
            return IntegrityError(f"{said}; remove {place}, which failed here ({reason}), and prepare again")
        return Unavailable(f"{said}; its file was removed, run the task that prepares it again")


def _store(root: Path, uri: str | None, shared: ObjectsPort | None) -> ObjectsPort | None:
    """What holds the files of a dataset whose index names this place."""
    if uri is None:
        return None
    if shared is not None and shared.uri == uri:
        return shared
    if "://" in uri:
        raise NotFound(
            f"the blocks of dataset {root} are in {uri}: set VERITAS_BLOCKS to it, or prepare again"
        )
    return LocalObjects(Path(uri))


def in_order(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of successive blocks as one, sorted by (asset, date); asset is a dictionary of sorted names."""
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    codes = table.column("asset").combine_chunks().cast(pa.dictionary(pa.int32(), pa.string()))
    order = pc.array_sort_indices(codes.dictionary)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order.to_numpy()] = np.arange(len(order), dtype=np.int32)
    ranked = rank[codes.indices.to_numpy()]
    names = pa.DictionaryArray.from_arrays(pa.array(ranked), codes.dictionary.take(order))
    table = table.set_column(table.column_names.index("asset"), "asset", names)
    # Stable, so that the rows of an asset stay in the order of their blocks, which is that of time.
    return table.take(pa.array(np.argsort(ranked, kind="stable"))).combine_chunks()


def write_part(table: pa.Table, path: Path, schema: pa.Schema) -> Part:
    """Write rows, already sorted by (asset, date), as a part of canonical Parquet."""
    data = canonical_parquet(table, schema)
    path.write_bytes(data)
    return part_of(path.name, table, data)


def part_of(name: str, table: pa.Table, data: bytes) -> Part:
    """The part that a table's canonical bytes are."""
    return Part(name, table.num_rows, len(data), Digest(hashlib.sha256(data).hexdigest()))


def canonical_parquet(table: pa.Table, schema: pa.Schema) -> bytes:
    """The bytes of rows that are already sorted by (asset, date).

    Every setting that could change bytes is fixed here; the footer names the pyarrow version, which the
    environment's digest covers.
    """
    table = table.select(schema.names).cast(schema).combine_chunks().replace_schema_metadata(None)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        row_group_size=1 << 17,
        use_dictionary=[name for name in ("asset", "date") if name in schema.names],
        store_schema=False,
    )
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]
