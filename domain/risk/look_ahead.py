"""The probe for look-ahead: recompute features as other futures would have them, and compare bit for bit.

Comparing dates cannot show that a feature saw the future; changing the future can. Kernels are window-local,
so it is enough to recompute the rows just before a cut-off, from one window of history.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from domain.registry.errors import InvalidInput
from domain.risk.dataset import Dataset
from domain.risk.features.compute import feature_values
from domain.risk.features.definition import FeatureDefinition
from domain.risk.features.market import NO_FACTORS, MarketFactors, MarketSums
from domain.risk.features.panel import Integers, Panel
from domain.risk.features.windows import Floats
from domain.risk.preparation import PanelPart, read_part

_SESSIONS_COMPARED = 5
_EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """The sessions whose features are compared; days since 1970-01-01, both included."""

    first: int
    cutoff: int

    def holds(self, date: Integers) -> NDArray[np.bool_]:
        return (date >= self.first) & (date <= self.cutoff)


@dataclass(frozen=True, slots=True)
class _Excerpt:
    """A part's rows around a stretch, and what the feature set holds for it.

    Attributes:
        asset: codes, as in `names`; with date and close of shape (n,).
        stored: the feature set's rows of the stretch.
    """

    names: pa.Array
    asset: Integers
    date: Integers
    close: Floats
    stored: pa.Table

    def with_garbage(self, cutoff: int, random: np.random.Generator) -> _Excerpt:
        """Prices after the cut-off shuffled and scaled, each by another factor."""
        later = np.flatnonzero(self.date > cutoff)
        close = self.close.copy()
        close[later] = random.permutation(close[later]) * np.exp(random.normal(size=len(later)))
        return replace(self, close=close)

    def without_later(self, cutoff: int) -> _Excerpt:
        known = self.date <= cutoff
        return replace(self, asset=self.asset[known], date=self.date[known], close=self.close[known])


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
        return f"{self.asset[row]} on {_iso(int(self.date[row]))}"


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
    if [part.name for part in rows.parts] != [part.name for part in features.parts] or not features.rows:
        raise InvalidInput(
            "features", str(features.root), "give the feature set that was prepared from these rows"
        )
    stretches = _stretches(features, probes, seed)
    excerpts: dict[_Stretch, list[_Excerpt]] = {stretch: [] for stretch in stretches}
    for part, stored in zip(rows.parts, features.tables(), strict=True):
        whole = read_part(rows.root, part)
        for stretch in stretches:
            excerpts[stretch].append(_excerpt(whole, stored, stretch, definition))
    violations = [
        sentence
        for stretch in stretches
        for sentence in _violations(excerpts[stretch], stretch, definition, np.random.default_rng(seed))
    ]
    return tuple(_iso(stretch.cutoff) for stretch in stretches), tuple(violations)


def _stretches(features: Dataset, probes: int, seed: int) -> list[_Stretch]:
    """A cut-off from each of `probes` equal spans of the feature set's sessions, drawn by the seed."""
    dates = [np.unique(_days(pq.read_table(path, columns=["date"]))) for path in features.paths]
    sessions = np.unique(np.concatenate(dates))
    before_last = max(1, len(sessions) - 1)  # nothing follows the last session
    random = np.random.default_rng(seed)
    spans = np.array_split(np.arange(before_last), min(probes, before_last))
    ends = [int(random.choice(span)) for span in spans]
    return [_Stretch(int(sessions[max(0, end - _SESSIONS_COMPARED + 1)]), int(sessions[end])) for end in ends]


def _excerpt(part: PanelPart, stored: pa.Table, stretch: _Stretch, definition: FeatureDefinition) -> _Excerpt:
    """Of each asset: a window of rows before the stretch, the stretch, and a window of rows after it."""
    assets, panel = part.table.column("asset").combine_chunks(), part.panel
    codes = assets.indices.to_numpy()
    earlier = np.bincount(codes[panel.date < stretch.first], minlength=len(assets.dictionary))[codes]
    until = np.bincount(codes[panel.date <= stretch.cutoff], minlength=len(assets.dictionary))[codes]
    near = (panel.position >= earlier - definition.window) & (panel.position < until + definition.window)
    compared = pa.array(stretch.holds(_days(stored)))
    return _Excerpt(
        assets.dictionary, codes[near], panel.date[near], panel.close[near], stored.filter(compared)
    )


def _violations(
    excerpts: list[_Excerpt], stretch: _Stretch, definition: FeatureDefinition, random: np.random.Generator
) -> Iterator[str]:
    real = _recomputed(excerpts, stretch, definition)
    garbage = [excerpt.with_garbage(stretch.cutoff, random) for excerpt in excerpts]
    nothing = [excerpt.without_later(stretch.cutoff) for excerpt in excerpts]
    futures = [_recomputed(future, stretch, definition) for future in (garbage, nothing)]
    stored, known = _stored(excerpts, definition), real.finite()
    same_rows = stored.rows() == known.rows()
    if not same_rows:
        yield f"the feature set has other rows up to {_iso(stretch.cutoff)} than its definition gives"
    for column, name in enumerate(definition.columns):
        seen = [rows for rows in (real.differing(future, column) for future in futures) if len(rows)]
        if seen:
            yield (
                f"feature {name} of {real.place(seen[0][0])} depends on rows after {_iso(stretch.cutoff)}, "
                f"so do {max(map(len, seen))} of {len(real.date)} cells"
            )
        elif same_rows and len(rows := stored.differing(known, column)):
            yield (
                f"feature {name} of {stored.place(rows[0])} depends on rows outside its window of "
                f"{definition.features[column].rows}, so do {len(rows)} of {len(stored.date)} cells"
            )


def _recomputed(excerpts: list[_Excerpt], stretch: _Stretch, definition: FeatureDefinition) -> _Cells:
    """The features of a stretch from the excerpts alone, in the order of parts and rows."""
    panels = [Panel.of_prices(excerpt.asset, excerpt.date, excerpt.close) for excerpt in excerpts]
    factors = NO_FACTORS
    if definition.market_features:
        sums = MarketSums.merged([MarketSums.of_panel(panel) for panel in panels])
        factors = MarketFactors.of(sums, definition.market_features)
    cells = []
    for excerpt, panel in zip(excerpts, panels, strict=True):
        rows = np.flatnonzero(stretch.holds(panel.date) & (panel.position >= definition.window - 1))
        names = excerpt.names.take(pa.array(excerpt.asset[rows])).to_numpy(zero_copy_only=False)
        values = feature_values(panel, definition, factors)
        cells.append(_Cells(names, panel.date[rows], [column[rows] for column in values]))
    return _joined(cells)


def _stored(excerpts: list[_Excerpt], definition: FeatureDefinition) -> _Cells:
    """What the feature set holds for the excerpts' stretch."""
    return _joined(
        [
            _Cells(
                stored.column("asset").to_numpy(),
                _days(stored),
                [stored.column(name).to_numpy() for name in definition.columns],
            )
            for stored in (excerpt.stored for excerpt in excerpts)
        ]
    )


def _joined(cells: list[_Cells]) -> _Cells:
    columns = zip(*(cell.columns for cell in cells), strict=True)
    return _Cells(
        np.concatenate([cell.asset for cell in cells]),
        np.concatenate([cell.date for cell in cells]),
        [np.concatenate(column) for column in columns],
    )


def _days(table: pa.Table) -> Integers:
    days: Integers = table.column("date").cast(pa.int32()).to_numpy()
    return days


def _iso(day: int) -> str:
    return (_EPOCH + dt.timedelta(days=day)).isoformat()
