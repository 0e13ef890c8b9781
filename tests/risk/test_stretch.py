"""A stretch of a panel has the rows that windows reach, whatever pieces they are merged in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.registry.canonical import Digest
from domain.risk import stretch as module
from domain.risk.block_features import Run
from domain.risk.blocks import block_named, block_of
from domain.risk.dataset import Dataset, Part
from domain.risk.features import feature_definition
from domain.risk.history import RowHash, RowVectors, all_rows
from domain.risk.preparation import prepare
from domain.risk.stretch import Stretch, window_of
from tests.risk.feature_panels import TARGET, write_rows
from veritasvault.adapters.inline_prep import InlinePrepEngine

DAYS = 84 * 6

traded = st.dictionaries(
    st.text("ABC", min_size=1, max_size=3),
    st.sets(st.integers(0, DAYS - 1), min_size=1, max_size=40),
    min_size=1,
    max_size=6,
)
"""The days that each asset traded on: with gaps of several blocks, and assets that come and go."""


def _write(days: dict[str, set[int]], root: Path) -> Dataset:
    dates = {name: np.array(sorted(held), dtype=np.int32) for name, held in days.items()}
    return write_rows({name: 1.0 + held for name, held in dates.items()}, root, dates)


def _expected(rows: Dataset, first: int, stop: int, before: int) -> list[tuple[str, int]]:
    """By the definition: of each asset with rows in the blocks these, and the last `before` ones earlier."""
    whole, expected = all_rows(rows), list[tuple[str, int]]()
    blocks = [block_named(part.name) for part in rows.parts[first:stop]]
    for code, name in enumerate(whole.names):
        dates = whole.date[whole.asset == code]
        inside = [day for day, block in zip(dates, block_of(dates), strict=True) if block in blocks]
        earlier = [day for day in dates if inside and day < inside[0]]
        expected += [
            (name, int(day)) for day in [*earlier[len(earlier) - min(before, len(earlier)) :], *inside]
        ]
    return expected


def _keys(pieces: Sequence[RowVectors]) -> list[tuple[str, int]]:
    return [
        (piece.names[asset], int(day))
        for piece in pieces
        for asset, day in zip(piece.asset, piece.date, strict=True)
    ]


@given(traded, st.data(), st.integers(0, 30), st.integers(1, 50))
def test_a_stretch_has_its_blocks_rows_and_the_earlier_ones_of_their_assets(
    days: dict[str, set[int]], data: st.DataObject, before: int, piece: int
) -> None:
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CACHED_ROWS", piece)
        rows = _write(days, Path(directory))
        first = data.draw(st.integers(0, len(rows.parts) - 1))
        stop = data.draw(st.integers(first + 1, len(rows.parts)))
        found = list(Stretch.read(rows, first, stop, before).pieces())
        assert _keys(found) == _expected(rows, first, stop, before)
        assert all(len(one.asset) >= piece for one in found[:-1])
        for one in found:
            np.testing.assert_array_equal(one.close, 1.0 + one.date)


@given(traded, st.integers(0, 30), st.integers(1, 50), st.integers(1, 50))
def test_a_hash_of_rows_does_not_depend_on_the_pieces_they_come_in(
    days: dict[str, set[int]], before: int, one: int, other: int
) -> None:
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        stretch = Stretch.read(
            rows := _write(days, Path(directory)), len(rows.parts) - 1, len(rows.parts), before
        )
        hashes = set()
        for piece in (one, other):
            patch.setattr(module, "_CACHED_ROWS", piece)
            hashed = RowHash(stretch.names)
            for found in stretch.pieces():
                hashed.add(found.at(window_of(found, stretch.blocks, before)))
            hashes.add(hashed.hexdigest())
    assert len(hashes) == 1


@given(traded, st.data())
def test_a_hash_of_rows_tells_any_two_panels_apart(days: dict[str, set[int]], data: st.DataObject) -> None:
    """One row is moved to another day, or to another asset, or has another price."""
    name = data.draw(st.sampled_from(sorted(days)))
    rows = _hashed(days)
    moved = {**days, name: {*sorted(days[name])[:-1], DAYS + 7}}
    renamed = {("Z" if held == name else held): traded_on for held, traded_on in days.items()}
    assert len({rows, _hashed(moved), _hashed(renamed), _hashed(days, price=2.0)}) == 4


def test_a_hash_of_rows_tells_whose_a_row_is() -> None:
    """The same names, dates and prices in the same order."""
    assert _hashed({"A": {1, 2}, "B": {3}}) != _hashed({"A": {1}, "B": {2, 3}})


def _hashed(days: dict[str, set[int]], price: float = 1.0) -> str:
    names = tuple(sorted(days))
    asset = np.repeat(np.arange(len(names), dtype=np.int32), [len(days[name]) for name in names])
    date = np.array([day for name in names for day in sorted(days[name])], dtype=np.int32)
    hashed = RowHash(names)
    hashed.add(RowVectors(names, asset, date, np.full(len(date), price)))
    return hashed.hexdigest()


class _Stopped(Exception):
    pass


class _Dealt(InlinePrepEngine):
    """Keeps the work that is dealt out, and does none."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def map(self, task: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        self.runs = [run for run, _ in items]
        raise _Stopped


@pytest.mark.parametrize(
    "counts",
    [
        [504_000] * 60,
        [1_500_000] * 10,
        [3_000_000, 1, 1, 3_000_000, 5],
        [100 * number for number in range(1, 400)],
        [2_800] * 60,
    ],
)
def test_no_task_has_more_than_a_million_rows_but_where_one_block_has(
    counts: list[int], tmp_path: Path
) -> None:
    """A task's memory does not grow with the panel: longer ones have more tasks, each block is in one."""
    days = np.datetime64("1990-01-01") + 84 * np.arange(len(counts))
    parts = [
        Part(f"{day}.parquet", rows, 1, Digest("0" * 64)) for day, rows in zip(days, counts, strict=True)
    ]
    engine = _Dealt()
    with pytest.raises(_Stopped):
        prepare(
            Dataset(tmp_path, tuple(parts)), feature_definition(["rv_5"], TARGET), engine, tmp_path / "out"
        )
    assert [block for run in engine.runs for block in range(run.first, run.stop)] == list(range(len(counts)))
    assert max(sum(counts[run.first : run.stop]) for run in engine.runs) <= max(1 << 20, *counts)
