"""The probe for look-ahead: recompute features as other futures would have them, and compare bit for bit.

Comparing dates cannot show that a feature saw the future; changing the future can. Kernels are window-local,
so it is enough to recompute the rows just before a cut-off, from one window of history.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain.registry.errors import InvalidInput
from domain.risk.blocks import iso
from domain.risk.dataset import Dataset
from domain.risk.feature_set import blocks_of, feature_table
from domain.risk.features.compute import feature_values
from domain.risk.features.definition import FeatureDefinition
from domain.risk.features.market import NO_FACTORS, MarketFactors, MarketSums
from domain.risk.features.panel import Integers, positions
from domain.risk.features.windows import Floats
from domain.risk.history import RowVectors, all_rows

_SESSIONS_COMPARED = 5


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The sessions whose features are compared; days since 1970-01-01, both included."""

    first: int
    cutoff: int

    def holds(self, date: Integers) -> NDArray[np.bool_]:
        return (date >= self.first) & (date <= self.cutoff)


@dataclass(frozen=True, slots=True)
class _Excerpt:
    """The rows around a stretch, and what the feature set holds for it."""

    rows: RowVectors
    stored: pa.Table

    def with_garbage(self, cutoff: int, random: np.random.Generator) -> RowVectors:
        """Prices and measures after the cut-off shuffled and scaled, each by another factor."""
        later = np.flatnonzero(self.rows.date > cutoff)

        def changed(values: Floats) -> Floats:
            values = values.copy()
            values[later] = random.permutation(values[later]) * np.exp(random.normal(size=len(later)))
            return values

        measures = {name: changed(values) for name, values in self.rows.measures.items()}
        return replace(self.rows, close=changed(self.rows.close), measures=measures)

    def without_later(self, cutoff: int) -> RowVectors:
        return self.rows.at(np.flatnonzero(self.rows.date <= cutoff))


@dataclass(frozen=True, slots=True)
class _Cells:
    """Feature values of a stretch's rows that have a whole window; all of shape (m,)."""

    asset: NDArray[np.object_]
    date: Integers
    columns: list[Floats]

    def differing(self, other: _Cells, column: int) -> NDArray[np.intp]:
        """Rows whose bits differ in a column; all NaN count as the same."""
        mine, theirs = self.columns[column], other.columns[column]
        same = (mine.view(np.int64) == theirs.view(np.int64)) | (np.isnan(mine) & np.isnan(theirs))
        return np.flatnonzero(~same)

    def finite(self) -> _Cells:
        """The rows that a feature set keeps."""
        kept = np.all(np.isfinite(self.columns), axis=0)
        return _Cells(self.asset[kept], self.date[kept], [column[kept] for column in self.columns])

    def rows(self) -> list[tuple[str, int]]:
        return list(zip(self.asset.tolist(), self.date.tolist(), strict=True))

    def place(self, row: int) -> str:
        return f"{self.asset[row]} on {iso(int(self.date[row]))}"


def probe(
    rows: Dataset, features: Dataset, definition: FeatureDefinition, probes: int = 3, seed: int = 0
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Look for feature cells that depend on rows after their date, or on rows outside their window.

    For each of `probes` sessions spread over the feature set, the features of the sessions up to it are
    recomputed three times: with the rows that really follow, with garbage in their place, and with none. A
    cell whose bits differ between these saw the future. A cell that differs from `features` was made from
    rows outside its declared window, or from other rows. Returns the cut-off sessions as ISO dates, and a
    sentence for each violation.

    Raises:
        InvalidInput: the feature set is empty, or of another panel's parts.
        IntegrityError: a part of the rows or of the features changed since it was sealed.
    """
    if [part.name for part in rows.parts] != blocks_of(features) or not features.rows:
        raise InvalidInput(
            "features", str(features.root), "give the feature set that was prepared from these rows"
        )
    whole, stored = all_rows(rows), feature_table(features)
    stretches = _stretches(_days(stored), probes, seed)
    violations = [
        sentence
        for stretch in stretches
        for sentence in _violations(
            _excerpt(whole, stored, stretch, definition), stretch, definition, np.random.default_rng(seed)
        )
    ]
    return tuple(iso(stretch.cutoff) for stretch in stretches), tuple(violations)


def _stretches(dates: Integers, probes: int, seed: int) -> list[_Stretch]:
    """A cut-off from each of `probes` equal spans of the feature set's sessions, drawn by the seed."""
    sessions = np.unique(dates)
    before_last = max(1, len(sessions) - 1)  # nothing follows the last session
    random = np.random.default_rng(seed)
    spans = np.array_split(np.arange(before_last), min(probes, before_last))
    ends = [int(random.choice(span)) for span in spans]
    return [_Stretch(int(sessions[max(0, end - _SESSIONS_COMPARED + 1)]), int(sessions[end])) for end in ends]


def _excerpt(
    whole: RowVectors, stored: pa.Table, stretch: _Stretch, definition: FeatureDefinition
) -> _Excerpt:
    """Of each asset: a window of rows before the stretch, the stretch, and a window of rows after it."""
    assets, position = len(whole.names), positions(whole.asset)
    earlier = np.bincount(whole.asset[whole.date < stretch.first], minlength=assets)[whole.asset]
    until = np.bincount(whole.asset[whole.date <= stretch.cutoff], minlength=assets)[whole.asset]
    near = (position >= earlier - definition.window) & (position < until + definition.window)
    compared = pa.array(stretch.holds(_days(stored)))
    return _Excerpt(whole.at(np.flatnonzero(near)), stored.filter(compared))


def _violations(
    excerpt: _Excerpt, stretch: _Stretch, definition: FeatureDefinition, random: np.random.Generator
) -> Iterator[str]:
    real = _recomputed(excerpt.rows, stretch, definition)
    changed = (excerpt.with_garbage(stretch.cutoff, random), excerpt.without_later(stretch.cutoff))
    futures = [_recomputed(rows, stretch, definition) for rows in changed]
    stored, known = _stored(excerpt.stored, definition), real.finite()
    same_rows = stored.rows() == known.rows()
    if not same_rows:
        yield f"the feature set has other rows up to {iso(stretch.cutoff)} than its definition gives"
    for column, name in enumerate(definition.columns):
        seen = [rows for rows in (real.differing(future, column) for future in futures) if len(rows)]
        if seen:
            yield (
                f"feature {name} of {real.place(seen[0][0])} depends on rows after {iso(stretch.cutoff)}, "
                f"so do {max(map(len, seen))} of {len(real.date)} cells"
            )
        elif same_rows and len(rows := stored.differing(known, column)):
            yield (
                f"feature {name} of {stored.place(rows[0])} depends on rows outside its window of "
                f"{definition.features[column].rows}, so do {len(rows)} of {len(stored.date)} cells"
            )


def _recomputed(rows: RowVectors, stretch: _Stretch, definition: FeatureDefinition) -> _Cells:
    """The features of a stretch from an excerpt alone, in the order of rows."""
    panel = rows.panel
    factors = NO_FACTORS
    if definition.market_features:
        factors = MarketFactors.of(MarketSums.of_panel(panel), definition.market_features)
    held = np.flatnonzero(stretch.holds(panel.date) & (panel.position >= definition.window - 1))
    names = np.array(rows.names, dtype=object)[rows.asset[held]]
    values = feature_values(panel, definition, factors)
    return _Cells(names, panel.date[held], [column[held] for column in values])


def _stored(stored: pa.Table, definition: FeatureDefinition) -> _Cells:
    """What the feature set holds for a stretch."""
    assets = stored.column("asset").cast(pa.string()).to_numpy()
    return _Cells(assets, _days(stored), [stored.column(name).to_numpy() for name in definition.columns])


def _days(table: pa.Table) -> Integers:
    days: Integers = table.column("date").cast(pa.int32()).to_numpy()
    return days
