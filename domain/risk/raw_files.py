"""Reads the columns of a raw price file, Parquet or CSV, up to a date; what lies later is never judged."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from domain.registry.errors import InvalidInput

COLUMNS = ("asset", "date", "close")
"""What a raw file must have, in any order and beside any other columns."""

Columns = tuple[str, ...]
"""Those that are read: `COLUMNS`, then measures."""

_ISO_DATE = r"^\d{4}-\d{2}-\d{2}$"
_BATCH = 200_000


def read_until(raw: Path, as_of: dt.date, measures: Sequence[str] = ()) -> pl.DataFrame:
    """Return the rows on or before `as_of` as asset (text), date (date) and close (float64), in file order.

    Only the date of a row decides whether it is kept, and nothing else of later rows is looked at.

    Args:
        measures: further columns that are returned, as float64.

    Raises:
        InvalidInput: not a readable Parquet or CSV file, a missing column, a wrong type, or a row whose date
            cannot be read and which therefore cannot be placed before or after `as_of`.
    """
    if raw.suffix == ".parquet":
        return _parquet(raw, as_of, (*COLUMNS, *measures))
    if raw.suffix == ".csv":
        return _csv(raw, as_of, (*COLUMNS, *measures))
    raise InvalidInput("source", str(raw), "give a file that ends in .parquet or .csv")


def _parquet(raw: Path, as_of: dt.date, columns: Columns) -> pl.DataFrame:
    try:
        frame = pl.scan_parquet(raw)
        schema = frame.collect_schema()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(raw, "Parquet", error) from error
    _require_columns(schema.names(), columns)
    _require_types(schema, columns)
    frame = frame.select(columns)
    if schema["date"] != pl.Date:
        midnight = pl.col("date").dt.truncate("1d") == pl.col("date")
        frame = frame.with_columns(midnight=midnight, date=pl.col("date").dt.date())
    try:
        kept = frame.filter(_until(as_of)).collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise _unreadable(raw, "Parquet", error) from error
    if "midnight" in kept.columns:
        _refuse(
            kept.filter(~pl.col("midnight")), "date", "give one row per session, dates without a time of day"
        )
    _refuse(kept.filter(pl.col("date").is_null()), "date", "give every row a calendar date")
    return kept.select(pl.col("asset").cast(pl.String), "date", pl.col(columns[2:]).cast(pl.Float64))


def _require_types(schema: pl.Schema, columns: Columns) -> None:
    asset, date, close, *measures = (schema[name] for name in columns)
    if asset not in (pl.String, pl.Categorical, pl.Enum):
        raise InvalidInput("column asset", str(asset), "store tickers as text")
    if date != pl.Date and not (isinstance(date, pl.Datetime) and date.time_zone is None):
        raise InvalidInput("column date", str(date), "store calendar dates (Parquet type DATE)")
    if not (close.is_numeric() or close == pl.Null):
        raise InvalidInput(
            "column close", str(close), "store closing prices as numbers (Parquet type DOUBLE)"
        )
    for name, found in zip(columns[3:], measures, strict=True):
        if not (found.is_numeric() or found == pl.Null):
            raise InvalidInput(f"column {name}", str(found), "store numbers (Parquet type DOUBLE)")


def _csv(raw: Path, as_of: dt.date, columns: Columns) -> pl.DataFrame:
    text = _plain_text(raw, as_of, columns)
    if text is None:
        text = _line_by_line(raw, as_of, columns)
    _refuse(text.filter(pl.col("day").is_null()), "date", "write every date as YYYY-MM-DD")
    text = text.drop("date").rename({"day": "date"})
    for name in columns[2:]:
        written = pl.col(name).str.strip_chars()
        unread = text.filter(written.cast(pl.Float64, strict=False).is_null() & (written.str.len_chars() > 0))
        _refuse(unread, name, f"write every {name} as a plain number such as 101.25")
    numbers = pl.col(columns[2:]).str.strip_chars().cast(pl.Float64, strict=False)
    return text.select("asset", "date", numbers)


def _plain_text(raw: Path, as_of: dt.date, columns: Columns) -> pl.DataFrame | None:
    """Every column as text by the fast parser, or None where quotes or ragged lines need care."""
    if _has_quotes(raw):
        return None
    try:
        frame = pl.scan_csv(raw, infer_schema=False, quote_char=None)
        names = frame.collect_schema().names()
        _require_columns(names, columns)
        return frame.select(columns).with_columns(_day()).filter(_until(as_of, "day")).collect()
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        return None
    except OSError as error:
        raise _unreadable(raw, "CSV", error) from error


def _line_by_line(raw: Path, as_of: dt.date, columns: Columns) -> pl.DataFrame:
    """Each line by itself, so that a broken later line cannot swallow or spoil an earlier one.

    A quoted field therefore ends on its line.
    """
    texts = dict.fromkeys(columns, pl.String)
    batches = [pl.DataFrame(schema=texts | {"day": pl.Date})]
    for batch in _batches(raw, as_of, columns):
        frame = pl.DataFrame(batch, schema=texts, orient="row")
        batches.append(frame.with_columns(_day()).filter(_until(as_of, "day")))
    return pl.concat(batches)


def _batches(raw: Path, as_of: dt.date, columns: Columns) -> Iterator[list[list[str]]]:
    try:
        with raw.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
            header = _fields(file.readline())
            _require_columns(header, columns)
            places = [header.index(name) for name in columns]
            batch: list[list[str]] = []
            for number, line in enumerate(file, start=2):
                fields = _fields(line)
                if not any(fields) or _is_later(fields, places[1], as_of):
                    continue
                if len(fields) != len(header):
                    remedy = f"give {len(header)} fields as the header has, it has {len(fields)}"
                    raise InvalidInput(f"line {number}", line.strip(), remedy)
                batch.append([fields[place] for place in places])
                if len(batch) == _BATCH:
                    yield batch
                    batch = []
            yield batch
    except OSError as error:
        raise _unreadable(raw, "CSV", error) from error


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r\n")]), [])
    except csv.Error:
        return line.rstrip("\r\n").split(",")


def _is_later(fields: list[str], place: int, as_of: dt.date) -> bool:
    try:
        return dt.date.fromisoformat(fields[place].strip()) > as_of
    except (ValueError, IndexError):
        return False


def _day() -> pl.Expr:
    written = pl.col("date").str.strip_chars()
    strict = pl.when(written.str.contains(_ISO_DATE)).then(written)
    return strict.str.to_date("%Y-%m-%d", strict=False).alias("day")


def _until(as_of: dt.date, column: str = "date") -> pl.Expr:
    """Rows up to the date, and rows that cannot be placed."""
    return (pl.col(column) <= as_of) | pl.col(column).is_null()


def _has_quotes(raw: Path) -> bool:
    try:
        with raw.open("rb") as file:
            return any(b'"' in chunk for chunk in iter(lambda: file.read(1 << 20), b""))
    except OSError as error:
        raise _unreadable(raw, "CSV", error) from error


def _require_columns(names: list[str], columns: Columns) -> None:
    for name in columns:
        if names.count(name) != 1:
            found = ", ".join(names[:20])
            raise InvalidInput(
                f"column {name}", names.count(name) or None, f"give it once, the file has {found}"
            )


def _refuse(rows: pl.DataFrame, column: str, remedy: str) -> None:
    """Raise for the first of some bad rows, naming the asset and the date where it has them."""
    if rows.is_empty():
        return
    row = rows.row(0, named=True)
    where = f" of {row['asset']}" + (f" on {row['date']}" if column != "date" else "")
    raise InvalidInput(column + where, row[column], remedy)


def _unreadable(raw: Path, kind: str, error: Exception) -> InvalidInput:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InvalidInput("source", str(raw), f"give a readable {kind} file ({reason})")
