"""A feature set in memory: matrix, target, and for each row its asset, its date and the end of its label."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from domain.registry.errors import InvalidInput

if TYPE_CHECKING:
    from domain.risk.dataset import Dataset
    from domain.risk.features import FeatureDefinition

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Days = NDArray[np.datetime64]
Flags = NDArray[np.bool_]

HORIZON = 5
"""Sessions that a label looks ahead when the caller does not say."""


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Rows sorted by (asset, date).

    Attributes:
        asset_names: the assets that have rows, sorted; `assets` indexes them.
        expected: the assets that the run was asked for.
        names: the features' names, in the order of the matrix's columns.
        horizon: rows of the same asset that a label looks ahead.
        assets: index of the row's asset, shape (n,).
        dates: the row's session, shape (n,), datetime64[D].
        label_ends: the session that a row's label window ends with, shape (n,); NaT where it is not over.
        features: shape (n, k), all finite.
        target: annualised decimals, shape (n,); NaN where it is not known yet.
    """

    asset_names: tuple[str, ...]
    expected: tuple[str, ...]
    names: tuple[str, ...]
    horizon: int
    assets: Integers
    dates: Days
    label_ends: Days
    features: Floats
    target: Floats

    @property
    def known(self) -> Flags:
        """Which rows have a label, shape (n,)."""
        flags: Flags = np.isfinite(self.target)
        return flags

    @property
    def first(self) -> dt.date:
        return as_day(self.dates.min())

    @property
    def last(self) -> dt.date:
        """The last session with a row: what the set was made as of."""
        return as_day(self.dates.max())

    def before(self, day: dt.date) -> TrainingSet:
        """The rows before a day, as they would have been known then: labels that end later are unknown."""
        rows = self.dates < np.datetime64(day)
        ends = self.label_ends[rows]
        over = ends < np.datetime64(day)  # false where it is NaT
        return replace(
            self,
            assets=self.assets[rows],
            dates=self.dates[rows],
            label_ends=np.where(over, ends, np.datetime64("NaT")),
            features=self.features[rows],
            target=np.where(over, self.target[rows], np.nan),
        )

    def labelled(self) -> tuple[Floats, Floats]:
        """Features (m, k) and target (m,) of all rows that have a label: what the final model learns from."""
        return self.features[self.known], self.target[self.known]

    @classmethod
    def of(
        cls, dataset: Dataset, definition: FeatureDefinition, expected: Sequence[str] | None = None
    ) -> TrainingSet:
        """Read a feature set by its definition. Raises as `load`."""
        return cls.load(dataset, definition.columns, definition.target, expected, horizon=definition.horizon)

    @classmethod
    def load(
        cls,
        dataset: Dataset,
        names: Sequence[str],
        target: str,
        expected: Sequence[str] | None = None,
        *,
        horizon: int = HORIZON,
    ) -> TrainingSet:
        """Read a feature set.

        Args:
            names: the features' columns, in the order the model takes them.
            target: the target's column.
            expected: the assets the run was asked for; None for those that have rows.
            horizon: rows that the target looks ahead.

        Raises:
            IntegrityError: a part's bytes changed.
            InvalidInput: no rows, a missing column, rows out of order, or a value that is not finite.
        """
        table = _read(dataset, ("asset", "date", *names, target))
        codes = table.column("asset").combine_chunks()
        found = [str(name) for name in codes.dictionary.to_pylist()]
        assets = np.asarray(codes.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
        dates = table.column("date").to_numpy().astype("datetime64[D]")
        _require_order(found, assets, dates)
        return cls(
            asset_names=tuple(found),
            expected=tuple(found if expected is None else expected),
            names=tuple(names),
            horizon=horizon,
            assets=assets,
            dates=dates,
            label_ends=label_ends(assets, dates, horizon),
            features=np.column_stack([_feature(table, name) for name in names]),
            target=_target(table, target),
        )


def label_ends(assets: Integers, dates: Days, horizon: int) -> Days:
    """The session `horizon` rows of the same asset later, shape (n,); NaT where there are not so many."""
    ends = np.full(dates.shape, np.datetime64("NaT"), dtype="datetime64[D]")
    if dates.size > horizon:
        same = assets[horizon:] == assets[:-horizon]
        ends[:-horizon][same] = dates[horizon:][same]
    return ends


def as_day(value: np.datetime64) -> dt.date:
    """A calendar date of numpy's."""
    return dt.date.fromisoformat(str(value)[:10])


def _read(dataset: Dataset, columns: Sequence[str]) -> pa.Table:
    from domain.risk.feature_set import feature_table

    table = feature_table(dataset)
    for name in columns:
        if name not in table.column_names:
            raise InvalidInput("features", name, f"no such column, use {', '.join(table.column_names)}")
    if not table.num_rows:
        raise InvalidInput("features", "no rows", "give prices over a longer time, the windows are not full")
    return table.select(list(columns))


def _feature(table: pa.Table, name: str) -> Floats:
    values = np.asarray(table.column(name).to_numpy(), dtype=np.float64)
    if not np.all(np.isfinite(values)):
        row = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InvalidInput(name, float(values[row]), f"make it finite, it is not on {_place(table, row)}")
    return values


def _target(table: pa.Table, name: str) -> Floats:
    column = table.column(name)
    values = np.array(column.to_numpy(), dtype=np.float64)
    given = np.asarray(column.is_valid().to_numpy(), dtype=np.bool_)
    wrong = given & ~(np.isfinite(values) & (values >= 0.0))
    if np.any(wrong):
        row = int(np.flatnonzero(wrong)[0])
        raise InvalidInput(
            name, float(values[row]), f"make it finite and at least 0, or null, on {_place(table, row)}"
        )
    return values


def _place(table: pa.Table, row: int) -> str:
    return f"{table.column('date')[row]} for {table.column('asset')[row]}"


def _require_order(names: list[str], assets: Integers, dates: Days) -> None:
    same, later = np.diff(assets) == 0, np.diff(dates) > np.timedelta64(0, "D")
    if names != sorted(set(names)) or np.any(np.diff(assets) < 0) or np.any(same & ~later):
        raise InvalidInput("features", "rows out of order", "sort them by (asset, date), each pair only once")
