"""Canonical rows: what a run may see, and nothing else, decides the digest."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.registry.canonical import Digest
from domain.registry.errors import DataNotArrived, InvalidInput
from domain.risk.dataset import Dataset
from domain.risk.history import all_rows
from domain.risk.rows import PanelRows, canonical_rows, require_session
from tests.risk.panels import csv, day, parquet, walk

AS_OF = day(49)


def rows_of(
    raw: Path, tmp_path: Path, as_of: dt.date = AS_OF, assets: Sequence[str] | None = None
) -> PanelRows:
    return canonical_rows(raw, as_of, assets, tmp_path / f"rows-{random.random()}")


def digest_of_frame(
    frame: pl.DataFrame, tmp_path: Path, as_of: dt.date = AS_OF, assets: Sequence[str] | None = None
) -> Digest:
    return rows_of(parquet(frame, tmp_path / "raw.parquet"), tmp_path, as_of, assets).dataset.digest


def test_the_rows_on_or_before_the_as_of_date_are_kept_sorted_and_nothing_else(tmp_path: Path) -> None:
    rows = rows_of(parquet(walk(), tmp_path / "raw.parquet"), tmp_path)
    kept = pl.DataFrame(pl.from_arrow(all_rows(rows.dataset).table())).cast({"asset": pl.String})
    assert kept.equals(walk().filter(pl.col("date") <= AS_OF).sort("asset", "date"))
    assert (rows.first, rows.last) == (day(0), AS_OF)
    assert rows.assets == tuple(f"A{number:02d}" for number in range(20))


def test_a_part_holds_twelve_weeks_from_a_monday_and_says_which_assets_are_new(tmp_path: Path) -> None:
    frame = walk(assets=3, days=200).filter((pl.col("asset") != "A01") | (pl.col("date") >= day(100)))
    rows = rows_of(parquet(frame, tmp_path / "raw.parquet"), tmp_path, day(199))
    parts = Dataset.open(rows.dataset.root).parts
    firsts = [dt.date.fromisoformat(part.name.removesuffix(".parquet")) for part in parts]
    assert [first.weekday() for first in firsts] == [0, 0, 0]
    assert [(later - first).days for first, later in pairwise(firsts)] == [84, 84]
    assert [part.listed for part in parts] == [("A00", "A02"), ("A01",), ()]
    dates = [set(table.column("date").to_pylist()) for table in rows.dataset.tables()]
    assert all(
        first <= min(held) and (max(held) - first).days < 84
        for first, held in zip(firsts, dates, strict=True)
    )
    assert sum(map(len, dates)) == 200


@given(seed=st.integers(0, 2**32), extra=st.booleans(), as_csv=st.booleans())
def test_row_order_further_columns_and_file_format_do_not_change_the_digest(
    seed: int, extra: bool, as_csv: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tmp_path = tmp_path_factory.mktemp("order")
    frame = walk(assets=10, days=20)
    other = frame.sample(fraction=1.0, shuffle=True, seed=seed)
    if extra:
        other = other.with_columns(volume=pl.lit(7), note=pl.lit("x")).select(
            "note", "close", "date", "volume", "asset"
        )
    raw = csv(other, tmp_path / "raw.csv") if as_csv else parquet(other, tmp_path / "other.parquet")
    assert rows_of(raw, tmp_path).dataset.digest == digest_of_frame(frame, tmp_path)


@pytest.mark.parametrize("as_csv", [False, True])
def test_garbage_of_every_kind_in_later_rows_changes_nothing(as_csv: bool, tmp_path: Path) -> None:
    frame = walk()
    clean = frame.filter(pl.col("date") <= AS_OF)
    later = frame.filter(pl.col("date") > AS_OF)
    poison = [
        later.with_columns(close=pl.lit(value))
        for value in (float("nan"), float("inf"), -float("inf"), -1.0, 0.0, None)
    ]
    poison += [
        later.with_columns(asset=pl.lit("UNHEARD OF")),
        later.with_columns(asset=pl.lit(None, pl.String)),
        later.with_columns(asset=pl.lit(" \t")),
        later.with_columns(date=pl.date(9999, 12, 31)),
        later,
        later,
    ]
    poisoned = pl.concat([*poison[:4], clean, *poison[4:]], how="vertical_relaxed")
    expected = digest_of_frame(frame, tmp_path)
    raw = csv(poisoned, tmp_path / "p.csv") if as_csv else parquet(poisoned, tmp_path / "p.parquet")
    assert rows_of(raw, tmp_path).dataset.digest == expected


@pytest.mark.parametrize(
    "line",
    [
        "A00,2020-02-25,not a number",
        'A00,2020-02-25,"1,234.5"',
        "A00,2020-02-25,1.0,2.0,3.0",
        "A00,2020-02-25",
        'A00,2020-02-25,"unbalanced',
        "A\xff00,2020-02-25,1.0",
        "A00,2020-02-25,",
        ",2020-02-25,1e999",
    ],
)
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_a_broken_later_line_of_a_csv_changes_nothing(line: str, place: str, tmp_path: Path) -> None:
    frame = walk(assets=3)
    lines = frame.filter(pl.col("date") <= AS_OF).write_csv().splitlines()
    lines.insert({"first": 1, "middle": len(lines) // 2, "last": len(lines)}[place], line)
    raw = tmp_path / "raw.csv"
    raw.write_bytes(("\n".join(lines) + "\n").encode("latin-1"))
    assert rows_of(raw, tmp_path).dataset.digest == digest_of_frame(frame, tmp_path)


@pytest.mark.parametrize("line", ['"A00,2020-02-25,1.0', 'A00","2020-02-25,1.0'])
def test_a_line_whose_date_cannot_be_told_is_refused_by_its_number(line: str, tmp_path: Path) -> None:
    lines = walk(assets=3).write_csv().splitlines()
    lines.insert(10, line)
    (tmp_path / "raw.csv").write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match=r"line 11 is .*: give 3 fields as the header has, it has"):
        rows_of(tmp_path / "raw.csv", tmp_path)


def test_a_corrected_old_price_gives_another_digest(tmp_path: Path) -> None:
    frame = walk()
    corrected = frame.with_columns(
        close=pl.when((pl.col("asset") == "A07") & (pl.col("date") == day(3)))
        .then(pl.col("close") + 0.01)
        .otherwise(pl.col("close"))
    )
    assert digest_of_frame(corrected, tmp_path) != digest_of_frame(frame, tmp_path)


def test_a_new_day_changes_nothing_for_earlier_as_of_dates(tmp_path: Path) -> None:
    shorter, longer = walk().filter(pl.col("date") <= day(50)), walk()
    for number in (30, 49, 50):
        assert digest_of_frame(shorter, tmp_path, day(number)) == digest_of_frame(
            longer, tmp_path, day(number)
        )
    assert digest_of_frame(longer, tmp_path, day(51)) != digest_of_frame(longer, tmp_path, day(50))


def test_only_requested_assets_are_kept_and_their_order_does_not_matter(tmp_path: Path) -> None:
    raw = parquet(walk(), tmp_path / "raw.parquet")
    rows = rows_of(raw, tmp_path, assets=["A03", "A01"])
    assert rows.assets == ("A01", "A03")
    assert rows.dataset.digest == rows_of(raw, tmp_path, assets=["A01", "A03"]).dataset.digest


def test_bad_prices_of_assets_that_were_not_asked_for_do_not_matter(tmp_path: Path) -> None:
    frame = walk()
    spoiled = frame.with_columns(
        close=pl.when(pl.col("asset") == "A05").then(-1.0).otherwise(pl.col("close"))
    )
    assert digest_of_frame(spoiled, tmp_path, assets=["A01"]) == digest_of_frame(
        frame, tmp_path, assets=["A01"]
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 0.0, -3.5, None])
@pytest.mark.parametrize("as_csv", [False, True])
def test_a_bad_price_is_named_with_asset_date_and_value(
    value: float | None, as_csv: bool, tmp_path: Path
) -> None:
    bad = (pl.col("asset") == "A02") & (pl.col("date") == day(7))
    frame = walk().with_columns(close=pl.when(bad).then(pl.lit(value, pl.Float64)).otherwise(pl.col("close")))
    raw = csv(frame, tmp_path / "raw.csv") if as_csv else parquet(frame, tmp_path / "raw.parquet")
    with pytest.raises(InvalidInput, match=r"close of A02 on 2020-01-08 is .*: give a positive") as caught:
        rows_of(raw, tmp_path)
    assert caught.value.value is None if value is None else str(caught.value.value) == str(value)


def test_text_for_a_price_is_named_with_asset_date_and_value(tmp_path: Path) -> None:
    lines = walk(assets=2).write_csv().splitlines()
    lines[5] = "A00,2020-01-05,12O.5"
    (tmp_path / "raw.csv").write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match=r"close of A00 on 2020-01-05 is '12O.5': write every close as"):
        rows_of(tmp_path / "raw.csv", tmp_path)


def test_a_thousands_separator_is_refused_and_not_read_as_a_small_price(tmp_path: Path) -> None:
    lines = walk(assets=2).write_csv().splitlines()
    lines[5] = "A00,2020-01-05,1,234.5"
    (tmp_path / "raw.csv").write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match=r"line 6 is 'A00,2020-01-05,1,234.5': give 3 fields"):
        rows_of(tmp_path / "raw.csv", tmp_path)


def test_quoted_fields_are_read(tmp_path: Path) -> None:
    walk().with_columns(name=pl.lit("Some, Inc.")).write_csv(tmp_path / "raw.csv", quote_style="always")
    assert rows_of(tmp_path / "raw.csv", tmp_path).dataset.digest == digest_of_frame(walk(), tmp_path)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    text = walk().write_csv().replace("\n", "\r\n")
    for name, data in (("bom", b"\xef\xbb\xbf" + text.encode()), ("plain", text.encode())):
        (tmp_path / f"{name}.csv").write_bytes(data)
        digest = rows_of(tmp_path / f"{name}.csv", tmp_path).dataset.digest
        assert digest == digest_of_frame(walk(), tmp_path), name


def test_duplicate_rows_are_named(tmp_path: Path) -> None:
    frame = walk()
    twice = pl.concat([frame, frame.filter((pl.col("asset") == "A04") & (pl.col("date") == day(9)))])
    with pytest.raises(
        InvalidInput, match=r"rows of A04 on 2020-01-10 is 2: give one row per asset and date"
    ):
        digest_of_frame(twice, tmp_path)


@pytest.mark.parametrize("name", ["asset", "date", "close"])
@pytest.mark.parametrize("as_csv", [False, True])
def test_a_missing_column_is_named(name: str, as_csv: bool, tmp_path: Path) -> None:
    frame = walk().drop(name)
    raw = csv(frame, tmp_path / "raw.csv") if as_csv else parquet(frame, tmp_path / "raw.parquet")
    with pytest.raises(InvalidInput, match=rf"column {name} is None: give it once, the file has "):
        rows_of(raw, tmp_path)


@pytest.mark.parametrize(
    ("column", "wrong", "named"),
    [
        ("asset", pl.int_range(pl.len()), "column asset is 'Int64': store tickers as text"),
        ("date", pl.lit("2020-01-01"), "column date is 'String': store calendar dates"),
        ("close", pl.lit("1.0"), "column close is 'String': store closing prices as numbers"),
        ("close", pl.lit(True), "column close is 'Boolean': store closing prices as numbers"),
    ],
)
def test_a_wrong_column_type_is_named(column: str, wrong: pl.Expr, named: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=named):
        digest_of_frame(walk().with_columns(wrong.alias(column)), tmp_path)


def test_dates_written_as_midnights_and_prices_as_single_floats_or_integers_are_read(tmp_path: Path) -> None:
    frame = walk().with_columns(close=pl.col("close").round())
    other = frame.with_columns(pl.col("date").cast(pl.Datetime("ns")), pl.col("close").cast(pl.Int32))
    assert digest_of_frame(other, tmp_path) == digest_of_frame(frame, tmp_path)
    tickers = frame.with_columns(pl.col("asset").cast(pl.Categorical), pl.col("close").cast(pl.Float32))
    assert digest_of_frame(tickers, tmp_path) == digest_of_frame(frame, tmp_path)


def test_a_time_of_day_is_refused(tmp_path: Path) -> None:
    frame = walk().with_columns(pl.col("date").cast(pl.Datetime("us")) + pl.duration(hours=16))
    with pytest.raises(InvalidInput, match="give one row per session, dates without a time of day"):
        digest_of_frame(frame, tmp_path)


@pytest.mark.parametrize("text", ["03/04/2020", "2020-13-01", "20200103", "", "2020-02-30"])
def test_a_date_that_cannot_be_read_is_refused_because_it_cannot_be_placed(text: str, tmp_path: Path) -> None:
    lines = walk(assets=2).write_csv().splitlines()
    lines[5] = f"A00,{text},1.0"
    (tmp_path / "raw.csv").write_text("\n".join(lines))
    with pytest.raises(InvalidInput, match=r"date of A00 is .*: write every date as YYYY-MM-DD"):
        rows_of(tmp_path / "raw.csv", tmp_path)


def test_a_date_from_a_spreadsheet_epoch_is_refused(tmp_path: Path) -> None:
    frame = pl.concat([walk(), pl.DataFrame({"asset": "A00", "date": dt.date(1899, 12, 30), "close": 1.0})])
    with pytest.raises(InvalidInput, match="date of A00 is '1899-12-30': give dates from 1900-01-01 on"):
        digest_of_frame(frame, tmp_path)


@pytest.mark.parametrize("as_csv", [False, True])
def test_empty_data_is_refused(as_csv: bool, tmp_path: Path) -> None:
    frame = walk().clear()
    raw = csv(frame, tmp_path / "raw.csv") if as_csv else parquet(frame, tmp_path / "raw.parquet")
    with pytest.raises(InvalidInput, match="choose a date on which the source has rows by then"):
        rows_of(raw, tmp_path)


def test_a_file_without_a_byte_is_refused(tmp_path: Path) -> None:
    for name in ("raw.csv", "raw.parquet"):
        (tmp_path / name).touch()
        with pytest.raises(InvalidInput):
            rows_of(tmp_path / name, tmp_path)


def test_one_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"source is '1 row\(s\), all on 2020-01-01': give at least two"):
        digest_of_frame(walk().head(1), tmp_path)


def test_an_as_of_date_before_all_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InvalidInput, match="as_of is '2019-06-01': choose a date on which the source has rows"
    ):
        digest_of_frame(walk(), tmp_path, dt.date(2019, 6, 1))


def test_an_unknown_ticker_is_named_with_near_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"assets is 'a7': .* did you mean .*A07"):
        digest_of_frame(walk(), tmp_path, assets=["A01", "a7"])
    with pytest.raises(InvalidInput, match=r"assets is 'ZZZ': .* use one of A00, .* and 10 more"):
        digest_of_frame(walk(), tmp_path, assets=["ZZZ"])


def test_no_tickers_and_a_ticker_named_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="name at least one ticker"):
        digest_of_frame(walk(), tmp_path, assets=[])
    with pytest.raises(InvalidInput, match="assets is 'A01': name each ticker once"):
        digest_of_frame(walk(), tmp_path, assets=["A01", "A02", "A01"])


@pytest.mark.parametrize("name", [None, "", "  ", "A\n00", " A00", "x" * 65])
def test_a_ticker_that_is_no_name_is_refused(name: str | None, tmp_path: Path) -> None:
    frame = walk().with_columns(
        asset=pl.when(pl.col("asset") == "A00").then(pl.lit(name, pl.String)).otherwise(pl.col("asset"))
    )
    with pytest.raises(InvalidInput, match="asset"):
        digest_of_frame(frame, tmp_path)


def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path) -> None:
    (tmp_path / "raw.parquet").write_bytes(b"PAR1 and then nonsense")
    (tmp_path / "raw.xlsx").write_bytes(b"")
    with pytest.raises(InvalidInput, match="give a readable Parquet file"):
        rows_of(tmp_path / "raw.parquet", tmp_path)
    with pytest.raises(InvalidInput, match=r"give a file that ends in .parquet or .csv"):
        rows_of(tmp_path / "raw.xlsx", tmp_path)


def test_a_session_that_may_still_arrive_is_retriable_and_one_that_cannot_is_not(tmp_path: Path) -> None:
    rows = rows_of(parquet(walk(), tmp_path / "raw.parquet"), tmp_path, as_of=day(70))
    require_session(rows, day(59))
    until = dt.datetime(2020, 3, 12, tzinfo=dt.UTC)
    with pytest.raises(
        DataNotArrived, match="session 2020-03-11, its last date is 2020-02-29: retry until"
    ) as e:
        require_session(rows, day(70), until)
    assert e.value.retriable
    with pytest.raises(InvalidInput, match="choose a session up to 2020-02-29, the last date") as final:
        require_session(rows, day(70))
    assert not final.value.retriable
