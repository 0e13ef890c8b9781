"""Validation of dates that share blocks finds what a validation of the whole does, and judges what is new."""

from __future__ import annotations

import datetime as dt
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain.registry.canonical import Digest, digest
from domain.risk.block_store import BlockStore
from domain.risk.blocks import block_of
from domain.risk.dataset import Dataset
from domain.risk.expectations import Filled, Unique
from domain.risk.features import feature_definition
from domain.risk.judged_blocks import JudgedTable, Table
from domain.risk.ports import ValidationReport
from domain.risk.preparation import prepare, private_store
from domain.risk.rows import canonical_rows
from veritasvault.adapters.gx_validator import GxValidator
from veritasvault.adapters.inline_prep import InlinePrepEngine
from veritasvault.adapters.uri_source import UriSource

DEFINITION = feature_definition(["rv_5", "log_return", "market_vol_21"], "realised_volatility_5_ahead")
JUDGE = digest(b"a judge")


class Office:
    """Validations of one panel as of several dates, through one store and without it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.store = private_store(home / "store")
        path = UriSource().fetch("sample://sp500", home)
        recent = pl.col("date").is_between(dt.date(2020, 1, 1), dt.date(2021, 12, 31))
        self.prices = pl.read_parquet(path).filter(recent & pl.col("asset").is_in(["AAPL", "KO", "XOM"]))
        self.runs = 0

    def data(self, as_of: str) -> tuple[Dataset, Dataset]:
        self.runs += 1
        raw, place = self.home / f"{self.runs}.parquet", self.home / f"run-{self.runs}"
        self.prices.write_parquet(raw)
        rows = canonical_rows(raw, dt.date.fromisoformat(as_of), None, place / "rows", self.store).dataset
        features = prepare(rows, DEFINITION, InlinePrepEngine(), place / "features", store=self.store)
        return rows, features.dataset

    def validate(self, data: tuple[Dataset, Dataset], *, shared: bool = True) -> ValidationReport:
        validator = GxValidator(self.home / "reports")
        return validator.validate(*data, f"run {self.runs}", store=self.store if shared else None)

    def drop(self, asset: str, first: str, last: str) -> None:
        days = pl.col("date").is_between(dt.date.fromisoformat(first), dt.date.fromisoformat(last))
        self.prices = self.prices.filter(~((pl.col("asset") == asset) & days))


def judged(report: ValidationReport) -> list[tuple[int, int]]:
    """Of rows and features, how many blocks by the report its run judged, and how many an earlier one."""
    said = re.findall(r"this run judged (\d+) and an earlier one (\d+)", Path(report.report).read_text())
    return [(int(new), int(known)) for new, known in said]


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def test_each_date_is_judged_by_what_is_new_and_found_as_if_all_was_judged(office: Office) -> None:
    first = office.validate(office.data("2021-11-29"))
    assert [known for _, known in judged(first)] == [0, 0]
    assert min(new for new, _ in judged(first)) >= 8
    data = office.data("2021-11-30")
    next_day = office.validate(data)
    # The block that grew; of the features also the one that got a target for its last rows.
    assert all(new <= 2 and known >= 7 for new, known in judged(next_day))
    again = office.validate(data)
    assert [new for new, _ in judged(again)] == [0, 0]
    whole = office.validate(data, shared=False)
    assert (whole.summary, whole.attachments) == (next_day.summary, next_day.attachments)
    assert (whole.summary, whole.attachments) == (again.summary, again.attachments)
    assert whole.summary.failures == ()


def test_a_gap_that_a_revision_left_is_judged_wherever_it_changes_a_figure_and_stays_found(
    office: Office,
) -> None:
    """What failed is judged each time, the rest is not."""
    office.validate(office.data("2021-11-29"))
    office.drop("KO", "2020-09-01", "2020-09-11")
    for as_of in ("2021-11-29", "2021-11-30"):
        data = office.data(as_of)
        shared = office.validate(data)
        counted, whole = judged(shared), office.validate(data, shared=False)
        assert shared.attachments == whole.attachments
        assert shared.summary.failures == ("rows: KO misses 8 sessions in a row before 2020-09-14",)
    assert all(new <= 3 and known >= 6 for new, known in counted)
    assert counted[0][0] >= 2


def table(days: int = 300, expectations: tuple[Filled | Unique, ...] = (Filled("close"), Unique())) -> Table:
    """Two assets with one figure, and a cell that is null."""
    date = pl.Series("date", list(range(days)) * 2, dtype=pl.Int32).cast(pl.Date)
    asset = pl.Series("asset", ["A"] * days + ["B"] * days)
    close = np.random.default_rng(0).normal(size=2 * days)
    frame = pl.DataFrame([asset, date, pl.Series("close", close)])
    missing = (pl.col("asset") == "B") & (pl.col("date") == dt.date(1970, 1, 5))
    return Table("rows", frame.with_columns(pl.when(~missing).then("close").alias("close")), expectations)


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    return BlockStore.below(tmp_path, digest(b"an environment"))


CHANGES = {
    "a value": pl.when(pl.int_range(pl.len()) == 100).then(0.5).otherwise("close").alias("close"),
    "a missing value": pl.when(pl.int_range(pl.len()) == 100).then(None).otherwise("close").alias("close"),
    "zero in place of null": pl.col("close").fill_null(0.0),
    "a name": pl.when(pl.int_range(pl.len()) == 100).then(pl.lit("C")).otherwise("asset").alias("asset"),
}


@pytest.mark.parametrize("change", sorted(CHANGES))
def test_a_block_is_known_by_every_cell_and_by_nothing_outside_of_it(change: str, store: BlockStore) -> None:
    before = table()
    JudgedTable.of(before, JUDGE, store).remember(store)
    frame = before.frame.with_columns(CHANGES[change])
    after = JudgedTable.of(Table("rows", frame, before.expectations), JUDGE, store)
    changed = before.frame.select("date").filter(
        pl.any_horizontal(frame[name].ne_missing(before.frame[name]) for name in frame.columns)
    )
    blocks = set(block_of(changed["date"].to_physical().to_numpy()).tolist())
    assert len(blocks) == 1
    assert set(after.keys) - after.met == blocks
    assert after.blocks > 2
    assert after.unjudged.frame.height == after.without(set(after.keys) - blocks).frame.height > 0


def test_another_judge_expectation_environment_or_table_knows_nothing(
    tmp_path: Path, store: BlockStore
) -> None:
    known = JudgedTable.of(table(), JUDGE, store)
    known.remember(store)
    assert JudgedTable.of(table(), JUDGE, store).met == set(known.keys)
    elsewhere = BlockStore.below(tmp_path, digest(b"another environment"))
    others = (
        JudgedTable.of(table(), digest(b"another judge"), store),
        JudgedTable.of(table(expectations=(Filled("close"),)), JUDGE, store),
        JudgedTable.of(Table("features", table().frame, table().expectations), JUDGE, store),
        JudgedTable.of(table(), JUDGE, elsewhere),
        JudgedTable.of(table(), JUDGE, None),
    )
    assert [other.met for other in others] == [frozenset()] * 5
    assert all(other.unjudged.frame.height == 600 for other in others)


def test_rows_without_a_date_and_expectations_across_dates_are_judged_every_time(store: BlockStore) -> None:
    undated = table().frame.with_columns(pl.when(pl.int_range(pl.len()) > 0).then("date").alias("date"))
    JudgedTable.of(Table("rows", undated, (Filled("close"),)), JUDGE, store).remember(store)
    assert JudgedTable.of(Table("rows", undated, (Filled("close"),)), JUDGE, store).unjudged.frame.height == 1
    across = Table("rows", table().frame, (Unique(("asset", "close")),))
    JudgedTable.of(across, JUDGE, store).remember(store)
    assert JudgedTable.of(across, JUDGE, store).unjudged.frame.height == 600


def test_what_does_not_meet_all_is_not_kept_and_many_may_keep_at_once(store: BlockStore) -> None:
    judged_table = JudgedTable.of(table(), JUDGE, store)
    spoiled = judged_table.blocks_with(table().frame.filter(pl.col("close").is_null()))
    assert len(spoiled) == 1
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: judged_table.remember(store, spoiled), range(16)))
    assert JudgedTable.of(table(), JUDGE, store).met == set(judged_table.keys) - spoiled


def test_a_record_that_a_disk_changed_is_not_believed(store: BlockStore) -> None:
    judged_table = JudgedTable.of(table(), JUDGE, store)
    judged_table.remember(store)
    first: Digest = next(iter(judged_table.keys.values()))
    (Path(store.records.uri) / first).write_bytes(b"met")
    assert len(JudgedTable.of(table(), JUDGE, store).met) == len(judged_table.keys) - 1
