"""Tables judged block by block: a block that once met all that is expected of it is not judged again.

Each expectation speaks of the cells of one row, or of the rows of one date, so a table meets it when each of
its blocks does. What spans blocks (an asset's gaps, the breaks of the calendar, runs of equal closes, targets
that later rows have) is a figure in each row: figures are derived from the whole panel every time, and a
block is known by all its cells, figures included. So nothing is taken over that a later row changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Container, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from domain.registry.canonical import Digest, digest_of
from domain.risk.block_store import BlockStore
from domain.risk.blocks import Days, block_of
from domain.risk.expectations import Expectation, Unique

_UNDATED = np.iinfo(np.int32).min
Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows or features, then the columns derived from them, and what is expected of both."""

    name: str
    frame: pl.DataFrame
    expectations: tuple[Expectation, ...]
    derived: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class JudgedTable:
    """A table, and which of its blocks are known to meet what is expected of it.

    Attributes:
        block: the first day of each row's block, shape (n,).
        keys: of each block that can be known, by its first day.
        met: the blocks that are known.
    """

    table: Table
    block: Days
    keys: Mapping[int, Digest]
    met: frozenset[int]

    @classmethod
    def of(cls, table: Table, judge: Digest, store: BlockStore | None) -> JudgedTable:
        """Look up what is known of a table.

        Args:
            judge: digest of the code and the packages that judge.
            store: where it is kept; None knows nothing.
        """
        if store is None or not _apart(table):
            return cls(table, np.full(table.frame.height, _UNDATED), {}, frozenset())
        block = _blocks(table.frame)
        expected = digest_of([[type(item).__name__, asdict(item)] for item in table.expectations])
        decides = {"table": table.name, "expectations": expected, "judge": judge}
        keys = {
            first: store.key("judged", {**decides, "cells": cells})
            for first, cells in _digests(table.frame, block).items()
        }
        met = frozenset(first for first, key in keys.items() if store.find(key) is not None)
        return cls(table, block, keys, met)

    @property
    def blocks(self) -> int:
        return len(np.unique(self.block))

    @property
    def unjudged(self) -> Table:
        """The rows of the blocks that are not known; an empty table is not known either."""
        return self.without(self.met)

    def without(self, blocks: Collection[int]) -> Table:
        """The table without some of its blocks."""
        kept = ~np.isin(self.block, list(blocks))
        return replace(self.table, frame=self.table.frame.filter(pl.Series(kept, dtype=pl.Boolean)))

    def blocks_with(self, rows: pl.DataFrame) -> frozenset[int]:
        """The blocks of some rows of the table."""
        return frozenset(_blocks(rows).tolist())

    def remember(self, store: BlockStore, unmet: Container[int] = ()) -> None:
        """Keep that all blocks but these meet what is expected."""
        for first, key in self.keys.items():
            if first not in self.met and first not in unmet:
                store.record(key, {"met": len(self.table.expectations)})


def _apart(table: Table) -> bool:
    """Whether a table can be judged in blocks: it has dates, and nothing compares rows of several."""
    dated = table.frame.schema.get("date") == pl.Date
    return dated and all("date" in item.columns for item in table.expectations if isinstance(item, Unique))


def _blocks(frame: pl.DataFrame) -> Days:
    days = frame.get_column("date").to_physical()
    blocks: Days = block_of(days.fill_null(0).to_numpy())
    blocks[days.is_null().to_numpy()] = _UNDATED
    return blocks


def _digests(frame: pl.DataFrame, block: Days) -> dict[int, str]:
    """Of each block with dates the SHA-256 over names and types of the columns, and all cells."""
    order = np.argsort(block, kind="stable")
    firsts, starts = np.unique(block[order], return_index=True)
    edges = np.append(starts, len(order)).tolist()
    columns = [cells[order] for series in frame for cells in _cells(series)]
    schema = repr([(name, str(kind)) for name, kind in frame.schema.items()]).encode()
    found = {}
    for first, start, stop in zip(firsts.tolist(), edges[:-1], edges[1:], strict=True):
        hashed = hashlib.sha256(schema)
        for cells in columns:
            hashed.update(np.ascontiguousarray(cells[start:stop]).data)
        found[first] = hashed.hexdigest()
    found.pop(_UNDATED, None)
    return found


def _cells(series: pl.Series) -> tuple[NDArray[np.generic], Bytes]:
    """Values of one width for each row, shape (n, ...), and which of them are null, shape (n,)."""
    missing = series.is_null().to_numpy().astype(np.uint8)
    if series.dtype != pl.String:
        return series.to_physical().fill_null(0).to_numpy(), missing
    encoded = series.fill_null("").rechunk().to_arrow().dictionary_encode()
    texts, places = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    hashes = [np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8) for text in texts]
    return np.array(hashes).reshape(-1, 32)[places], missing
