"""The tasks that engines run: the market's sums and the features of consecutive blocks."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa

from domain.registry.canonical import Digest
from domain.risk.block_store import BlockStore
from domain.risk.blocks import FEATURES, LABELS, block_named, block_of, iso, part_name
from domain.risk.dataset import Dataset, Part
from domain.risk.features.compute import feature_rows, labels
from domain.risk.features.definition import FeatureDefinition
from domain.risk.features.market import MarketFactors, MarketSums
from domain.risk.features.panel import Integers
from domain.risk.features.windows import Floats
from domain.risk.history import Places, RowVectors, window_of, with_history

_CACHED_ROWS = 1 << 15
"""Kernels get at least so many rows at once: vectors of this length stay in a processor's second cache."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive parts of the rows, `first` to `stop` - 1, that one task works on."""

    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class BlockParts:
    """What a block's rows give: a part of features and a part of labels."""

    features: Part
    labels: Part

    def to_json(self) -> dict[str, Any]:
        return {"features": self.features.to_json(), "labels": self.labels.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` gives; other fields may stand beside. Raises InvalidInput."""
        return cls(Part.from_json(value["features"]), Part.from_json(value["labels"]))

    def held_by(self, store: BlockStore) -> bool:
        """Whether both files are in the store."""
        return store.holds(self.features) and store.holds(self.labels)


@dataclass(frozen=True, slots=True)
class Built:
    """A block's parts, and the process that computed them; None if they were in the store."""

    parts: BlockParts
    worker: int | None


def market_sums(rows: Dataset, definition: FeatureDefinition, run: Run) -> list[MarketSums]:
    """Task of the first pass: the sums of each block of a run."""
    definition.require_same_code()
    found = with_history(rows, run.first, run.stop, before=1)
    panel = found.panel
    blocks, counted = block_of(found.date), panel.position > 0
    sums = []
    for part in rows.parts[run.first : run.stop]:
        held = counted & (blocks == block_named(part.name))
        sums.append(MarketSums.of_returns(found.date[held], panel.returns[held]))
    return sums


def build(
    rows: Dataset,
    definition: FeatureDefinition,
    store: BlockStore,
    work: tuple[Run, MarketFactors],
) -> list[Built]:
    """Task of the second pass: the parts of each block of a run, computed unless they are in the store.

    Args:
        work: the run, and the market's features on its dates.
    """
    definition.require_same_code()
    run, factors = work
    found = with_history(rows, run.first, run.stop, definition.reach)
    blocks = [block_named(part.name) for part in rows.parts[run.first : run.stop]]
    keys = {block: key_of(found, block, definition, factors, store) for block in blocks}
    built = {block: Built(parts, None) for block, key in keys.items() if (parts := _in_store(store, key))}
    for span in _spans(blocks, built):
        window = found.at(window_of(found, span, definition.reach))
        for block, tables in _computed(window, span, definition, factors):
            parts = _kept(store, block, tables, definition)
            store.record(keys[block], parts.to_json())
            built[block] = Built(parts, os.getpid())
    return [built[block] for block in blocks]


def key_of(
    found: RowVectors,
    block: int,
    definition: FeatureDefinition,
    factors: MarketFactors,
    store: BlockStore,
) -> Digest:
    """The key of a block's parts: the definition, and all rows and market features that they are made of."""
    rows = found.at(window_of(found, [block], definition.reach))
    hashed = rows.hashed()
    dates = np.unique(rows.date[rows.date >= block])
    for feature in definition.market_features:
        hashed.update(np.ascontiguousarray(factors.at(feature.name, dates).astype("<f8")).data)
    decides = {"definition": definition.digest, "block": iso(block), "input": hashed.hexdigest()}
    return store.key("features", decides)


def _in_store(store: BlockStore, key: Digest) -> BlockParts | None:
    """A block's parts, if their files are in the store as well."""
    record = store.find(key)
    if record is None:
        return None
    parts = BlockParts.from_json(record)
    return parts if parts.held_by(store) else None


def _spans(blocks: Sequence[int], known: Container[int]) -> list[list[int]]:
    """The blocks that are not known, in stretches without a known one between."""
    spans: list[list[int]] = [[]]
    for block in blocks:
        if block in known:
            spans.append([])
        else:
            spans[-1].append(block)
    return [span for span in spans if span]


def _computed(
    rows: RowVectors, blocks: Sequence[int], definition: FeatureDefinition, factors: MarketFactors
) -> Iterator[tuple[int, tuple[pa.Table, pa.Table]]]:
    """The tables of features and labels of each block."""
    features: list[_Columns] = []
    known: list[_Columns] = []
    for chunk in rows.chunks(_CACHED_ROWS):
        panel, made = chunk.panel, block_of(chunk.date)
        found = feature_rows(panel, definition, factors)
        features.append(_Columns(chunk, made[found.kept], found.kept, found.columns))
        ends = labels(panel, definition)
        known.append(_Columns(chunk, made[ends.known], ends.of, {definition.target: ends.values}))
    for block in blocks:
        yield block, (_table(features, block), _table(known, block))


@dataclass(frozen=True, slots=True)
class _Columns:
    """Values of a chunk's rows.

    Attributes:
        block: the block that a value became known in.
        of: indices of the rows that a value belongs to.
    """

    chunk: RowVectors
    block: Integers
    of: Places
    values: Mapping[str, Floats]


def _table(pieces: Sequence[_Columns], block: int) -> pa.Table:
    held = [np.flatnonzero(piece.block == block) for piece in pieces]
    asset = [piece.chunk.asset[piece.of[rows]] for piece, rows in zip(pieces, held, strict=True)]
    date = [piece.chunk.date[piece.of[rows]] for piece, rows in zip(pieces, held, strict=True)]
    columns = {
        name: np.concatenate([piece.values[name][rows] for piece, rows in zip(pieces, held, strict=True)])
        for name in pieces[0].values
    }
    names = pa.DictionaryArray.from_arrays(_joined(asset), pa.array(pieces[0].chunk.names, pa.string()))
    return pa.table({"asset": names, "date": pa.array(_joined(date)).cast(pa.date32()), **columns})


def _joined(pieces: Sequence[Integers]) -> Integers:
    joined: Integers = np.concatenate(pieces)
    return joined


def _kept(
    store: BlockStore, block: int, tables: tuple[pa.Table, pa.Table], definition: FeatureDefinition
) -> BlockParts:
    features, ahead = tables
    return BlockParts(
        store.add(part_name(block, FEATURES), features, definition.schema),
        store.add(part_name(block, LABELS), ahead, definition.label_schema),
    )
