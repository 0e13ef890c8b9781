"""The tasks that engines run: the market's sums and the features of consecutive blocks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain.registry.canonical import Digest
from domain.risk.block_store import BlockStore
from domain.risk.blocks import FEATURES, LABELS, block_of, iso, part_name
from domain.risk.dataset import Dataset, Part
from domain.risk.features.compute import feature_rows, labels
from domain.risk.features.definition import FeatureDefinition
from domain.risk.features.market import MarketFactors, MarketSums
from domain.risk.features.panel import Integers
from domain.risk.features.windows import Floats
from domain.risk.history import Places, RowHash, RowVectors
from domain.risk.stretch import Stretch, window_of


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
    stretch = Stretch.read(rows, run.first, run.stop, before=1)
    sums: dict[int, list[MarketSums]] = {block: [] for block in stretch.blocks}
    for piece in stretch.pieces():
        panel = piece.panel
        made, counted = block_of(piece.date), panel.position > 0
        for block, found in sums.items():
            held = counted & (made == block)
            found.append(MarketSums.of_returns(piece.date[held], panel.returns[held]))
    return [MarketSums.merged(found) for found in sums.values()]


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
    stretch = Stretch.read(rows, run.first, run.stop, definition.reach)
    keys = keys_of(stretch, definition, factors, store)
    built = {block: Built(parts, None) for block, key in keys.items() if (parts := _in_store(store, key))}
    for span in _spans(stretch.blocks, built):
        for block, tables in _computed(stretch, span, definition, factors):
            parts = _kept(store, block, tables, definition)
            store.record(keys[block], parts.to_json())
            built[block] = Built(parts, os.getpid())
    return [built[block] for block in stretch.blocks]


def keys_of(
    stretch: Stretch, definition: FeatureDefinition, factors: MarketFactors, store: BlockStore
) -> dict[int, Digest]:
    """The key of each block's parts: the definition, and all rows and market features they are made of."""
    rows = {block: RowHash(stretch.names) for block in stretch.blocks}
    for piece in stretch.pieces():
        for block, hashed in rows.items():
            hashed.add(piece.at(window_of(piece, [block], definition.reach)))
    return {
        block: store.key(
            "features",
            {
                "definition": definition.digest,
                "block": iso(block),
                "rows": hashed.hexdigest(),
                "market": _market_hash(definition, factors, dates),
            },
        )
        for (block, hashed), dates in zip(rows.items(), stretch.dates, strict=True)
    }


def _market_hash(definition: FeatureDefinition, factors: MarketFactors, dates: Integers) -> str:
    hashed = hashlib.sha256()
    for feature in definition.market_features:
        hashed.update(np.ascontiguousarray(factors.at(feature.name, dates).astype("<f8")).data)
    return hashed.hexdigest()


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
    stretch: Stretch, blocks: Sequence[int], definition: FeatureDefinition, factors: MarketFactors
) -> Iterator[tuple[int, tuple[pa.Table, pa.Table]]]:
    """The tables of features and labels of each of consecutive blocks."""
    features: dict[int, list[_Columns]] = {block: [] for block in blocks}
    known: dict[int, list[_Columns]] = {block: [] for block in blocks}
    for piece in stretch.pieces():
        window = piece.at(window_of(piece, blocks, definition.reach))
        panel, made = window.panel, block_of(window.date)
        found = feature_rows(panel, definition, factors)
        ends = labels(panel, definition)
        values = {definition.target: ends.values}
        for block in blocks:
            features[block].append(_Columns.of(window, found.kept, found.columns, made[found.kept] == block))
            known[block].append(_Columns.of(window, ends.of, values, made[ends.known] == block))
    for block in blocks:
        yield block, (_table(stretch, features.pop(block)), _table(stretch, known.pop(block)))


@dataclass(frozen=True, slots=True)
class _Columns:
    """Values that became known in a block, and the rows they belong to; vectors of one length."""

    asset: Integers
    date: Integers
    values: Mapping[str, Floats]

    @classmethod
    def of(
        cls, rows: RowVectors, places: Places, values: Mapping[str, Floats], held: NDArray[np.bool_]
    ) -> _Columns:
        """Those `values` that are `held`; `places` are the indices of the rows they belong to."""
        kept = places[held]
        return cls(rows.asset[kept], rows.date[kept], {name: of[held] for name, of in values.items()})


def _table(stretch: Stretch, pieces: Sequence[_Columns]) -> pa.Table:
    asset = _joined([piece.asset for piece in pieces])
    date = _joined([piece.date for piece in pieces])
    columns = {name: np.concatenate([piece.values[name] for piece in pieces]) for name in pieces[0].values}
    names = pa.DictionaryArray.from_arrays(asset, pa.array(stretch.names, pa.string()))
    return pa.table({"asset": names, "date": pa.array(date).cast(pa.date32()), **columns})


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
