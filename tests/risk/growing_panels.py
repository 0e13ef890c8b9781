"""Panels that grow day by day, and what kernels give that see a whole history at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain.risk.block_store import BlockStore
from domain.risk.dataset import Dataset
from domain.risk.features import FeatureDefinition
from domain.risk.features.compute import feature_rows, labels
from domain.risk.features.market import NO_FACTORS, MarketFactors, MarketSums
from domain.risk.history import RowVectors
from domain.risk.preparation import Prepared, prepare
from domain.risk.row_blocks import write_blocks
from veritasvault.adapters.inline_prep import InlinePrepEngine

Bits = dict[tuple[str, int], tuple[int | None, ...]]


@dataclass(frozen=True)
class GrowingPanel:
    """Prices of assets by name, each with its dates (days since 1970-01-01)."""

    prices: Mapping[str, tuple[NDArray[np.int32], NDArray[np.float64]]]

    @classmethod
    def random(cls, seed: int, assets: int = 5, days: int = 420) -> Self:
        """Random walks with holidays, gaps, late listings, delistings and one asset that comes back."""
        random = np.random.default_rng(seed)
        sessions = np.flatnonzero(random.random(days) > 0.1)
        prices = {}
        for number in range(assets):
            first, last = sorted(random.integers(0, days, 2)) if number else (0, days)
            held = sessions[(sessions >= first) & (sessions <= last)]
            held = held[random.random(len(held)) > random.choice([0.0, 0.02, 0.3][: 2 if not number else 3])]
            if number == 1:
                held = sessions[(sessions < days // 4) | (sessions > 3 * days // 4)]
            if len(held):
                close = 50 * np.exp(random.normal(0, 0.02, len(held)).cumsum())
                prices[f"A{number:02d}"] = (held.astype(np.int32), close)
        return cls(prices)

    @property
    def sessions(self) -> list[int]:
        return sorted({int(day) for dates, _ in self.prices.values() for day in dates})

    def until(self, day: int) -> RowVectors:
        """The rows on or before a day."""
        kept = {name: (dates <= day) for name, (dates, _) in self.prices.items()}
        names = tuple(sorted(name for name, rows in kept.items() if rows.any()))
        dates = [self.prices[name][0][kept[name]] for name in names]
        closes = [self.prices[name][1][kept[name]] for name in names]
        assets = np.repeat(np.arange(len(names), dtype=np.int32), [len(held) for held in dates])
        return RowVectors(names, assets, np.concatenate(dates), np.concatenate(closes))

    def with_price(self, name: str, row: int, factor: float) -> GrowingPanel:
        """Another price in one row of an asset."""
        dates, close = self.prices[name]
        changed = close.copy()
        changed[row] *= factor
        return GrowingPanel({**self.prices, name: (dates, changed)})


def prepared(
    panel: GrowingPanel,
    day: int,
    definition: FeatureDefinition,
    home: Path,
    store: BlockStore | None = None,
    tasks: int | None = 1,
) -> Prepared:
    """The feature set of a day, made in `home`; without a store, all of it in one task."""
    rows = write_blocks(panel.until(day), home / f"rows-{day}", store)
    engine = InlinePrepEngine()
    return prepare(rows, definition, engine, home / f"features-{day}", store=store, tasks=tasks)


def of_the_whole(rows: RowVectors, definition: FeatureDefinition) -> Bits:
    """Each row's features and target as bits, from kernels that see the whole history at once."""
    panel = rows.panel
    factors = NO_FACTORS
    if definition.market_features:
        factors = MarketFactors.of(MarketSums.of_panel(panel), definition.market_features)
    found, ahead = feature_rows(panel, definition, factors), labels(panel, definition)
    target = dict(zip(ahead.of.tolist(), ahead.values.view(np.int64).tolist(), strict=True))
    bits = np.column_stack([found.columns[name].view(np.int64) for name in definition.columns])
    return {
        (rows.names[rows.asset[row]], int(rows.date[row])): (*values, target.get(row))
        for row, values in zip(found.kept.tolist(), bits.tolist(), strict=True)
    }


def as_bits(table: pa.Table) -> Bits:
    """The same of a feature table."""
    keys = zip(
        table.column("asset").to_pylist(), table.column("date").cast(pa.int32()).to_pylist(), strict=True
    )
    columns = [table.column(name).combine_chunks() for name in table.column_names[2:]]
    bits = [column.view(pa.int64()).to_pylist() for column in columns]
    return dict(zip(keys, zip(*bits, strict=True), strict=True))


def dataset_bytes(dataset: Dataset) -> list[tuple[str, bytes]]:
    """Name and content of each part."""
    return [(part.name, dataset.path(part).read_bytes()) for part in dataset.parts]
