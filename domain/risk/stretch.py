"""Rows of consecutive parts with the earlier rows that windows reach back to, merged a few assets at a time.

A part holds all assets of a block of days, a kernel wants all days of an asset. Merging whole parts takes
several times their memory; here parts stay as they were read, and what is merged fits a processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.risk.blocks import block_named, block_of
from domain.risk.dataset import Dataset
from domain.risk.features.panel import Integers
from domain.risk.history import Places, RowVectors

_CACHED_ROWS = 1 << 15
"""Kernels get at least so many rows at once: vectors of this length stay in a processor's second cache."""

Counts = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of the blocks of some days, and of each asset in them a number of earlier rows.

    Attributes:
        blocks: first days of the blocks, ascending; the earlier rows are before the first of them.
        parts: in the order of time, each sorted by (asset, date), all with the same `names`.
    """

    blocks: tuple[int, ...]
    parts: tuple[RowVectors, ...]

    @classmethod
    def read(cls, rows: Dataset, first: int, stop: int, before: int) -> Stretch:
        """Read parts `first` to `stop` - 1, and of each asset in them the `before` rows that come earlier.

        Parts are read backwards until every asset has its rows or is known to have no earlier ones, so a
        recent block of a long history costs what its windows cost, and an asset that did not trade for years
        is followed all the same.

        Raises:
            IntegrityError: a part changed since it was sealed; names it.
        """
        own = rows.parts[first:stop]
        found = [RowVectors.of(rows.read(part)) for part in own]
        present = set[str]().union(*(vectors.names for vectors in found))
        wanted = dict.fromkeys(present.difference(*(part.listed for part in own)), before)
        place = first
        while wanted and place > 0 and before:
            place -= 1
            part = rows.parts[place]
            vectors = RowVectors.of(rows.read(part))
            most = np.array([wanted.get(name, 0) for name in vectors.names], dtype=np.intp)
            vectors, counts = _last(vectors, most)
            found.insert(0, vectors)
            for name, count in zip(vectors.names, counts.tolist(), strict=True):
                if count:
                    wanted[name] -= count
            wanted = {name: left for name, left in wanted.items() if left and name not in part.listed}
        return cls(tuple(block_named(part.name) for part in own), _of_one_code(found))

    @property
    def dates(self) -> Iterator[Integers]:
        """The dates of each block, ascending."""
        return (np.unique(part.date) for part in self.parts[-len(self.blocks) :])

    @property
    def names(self) -> tuple[str, ...]:
        """The assets, sorted; those of earlier rows that nothing was wanted of are among them."""
        return self.parts[0].names

    def pieces(self) -> Iterator[RowVectors]:
        """All rows, sorted by (asset, date), in pieces of whole assets that fit a processor's cache."""
        counts = np.sum([_counts(part) for part in self.parts], axis=0)
        start = held = 0
        for stop, count in enumerate(counts.tolist(), 1):
            held += count
            if held >= _CACHED_ROWS or (held and stop == len(counts)):
                yield self._merged(start, stop)
                start, held = stop, 0

    def _merged(self, start: int, stop: int) -> RowVectors:
        """The rows of assets `start` to `stop` - 1."""
        edges = np.array([start, stop], dtype=np.int32)  # of another type, all codes would be converted
        cut = [part.at(slice(*np.searchsorted(part.asset, edges))) for part in self.parts]
        asset = np.concatenate([part.asset for part in cut])
        # Stable, so that the rows of an asset stay in the order of their parts, which is that of time.
        order = np.argsort(asset, kind="stable")
        return RowVectors(
            self.names,
            asset[order],
            np.concatenate([part.date for part in cut])[order],
            np.concatenate([part.close for part in cut])[order],
            {name: np.concatenate([part.measures[name] for part in cut])[order] for name in cut[0].measures},
        )


def window_of(found: RowVectors, blocks: Sequence[int], before: int) -> Places:
    """Indices of the rows in consecutive blocks, and of the `before` earlier rows of the same assets.

    Args:
        found: sorted by (asset, date).
        blocks: first days, ascending.
    """
    inside = np.flatnonzero((found.date >= blocks[0]) & (block_of(found.date) <= blocks[-1]))
    asset = found.asset[inside]
    new = np.diff(asset, prepend=-1) != 0
    first, last = inside[new], inside[np.roll(new, -1)]
    starts = np.maximum(first - before, np.searchsorted(found.asset, asset[new]))
    lengths = last + 1 - starts
    rows: Places = np.arange(lengths.sum()) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    return rows


def _counts(rows: RowVectors) -> Counts:
    """Rows of each asset, shape (len(names),)."""
    return np.bincount(rows.asset, minlength=len(rows.names))


def _last(rows: RowVectors, most: Counts) -> tuple[RowVectors, Counts]:
    """The last rows of each asset, at most so many, and how many there are."""
    counts = _counts(rows)
    kept = np.minimum(counts, most)
    ends = np.repeat(np.cumsum(counts) - kept, counts)
    return rows.at(np.flatnonzero(np.arange(len(rows.asset)) >= ends)), kept


def _of_one_code(parts: Sequence[RowVectors]) -> tuple[RowVectors, ...]:
    """The same rows; `asset` indexes the sorted names of all of them."""
    names = sorted(set().union(*(part.names for part in parts)))
    rank = {name: place for place, name in enumerate(names)}
    return tuple(
        RowVectors(tuple(names), _ranks(part, rank), part.date, part.close, part.measures) for part in parts
    )


def _ranks(part: RowVectors, rank: Mapping[str, int]) -> Integers:
    ranks: Integers = np.array([rank[name] for name in part.names], dtype=np.int32)[part.asset]
    return ranks
