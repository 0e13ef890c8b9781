"""Canonical rows as vectors, and reading blocks of them with the earlier rows that windows reach back to."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain.risk.blocks import block_named, block_of
from domain.risk.dataset import ROWS_SCHEMA, Dataset, in_order
from domain.risk.features.panel import Integers, Panel
from domain.risk.features.windows import Floats

Places = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class RowVectors:
    """Rows sorted by (asset, date) as vectors of shape (n,).

    Attributes:
        names: the assets, sorted; `asset` indexes them.
        date: days since 1970-01-01.
        measures: what the features need beside prices, by column name; each of shape (n,).
    """

    names: tuple[str, ...]
    asset: Integers
    date: Integers
    close: Floats
    measures: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, table: pa.Table) -> RowVectors:
        """From a table of `rows_schema` that is in order."""
        assets = table.column("asset").combine_chunks()
        return cls(
            tuple(assets.dictionary.to_pylist()),
            assets.indices.to_numpy(),
            table.column("date").cast(pa.int32()).to_numpy(),
            table.column("close").to_numpy(),
            {
                name: table.column(name).to_numpy()
                for name in table.column_names
                if name not in ROWS_SCHEMA.names
            },
        )

    @property
    def panel(self) -> Panel:
        """What kernels see."""
        return Panel.of_prices(self.asset, self.date, self.close, self.measures)

    def at(self, rows: Places | slice) -> RowVectors:
        """Some of the rows, in order."""
        measures = {name: values[rows] for name, values in self.measures.items()}
        return RowVectors(self.names, self.asset[rows], self.date[rows], self.close[rows], measures)

    def hashed(self) -> hashlib._Hash:
        """SHA-256 over the rows and the names of their assets, still open for more."""
        counts = np.bincount(self.asset, minlength=len(self.names))
        present = np.flatnonzero(counts)
        names = "\n".join(self.names[asset] for asset in present.tolist())
        hashed = hashlib.sha256(f"{names}\0".encode())  # no name has a line break or a control character
        for values in (counts[present].astype("<i8"), self.date.astype("<i4"), self.close.astype("<f8")):
            hashed.update(np.ascontiguousarray(values).data)
        for name, values in self.measures.items():
            hashed.update(f"{name}\0".encode())
            hashed.update(np.ascontiguousarray(values.astype("<f8")).data)
        return hashed

    def table(self) -> pa.Table:
        """As a table of `rows_schema`, asset dictionary-encoded."""
        names = pa.DictionaryArray.from_arrays(pa.array(self.asset), pa.array(self.names, pa.string()))
        date = pa.array(self.date).cast(pa.date32())
        return pa.table({"asset": names, "date": date, "close": self.close, **self.measures})

    def chunks(self, length: int) -> Iterator[RowVectors]:
        """The rows in pieces of whole assets, of at least so many rows; what fits a cache is faster."""
        edges = np.append(np.flatnonzero(np.diff(self.asset)) + 1, len(self.asset))
        start = 0
        for edge in edges.tolist():
            if edge - start >= length or edge == len(self.asset):
                yield self.at(slice(start, edge))
                start = edge


def all_rows(rows: Dataset) -> RowVectors:
    """All rows of a panel.

    Raises:
        IntegrityError: a part changed since it was sealed; names it.
    """
    return RowVectors.of(in_order(list(rows.tables())))


def with_history(rows: Dataset, first: int, stop: int, before: int) -> RowVectors:
    """The rows of parts `first` to `stop` - 1, and of each asset in them the `before` rows that come earlier.

    Parts are read backwards until every asset has its rows or is known to have no earlier ones, so a recent
    block of a long history costs what its windows cost, and an asset that did not trade for years is followed
    all the same.

    Raises:
        IntegrityError: a part changed since it was sealed; names it.
    """
    tables = [rows.read(part) for part in rows.parts[first:stop]]
    listed = {name for part in rows.parts[first:stop] for name in part.listed}
    present = {name for table in tables for name in _counts(table)}
    wanted = dict.fromkeys(present - listed, before)
    place = first
    while wanted and place > 0 and before:
        place -= 1
        part = rows.parts[place]
        table = rows.read(part)
        tables.insert(0, table)
        for name, count in _counts(table).items():
            if name in wanted:
                wanted[name] -= count
        wanted = {name: left for name, left in wanted.items() if left > 0 and name not in part.listed}
    found = RowVectors.of(in_order(tables))
    blocks = [block_named(part.name) for part in rows.parts[first:stop]]
    return found.at(window_of(found, blocks, before))


def window_of(found: RowVectors, blocks: Sequence[int], before: int) -> Places:
    """Indices of the rows in consecutive blocks, and of the `before` earlier rows of the same assets.

    Args:
        blocks: first days, ascending; at least one row lies in them.
    """
    inside = np.flatnonzero((found.date >= blocks[0]) & (block_of(found.date) <= blocks[-1]))
    asset = found.asset[inside]
    new = np.flatnonzero(np.diff(asset, prepend=-1))
    first, last = inside[new], inside[np.append(new[1:], len(inside)) - 1]
    starts = np.maximum(first - before, np.searchsorted(found.asset, asset[new]))
    lengths = last + 1 - starts
    rows: Places = np.arange(lengths.sum()) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return rows


def _counts(table: pa.Table) -> Counter[str]:
    """The rows of each asset in a part."""
    counts: Counter[str] = Counter()
    for chunk in table.column("asset").chunks:
        held = np.bincount(chunk.indices.to_numpy(), minlength=len(chunk.dictionary))
        counts.update(dict(zip(chunk.dictionary.to_pylist(), held.tolist(), strict=True)))
    return counts
