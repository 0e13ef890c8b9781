"""Preparation: the same bytes however it is distributed, and clear sentences when it cannot be done."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.registry.canonical import Digest
from domain.registry.errors import IntegrityError, InvalidInput, Unavailable
from domain.risk.dataset import ROWS_SCHEMA, Dataset, write_part
from domain.risk.feature_set import feature_table
from domain.risk.features import feature_definition
from domain.risk.history import all_rows
from domain.risk.preparation import prepare
from tests.risk.feature_panels import TARGET, full_definition, sample_rows, values_of, walks, write_rows
from veritasvault.adapters.inline_prep import InlinePrepEngine


class _Backwards(InlinePrepEngine):
    """Runs each task twice, the last item first: what retries, zombies and other schedules may do."""

    def map(self, task: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        super().map(task, items[::-1])
        return super().map(task, items[::-1])[::-1]


class _Counting(InlinePrepEngine):
    def __init__(self) -> None:
        self.passes: list[int] = []

    def map(self, task: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        self.passes.append(len(items))
        return super().map(task, items)


def _dates(rows: dict[tuple[str, object], Any]) -> set[object]:
    return {date for _, date in rows}


@pytest.fixture
def rows(tmp_path: Path) -> Dataset:
    """20 assets in 4 blocks; one of them is too short for any feature row."""
    return write_rows(walks(19, 300) | {"SHORT": walks(1, 100)["A000"]}, tmp_path / "rows")


@pytest.mark.parametrize("tasks", [None, 1, 2, 99])
def test_the_number_of_tasks_changes_no_byte(rows: Dataset, tmp_path: Path, tasks: int | None) -> None:
    once = prepare(rows, full_definition(), InlinePrepEngine(), tmp_path / "a").dataset
    again = prepare(rows, full_definition(), InlinePrepEngine(), tmp_path / "b", tasks=tasks).dataset
    assert again.digest == once.digest
    assert [path.read_bytes() for path in again.paths] == [path.read_bytes() for path in once.paths]


def test_doubled_and_reordered_tasks_change_no_byte(rows: Dataset, tmp_path: Path) -> None:
    once = prepare(rows, full_definition(), InlinePrepEngine(), tmp_path / "a").dataset
    assert prepare(rows, full_definition(), _Backwards(), tmp_path / "a").dataset == once
    files = sorted(path.name for path in (tmp_path / "a").rglob("*") if path.is_file())
    held = [part.sha256 for part in once.parts]
    assert [name for name in files if name in held] == sorted(set(held))
    assert not [name for name in files if name.startswith(".")]


def test_a_feature_set_has_the_rows_with_whole_windows_and_null_only_for_unknown_targets(
    rows: Dataset, tmp_path: Path
) -> None:
    definition = full_definition()
    prepared = prepare(rows, definition, InlinePrepEngine(), tmp_path / "a")
    assert prepared.workers == {os.getpid()}
    table = feature_table(prepared.dataset)
    assert table.column_names == [*definition.schema.names, definition.target]
    assert [part.name[:9] for part in prepared.dataset.parts] == 4 * ["features-"] + 4 * ["labels-19"]
    assert [part.rows for part in prepared.dataset.parts[:4]] == [0, 0, 0, 19 * 48]
    assert table.num_rows == 19 * (300 - definition.window + 1)
    assert "SHORT" not in set(table.column("asset").to_pylist())
    assert [column.null_count for column in table.columns] == [0] * 14 + [19 * 5]
    assert all(np.isfinite(table.column(name).to_numpy()).all() for name in definition.columns)


def test_a_new_days_rows_change_nothing_earlier(tmp_path: Path) -> None:
    prices = walks(10, 300)
    yesterday = write_rows({name: close[:-1] for name, close in prices.items()}, tmp_path / "yesterday")
    today = write_rows(prices, tmp_path / "today")
    before, after = (
        values_of(prepare(one, full_definition(), InlinePrepEngine(), one.root / "out").dataset)
        for one in (yesterday, today)
    )
    assert {key: after[key] for key in before} == before
    assert _dates(after) - _dates(before) == {dt.date(1970, 1, 1) + dt.timedelta(299)}


def test_starting_the_history_later_changes_no_cell(tmp_path: Path) -> None:
    """The cross-section included, and with assets that begin at different dates."""
    prices = walks(10, 330)
    prices["A003"] = prices["A003"][-290:]
    whole = write_rows(prices, tmp_path / "whole")
    late = write_rows({name: close[-280:] for name, close in prices.items()}, tmp_path / "late")
    full, part = (
        values_of(prepare(one, full_definition(), InlinePrepEngine(), one.root / "out").dataset)
        for one in (whole, late)
    )
    days = {(name, dt.date(1970, 1, 1) + dt.timedelta(50)) for name in prices}
    shifted = {(name, date + dt.timedelta(50)): row for (name, date), row in part.items()}
    assert len(shifted) == 10 * (280 - 252)
    assert not days & shifted.keys()
    assert {key: full[key] for key in shifted} == shifted


def test_the_first_pass_is_left_out_without_cross_sectional_features(rows: Dataset, tmp_path: Path) -> None:
    one, two = _Counting(), _Counting()
    prepare(rows, feature_definition(["rv_5"], TARGET), one, tmp_path / "one")
    prepare(rows, feature_definition(["rv_5", "market_vol_5"], TARGET), two, tmp_path / "two")
    assert (one.passes, two.passes) == ([1], [1, 1])


def test_parts_of_several_row_groups_are_read_as_one(tmp_path: Path) -> None:
    """A part of more than 131,072 rows has several row groups, each with its own dictionary of assets."""
    close = np.exp(np.random.default_rng(0).normal(0, 0.02, 3 * 70_000))
    names = np.repeat(["A", "B", "C"], 70_000)
    days = pa.array(np.tile(np.arange(70_000, dtype=np.int32), 3)).cast(pa.date32())
    table = pa.table({"asset": names, "date": days, "close": close})
    part = write_part(table, tmp_path / "part-00000.parquet", ROWS_SCHEMA)
    assert pq.ParquetFile(tmp_path / part.name).num_row_groups > 1
    read = all_rows(Dataset(tmp_path, (part,)))
    assert np.flatnonzero(read.panel.position == 0).tolist() == [0, 70_000, 140_000]
    assert read.table().column("asset").cast(pa.string()).to_pylist() == names.tolist()


def test_without_enough_history_the_error_says_how_much_is_needed(tmp_path: Path) -> None:
    rows = write_rows(walks(9, 100), tmp_path / "rows")
    message = "as_of is '1970-04-10': there is not enough history .* need 253 rows .* the longest has 100;"
    with pytest.raises(InvalidInput, match=message):
        prepare(rows, full_definition(), InlinePrepEngine(), tmp_path / "out")
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_an_empty_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="empty dataset"):
        prepare(Dataset(tmp_path, ()), full_definition(), InlinePrepEngine(), tmp_path / "out")


def test_a_changed_part_is_named(rows: Dataset, tmp_path: Path) -> None:
    path = rows.paths[1]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(IntegrityError, match=r"part 1970-03-23\.parquet"):
        prepare(rows, full_definition(), InlinePrepEngine(), tmp_path / "out")


def test_a_destination_that_cannot_be_written_is_unavailable(rows: Dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match="cannot be written"):
        prepare(rows, full_definition(), InlinePrepEngine(), tmp_path / "file" / "out")


def test_a_worker_with_other_code_refuses_to_compute(rows: Dataset, tmp_path: Path) -> None:
    other = replace(full_definition(), digest=Digest("0" * 64))
    with pytest.raises(InvalidInput, match="restart the workers"):
        prepare(rows, other, InlinePrepEngine(), tmp_path / "out")


CODE = """
import sys
from pathlib import Path
from domain.risk.dataset import Dataset
from domain.risk.preparation import prepare
from tests.risk.feature_panels import full_definition
from veritasvault.adapters.inline_prep import InlinePrepEngine
rows, out = Dataset.open(Path(sys.argv[1])), Path(sys.argv[2])
print(prepare(rows, full_definition(), InlinePrepEngine(), out).dataset.digest)
"""


def test_a_processor_without_vector_instructions_gives_the_same_bytes(tmp_path: Path) -> None:
    """numpy is told to use its baseline only; with AVX-512, its own logarithm has other bits than that."""
    rows = sample_rows(tmp_path / "rows")
    here = prepare(rows, full_definition(), InlinePrepEngine(), tmp_path / "here").dataset.digest
    config = np.show_config(mode="dicts")
    found = config["SIMD Extensions"].get("found", [])  # type: ignore[index]
    elsewhere = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CODE, rows.root, tmp_path / "there"],
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(found), "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=True,
    )
    assert elsewhere.stdout.strip() == here
