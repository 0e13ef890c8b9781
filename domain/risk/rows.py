"""Canonical rows of a price panel: what a run may see of the raw data, checked and content-addressed."""

from __future__ import annotations

import datetime as dt
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from domain.registry.errors import DataNotArrived, InvalidInput
from domain.registry.records import as_text
from domain.risk.block_store import BlockStore
from domain.risk.dataset import Dataset
from domain.risk.history import RowVectors
from domain.risk.raw_files import read_until
from domain.risk.row_blocks import write_blocks

EARLIEST = dt.date(1900, 1, 1)
"""Older dates are taken for errors: they come from empty cells and spreadsheet epochs."""

LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class PanelRows:
    """A panel of closing prices as canonical rows.

    Attributes:
        dataset: rows of `rows_schema`, a part for each block of days, sorted by (asset, date).
        assets: the names, sorted.
        first: the first session that any asset has a row on.
        last: the last one; on or before the as-of date.
    """

    dataset: Dataset
    assets: tuple[str, ...]
    first: dt.date
    last: dt.date


def canonical_rows(
    raw: Path,
    as_of: dt.date,
    assets: Sequence[str] | None,
    destination: Path,
    store: BlockStore | None = None,
    measures: Sequence[str] = (),
) -> PanelRows:
    """Write the rows of a raw file on or before `as_of` as a dataset in the directory `destination`.

    Later rows are dropped before anything else is looked at, so no content of theirs changes the result. The
    order of the rows and further columns change nothing either.

    Args:
        raw: Parquet or CSV with the columns asset, date and close.
        assets: the assets to keep; None keeps all of them.
        store: where blocks are found and kept; None writes all of them.
        measures: columns to keep beside the price, numbers; see `FeatureDefinition.measures`.

    Raises:
        InvalidInput: naming the first row, column or ticker that is wrong.
        Unavailable: `destination` cannot be written.
    """
    rows = _checked_names(read_until(raw, as_of, measures))
    if rows.is_empty():
        raise InvalidInput("as_of", as_of.isoformat(), "choose a date on which the source has rows by then")
    if assets is not None:
        rows = _requested(rows, assets, as_of)
    _check_dates(rows)
    _check_prices(rows)
    _check_measures(rows, measures)
    rows = rows.sort("asset", "date")
    _check_duplicates(rows)
    first, last = _range(rows)
    if first == last:
        raise InvalidInput(
            "source", f"{rows.height} row(s), all on {first}", "give at least two sessions of prices"
        )
    vectors = _vectors(rows, measures)
    return PanelRows(write_blocks(vectors, destination, store), vectors.names, first, last)


def require_session(rows: PanelRows, session: dt.date, may_arrive_until: dt.datetime | None = None) -> None:
    """Require rows on the session that the run stands for.

    Args:
        may_arrive_until: until when the missing rows may still arrive; None when they no longer can.

    Raises:
        DataNotArrived: the panel ends earlier, and a retry may find more.
        InvalidInput: it ends earlier, for good. Both name the last date there is.
    """
    if rows.last >= session:
        return
    if may_arrive_until is None:
        raise InvalidInput(
            "as_of", session.isoformat(), f"choose a session up to {rows.last}, the last date the source has"
        )
    raise not_arrived(
        f"the source has no rows for session {session}, its last date is {rows.last}", may_arrive_until
    )


def not_arrived(missing: str, until: dt.datetime) -> DataNotArrived:
    """The error that says what is missing, and until when it may still arrive."""
    return DataNotArrived(
        f"{missing}: retry until {until.isoformat(timespec='minutes')}, or choose an earlier as_of"
    )


def _checked_names(rows: pl.DataFrame) -> pl.DataFrame:
    nameless = rows.filter(pl.col("asset").is_null())
    if not nameless.is_empty():
        raise InvalidInput(f"asset of a row on {nameless['date'][0]}", None, "give every row a ticker")
    for name in rows.get_column("asset").unique().sort().to_list():
        as_text("asset", name, longest=LONGEST_NAME)
        if "\n" in name:
            raise InvalidInput("asset", name, "write a ticker on one line")
        if "\ufffd" in name:
            raise InvalidInput("asset", name, "write the file in UTF-8")
    return rows


def _requested(rows: pl.DataFrame, assets: Sequence[str], as_of: dt.date) -> pl.DataFrame:
    if not assets:
        raise InvalidInput("assets", list(assets), "name at least one ticker, or leave it out to use all")
    known = set(rows.get_column("asset").unique().to_list())
    for name in assets:
        if name not in known:
            near = difflib.get_close_matches(str(name).upper(), sorted(known), n=3, cutoff=0.4)
            hint = f"did you mean {' or '.join(near)}" if near else f"use one of {_listed(known)}"
            raise InvalidInput("assets", name, f"the source has no rows of it on or before {as_of}, {hint}")
    if len(set(assets)) < len(assets):
        twice = next(name for name in assets if list(assets).count(name) > 1)
        raise InvalidInput("assets", twice, "name each ticker once")
    return rows.filter(pl.col("asset").is_in(list(assets)))


def _listed(names: set[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")


def _check_dates(rows: pl.DataFrame) -> None:
    early = rows.filter(pl.col("date") < EARLIEST).head(1)
    for asset, date in early.select("asset", "date").iter_rows():
        raise InvalidInput(f"date of {asset}", str(date), f"give dates from {EARLIEST} on")


def _check_prices(rows: pl.DataFrame) -> None:
    close = pl.col("close")
    bad = rows.filter(close.is_null() | ~close.is_finite() | (close <= 0)).head(1)
    for asset, date, value in bad.select("asset", "date", "close").iter_rows():
        raise InvalidInput(
            f"close of {asset} on {date}", value, "give a positive, finite price or leave the row out"
        )


def _check_measures(rows: pl.DataFrame, measures: Sequence[str]) -> None:
    for name in measures:
        bad = rows.filter(pl.col(name).is_null() | ~pl.col(name).is_finite()).head(1)
        for asset, date, value in bad.select("asset", "date", name).iter_rows():
            raise InvalidInput(
                f"{name} of {asset} on {date}", value, "give a finite number or leave the row out"
            )


def _check_duplicates(rows: pl.DataFrame) -> None:
    """Expects rows sorted by (asset, date)."""
    same = (pl.col("asset") == pl.col("asset").shift()) & (pl.col("date") == pl.col("date").shift())
    for asset, date in rows.filter(same).head(1).select("asset", "date").iter_rows():
        count = rows.filter((pl.col("asset") == asset) & (pl.col("date") == date)).height
        raise InvalidInput(f"rows of {asset} on {date}", count, "give one row per asset and date")


def _range(rows: pl.DataFrame) -> tuple[dt.date, dt.date]:
    first, last = rows.select(pl.col("date").min().alias("first"), pl.col("date").max().alias("last")).row(0)
    return first, last


def _vectors(rows: pl.DataFrame, measures: Sequence[str]) -> RowVectors:
    """Expects rows sorted by (asset, date)."""
    names = rows.get_column("asset")
    return RowVectors(
        tuple(names.unique(maintain_order=True).to_list()),
        names.rle_id().to_numpy().astype(np.int32),
        rows.get_column("date").cast(pl.Int32).to_numpy(),
        rows.get_column("close").to_numpy(),
        {name: rows.get_column(name).to_numpy() for name in measures},
    )
