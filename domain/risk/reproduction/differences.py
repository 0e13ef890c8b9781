"""By how much two tables, two lists of parts, two environments or two forecasts differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

    from domain.risk.reproduction.inputs import PartRecord

Floats = NDArray[np.float64]

_KEYS = ["asset", "date"]


@dataclass(frozen=True, slots=True)
class SizeCount:
    """How many values differ by a share of the recorded one between two powers of ten.

    Attributes:
        share: both powers in words, or why there is no share.
    """

    share: str
    rows: int


def by_size(recorded: Floats, found: Floats) -> tuple[SizeCount, ...]:
    """The distribution of relative differences, the smallest first, without empty places at its ends.

    Args:
        recorded, found: values that differ, shape (n,); NaN where one is missing.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = np.abs(found - recorded) / np.abs(recorded)
    measured = share[np.isfinite(share) & (share > 0.0)]
    counts = []
    if measured.size:
        power = np.floor(np.log10(measured)).astype(int)
        counts = [
            SizeCount(f"1e{least} to 1e{least + 1}", int(np.count_nonzero(power == least)))
            for least in range(int(power.min()), int(power.max()) + 1)
        ]
    other = int(share.size - measured.size)
    return (*counts, SizeCount("missing, or recorded as 0", other)) if other else tuple(counts)


@dataclass(frozen=True, slots=True)
class ColumnDifference:
    """How a column of numbers differs between rows of the same asset and date.

    Attributes:
        changed: rows in which it is another.
        largest: the largest absolute difference, in the column's unit; None where one of the two is missing
            or no number in each changed row.
        asset, date: where that is, or the first row with a missing value.
        recorded, found: the two values there.
        sizes: how the differences are distributed, see `by_size`.
    """

    name: str
    changed: int
    largest: float | None
    asset: str
    date: str
    recorded: float | None
    found: float | None
    sizes: tuple[SizeCount, ...]


@dataclass(frozen=True, slots=True)
class TableDifference:
    """How two tables with the columns asset and date differ.

    Attributes:
        only_recorded, only_found: rows whose asset and date the other one does not have.
        changed: rows of both with another value in some column.
        both: rows whose asset and date both have.
        columns: those that differ, the largest difference first.
        lacking: columns that one of the two does not have.
    """

    only_recorded: int
    only_found: int
    changed: int
    both: int
    columns: tuple[ColumnDifference, ...]
    lacking: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """All rows that differ."""
        return self.only_recorded + self.only_found + self.changed


def table_difference(recorded: pa.Table, found: pa.Table) -> TableDifference:
    """Compare two tables by asset and date, value by value and bit by bit; NaN equals NaN.

    Args:
        recorded, found: asset, date and columns of float64, each asset and date at most once.
    """
    one, other = _frame(recorded), _frame(found)
    names = [name for name in one.columns if name in other.columns and name not in _KEYS]
    lacking = sorted((set(one.columns) ^ set(other.columns)) - set(_KEYS))
    both = one.join(other, on=_KEYS, how="inner", suffix=" found").sort(_KEYS)
    changed = {name: both[name].ne_missing(both[f"{name} found"]) for name in names}
    rows = pl.Series([False] * both.height, dtype=pl.Boolean)
    for mask in changed.values():
        rows = rows | mask
    columns = [
        _column(name, both.filter(mask).select(*_KEYS, name, pl.col(f"{name} found").alias("found")))
        for name, mask in changed.items()
        if mask.any()
    ]
    return TableDifference(
        only_recorded=one.height - both.height,
        only_found=other.height - both.height,
        changed=int(rows.sum()),
        both=both.height,
        columns=tuple(sorted(columns, key=lambda column: -(column.largest or 0.0))),
        lacking=tuple(lacking),
    )


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame.with_columns(pl.col("asset").cast(pl.String))


def _column(name: str, rows: pl.DataFrame) -> ColumnDifference:
    """A column's difference; `rows` are those in which it differs, with the other value as `found`."""
    size = (rows[name] - rows["found"]).abs()
    measured = size.is_not_null() & size.is_not_nan()
    place = int(size.fill_nan(None).fill_null(-1.0).arg_max() or 0)
    worst = rows.row(place, named=True)
    return ColumnDifference(
        name=name,
        changed=rows.height,
        largest=float(size[place]) if measured.any() else None,
        asset=worst["asset"],
        date=str(worst["date"]),
        recorded=worst[name],
        found=worst["found"],
        sizes=by_size(_numbers(rows[name]), _numbers(rows["found"])),
    )


def _numbers(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()


def differing_parts(recorded: Sequence[PartRecord], found: Sequence[PartRecord]) -> tuple[str, ...]:
    """The names of the parts that differ or that only one of the two has, sorted."""
    one, other = ({part["name"]: part["sha256"] for part in parts} for parts in (recorded, found))
    return tuple(sorted(name for name in {*one, *other} if one.get(name) != other.get(name)))


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """A part of an environment by its name, as it was recorded and as it is; None where there is none."""

    name: str
    recorded: str | None
    found: str | None


def environment_differences(
    recorded: Mapping[str, Any], found: Mapping[str, Any]
) -> tuple[SettingDifference, ...]:
    """What differs between two environments: interpreter, processor, and packages by name and version."""
    one, other = _flat(recorded), _flat(found)
    names = sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
    return tuple(SettingDifference(name, one.get(name), other.get(name)) for name in names)


def _flat(environment: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, str] = {}
    for name, value in environment.items():
        flat |= _flat(value) if isinstance(value, Mapping) else {name: str(value)}
    return flat


@dataclass(frozen=True, slots=True)
class ForecastDifference:
    """How the forecasts of two models on the same rows differ.

    Attributes:
        rows: how many were forecast.
        changed: how many forecasts differ in a bit.
        largest: the largest absolute difference, in the target's unit.
        relative: the largest difference as a share of the registered model's forecast.
        asset, date: the row of the largest absolute difference.
        recorded, found: the two forecasts of it.
        sizes: how the differences are distributed, see `by_size`.
    """

    rows: int
    changed: int
    largest: float
    relative: float
    asset: str
    date: str
    recorded: float
    found: float
    sizes: tuple[SizeCount, ...]


def forecast_difference(table: pa.Table, recorded: Floats, found: Floats) -> ForecastDifference:
    """Compare the forecasts of the registered model with those of the one trained again.

    Args:
        table: the rows, with the columns asset and date.
        recorded, found: finite forecasts, shape (n,), one for each of n >= 1 rows.
    """
    size = np.abs(recorded - found)
    place = int(np.argmax(size))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(size == 0.0, 0.0, size / np.abs(recorded))
    return ForecastDifference(
        rows=int(size.size),
        changed=int(np.count_nonzero(size)),
        largest=float(size[place]),
        relative=float(np.max(relative)),
        asset=str(table.column("asset")[place]),
        date=str(table.column("date")[place]),
        recorded=float(recorded[place]),
        found=float(found[place]),
        sizes=by_size(recorded[size > 0.0], found[size > 0.0]),
    )
