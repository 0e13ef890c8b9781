"""Blocks shared by as-of dates: the same bytes as a preparation of its own, and no more work than needed."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.registry.canonical import Digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound, Unavailable
from domain.risk.block_store import BlockStore
from domain.risk.blocks import block_of
from domain.risk.dataset import Dataset
from domain.risk.feature_set import feature_table
from domain.risk.features import FeatureDefinition, feature_definition
from domain.risk.local_objects import LocalObjects
from domain.risk.preparation import private_store
from domain.risk.row_blocks import write_blocks
from tests.processes import ChildKilled, in_child
from tests.risk.feature_panels import TARGET, full_definition, walks
from tests.risk.growing_panels import GrowingPanel, as_bits, dataset_bytes, of_the_whole, prepared

SHORT = ("log_return", "rv_5", "rv_21", "momentum_21", "market_vol_5", "market_vol_21")
DEFINITIONS = {
    "short windows": lambda: feature_definition(SHORT, TARGET),
    "long windows": full_definition,
    "a label longer than the windows": lambda: feature_definition(["rv_1"], TARGET),
    "the market alone": lambda: feature_definition(["market_vol_21"], TARGET),
}


def long_panel() -> GrowingPanel:
    """Six assets on 1,000 consecutive days, the last one from day 700 on."""
    dates = np.arange(1000, dtype=np.int32)
    prices = {name: (dates, close) for name, close in walks(6, 1000).items()}
    return GrowingPanel({**prices, "A005": (dates[700:], prices["A005"][1][700:])})


@given(
    seed=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(sorted(DEFINITIONS)),
    order=st.randoms(use_true_random=False),
    tasks=st.sampled_from([None, 1, 2, 5]),
)
@settings(max_examples=25)
def test_dates_that_share_blocks_give_the_bytes_of_dates_that_do_not(
    seed: int, kind: str, order: Any, tasks: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """In any order of dates, with gaps, late listings, delistings, holidays and a changed price."""
    home = tmp_path_factory.mktemp("shared")
    definition, panel, store = DEFINITIONS[kind](), GrowingPanel.random(seed), private_store(home / "store")
    days = order.sample(panel.sessions[300:], 4)
    row = order.randrange(len(panel.prices["A00"][0]))
    for number, one in enumerate((panel, panel.with_price("A00", row, 1.01), panel)):
        for day in days:
            shared = prepared(one, day, definition, home / f"{number}", store, tasks).dataset
            alone = prepared(one, day, definition, home / f"{number}-alone").dataset
            assert shared.digest == alone.digest
            assert dataset_bytes(shared) == dataset_bytes(alone)
        expected = of_the_whole(one.until(days[0]), definition)
        first = prepared(one, days[0], definition, home / f"{number}", store).dataset
        assert as_bits(feature_table(first)) == expected


def test_a_new_day_computes_the_last_block_and_a_known_one_none(tmp_path: Path) -> None:
    panel, store, definition = long_panel(), private_store(tmp_path / "store"), full_definition()
    blocks = len(set(block_of(np.arange(990)).tolist()))
    assert prepared(panel, 989, definition, tmp_path, store).computed == blocks
    for day in range(990, 1000):
        assert prepared(panel, day, definition, tmp_path, store).computed == 1
    again = prepared(panel, 995, definition, tmp_path / "again", store)
    assert (again.computed, again.workers) == (0, frozenset())


def test_blocks_that_are_over_do_not_change_with_later_days(tmp_path: Path) -> None:
    """Labels neither: they lie in the block that ends their window."""
    panel, definition = long_panel(), full_definition()
    early, late = (prepared(panel, day, definition, tmp_path).dataset for day in (900, 999))
    over = block_of(np.array([900]))[0]
    kept = [part for part in early.parts if part.name[-18:-8] < np.datetime64(int(over), "D").astype(str)]
    assert len(kept) == len(early.parts) - 2
    assert set(kept) < set(late.parts)


@pytest.mark.parametrize("row", [300, 461, 544, 600, 747, 748, 990])
@pytest.mark.parametrize("name", ["A001", "A005"])
def test_a_changed_price_computes_exactly_the_blocks_whose_windows_hold_it(
    row: int, name: str, tmp_path: Path
) -> None:
    panel, store, definition = long_panel(), private_store(tmp_path / "store"), full_definition()
    prepared(panel, 999, definition, tmp_path / "before", store)
    dates = panel.prices[name][0]
    row = min(row, len(dates) - 1)
    found = prepared(panel.with_price(name, row, 1.001), 999, definition, tmp_path / "after", store)
    assert definition.reach == 252
    assert found.computed == len(set(block_of(dates[row : row + 253]).tolist()))


def test_an_asset_that_did_not_trade_for_years_is_followed_back_to_its_last_rows(tmp_path: Path) -> None:
    dates = np.delete(np.arange(3000, dtype=np.int32), np.s_[260:2900])
    panel, definition = long_panel(), full_definition()
    panel = GrowingPanel({**panel.prices, "BACK": (dates, walks(1, len(dates))["A000"])})
    store = private_store(tmp_path / "store")
    prepared(panel, 2899, definition, tmp_path, store)
    found = prepared(panel, 2905, definition, tmp_path, store)
    assert found.computed == 1
    assert as_bits(feature_table(found.dataset)) == of_the_whole(panel.until(2905), definition)


def test_an_asset_that_is_gone_still_moves_the_market_of_the_block_after_it(tmp_path: Path) -> None:
    """Its prices are not among the later block's rows, but they are in what its cross-section is made of."""
    dates, border = np.arange(600, dtype=np.int32), int(block_of(np.array([450]))[0])
    prices = {name: (dates, close) for name, close in walks(3, 600).items()}
    panel = GrowingPanel({**prices, "GONE": (dates[:border], prices["A000"][1][:border] * 2)})
    store, definition = private_store(tmp_path / "store"), feature_definition(SHORT, TARGET)
    before = prepared(panel, 599, definition, tmp_path / "before", store).dataset
    changed = panel.with_price("GONE", -1, 1.1)
    after = prepared(changed, 599, definition, tmp_path / "after", store)
    assert after.computed == 2
    assert after.dataset.digest == prepared(changed, 599, definition, tmp_path / "alone").dataset.digest
    assert len(set(after.dataset.parts) - set(before.parts)) == 3  # labels of the later block are the same


def test_an_asset_that_comes_late_computes_its_blocks_and_no_earlier_ones(tmp_path: Path) -> None:
    panel, store, definition = long_panel(), private_store(tmp_path / "store"), full_definition()
    without = GrowingPanel({name: held for name, held in panel.prices.items() if name != "A005"})
    prepared(without, 999, definition, tmp_path / "before", store)
    found = prepared(panel, 999, definition, tmp_path / "after", store)
    assert found.computed == len(set(block_of(np.arange(700, 1000)).tolist()))


def test_another_definition_or_environment_shares_no_block(tmp_path: Path) -> None:
    panel, store = long_panel(), private_store(tmp_path / "store")
    every = prepared(panel, 999, full_definition(), tmp_path / "a", store).computed
    fewer = feature_definition(SHORT, TARGET)
    assert prepared(panel, 999, fewer, tmp_path / "b", store).computed == every
    newer = replace(store, environment=Digest("0" * 64))
    assert prepared(panel, 999, fewer, tmp_path / "c", newer).computed == every


def test_days_share_the_files_of_their_rows(tmp_path: Path) -> None:
    panel, store, definition = long_panel(), private_store(tmp_path / "store"), full_definition()
    prepared(panel, 998, definition, tmp_path, store)
    files = Path(store.files.uri)
    before = set(files.iterdir())
    prepared(panel, 999, definition, tmp_path, store)
    assert len(set(files.iterdir()) - before) == 3  # rows, features and labels of the last block


def _prepare_days(root: str, home: str, days: list[int]) -> dict[int, str]:
    panel, store = long_panel(), private_store(Path(root))
    return {
        day: prepared(panel, day, full_definition(), Path(home), store, tasks=3).dataset.digest
        for day in days
    }


def test_processes_that_prepare_at_the_same_time_give_the_same_bytes_and_leave_nothing_else(
    tmp_path: Path,
) -> None:
    days = [999, 940, 910, 870]
    orders = [days, days[::-1], days[2:] + days[:2], days]
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        homes = [str(tmp_path / f"home-{number}") for number in range(4)]
        found = list(pool.map(_prepare_days, [str(tmp_path / "store")] * 4, homes, orders))
    alone = {
        day: prepared(long_panel(), day, full_definition(), tmp_path / "alone").dataset.digest for day in days
    }
    assert found == [alone] * 4
    _require_whole_files(private_store(tmp_path / "store"))
    assert list((tmp_path / "store").rglob(".*")) == []


def _require_whole_files(store: BlockStore) -> None:
    """Whatever has a name in the store is complete; files on their way have a hidden one."""
    for path in Path(store.files.uri).glob("[!.]*"):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    for path in Path(store.records.uri).glob("[!.]*"):
        assert store.find(Digest(path.name)) is not None


def _killed_at_write(number: int, half: bool) -> Callable[[], None]:
    """Let the process be killed at its n-th write: half-way, or when the file has no name yet."""

    def patch() -> None:
        writes, real = count(1), Path.write_bytes

        def write(path: Path, data: bytes) -> int:
            real(path, data[: len(data) // 2])
            last = next(writes) == number
            if last and half:
                os.kill(os.getpid(), signal.SIGKILL)
            written = real(path, data)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return written

        Path.write_bytes = write  # type: ignore[method-assign,assignment]

    return patch


@pytest.mark.parametrize("half", [True, False])
def test_a_preparation_killed_at_any_write_leaves_nothing_half_and_the_next_one_ends_it(
    half: bool, tmp_path: Path
) -> None:
    definition, panel = feature_definition(SHORT, TARGET), GrowingPanel.random(1, assets=3, days=250)
    day = panel.sessions[-1]
    alone = prepared(panel, day, definition, tmp_path / "alone")
    for number in count(1):
        home, store = tmp_path / f"{number}", private_store(tmp_path / f"{number}" / "store")

        def work(home: Path = home, store: BlockStore = store) -> str:
            return prepared(panel, day, definition, home, store).dataset.digest

        try:
            assert in_child(work, before=_killed_at_write(number, half)) == alone.dataset.digest
            break
        except ChildKilled:
            _require_whole_files(store)
            assert work() == alone.dataset.digest
            _require_whole_files(store)
    assert number > 4 * alone.computed  # a file of rows, features and labels, and two records, of each block


def test_a_block_whose_file_is_gone_or_cut_off_is_computed_again(tmp_path: Path) -> None:
    panel, store, definition = long_panel(), private_store(tmp_path / "store"), full_definition()
    first = prepared(panel, 999, definition, tmp_path / "a", store)
    gone, cut = first.dataset.parts[5], first.dataset.parts[8]
    first.dataset.path(gone).unlink()
    first.dataset.path(cut).write_bytes(b"PAR1")
    with pytest.raises(NotFound, match=rf"part {gone.name} .* is missing: run the task that prepares it"):
        list(first.dataset.tables())
    again = prepared(panel, 999, definition, tmp_path / "b", store)
    assert (again.computed, again.dataset.digest) == (2, first.dataset.digest)
    assert sum(table.num_rows for table in again.dataset.tables()) == first.dataset.rows


def _flip_a_bit(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["rows", "features"])
def test_a_file_that_changed_in_its_size_is_removed_by_its_reader_and_made_again(
    kind: str, tmp_path: Path
) -> None:
    """A flipped bit is found by whoever reads it; size alone says nothing to the next preparation."""
    panel, store, definition = long_panel(), private_store(tmp_path / "store"), full_definition()
    dataset = prepared(panel, 999, definition, tmp_path / "a", store).dataset
    damaged = Dataset.open(tmp_path / "a" / "rows-999") if kind == "rows" else dataset
    part = damaged.parts[5]
    _flip_a_bit(damaged.path(part), part.size // 2)
    with pytest.raises(Unavailable, match=rf"part {part.name} .* changed: .* run the task that prepares it"):
        list(damaged.tables())
    with pytest.raises(NotFound, match="run the task that prepares it again"):
        list(damaged.tables())
    again = prepared(panel, 999, definition, tmp_path / "b", store).dataset
    assert again.digest == dataset.digest
    assert list(damaged.tables())
    _require_whole_files(store)


class Kept(LocalObjects):
    """A place where nothing may be removed, as a bucket for workers that read and write alone."""

    def remove(self, name: str) -> None:
        raise InvalidInput("S3 credentials", "AccessDenied", "correct the keys")


def test_a_changed_file_that_may_not_be_removed_is_named_with_its_place(tmp_path: Path) -> None:
    """What matters is that it changed; that it stays there says who has to act."""
    panel, store, definition = long_panel(), private_store(tmp_path / "store"), full_definition()
    dataset = prepared(panel, 999, definition, tmp_path / "a", store).dataset
    part = dataset.parts[5]
    _flip_a_bit(dataset.path(part), part.size // 2)
    assert isinstance(dataset.store, LocalObjects)
    damaged = replace(dataset, store=Kept(dataset.store.root))
    said = rf"part {part.name} .* changed: .*; remove {dataset.store.root}/{part.sha256}, which failed here"
    with pytest.raises(IntegrityError, match=said):
        list(damaged.tables())


def test_a_file_that_is_nobody_elses_is_left_as_it_was_found(tmp_path: Path) -> None:
    rows = write_blocks(long_panel().until(999), tmp_path)
    _flip_a_bit(rows.paths[3], rows.parts[3].size // 2)
    with pytest.raises(IntegrityError, match=rf"part {rows.parts[3].name} .* changed"):
        list(rows.tables())
    assert rows.paths[3].exists()


@given(place=st.integers(0), bit=st.integers(0, 7))
@settings(max_examples=50)
def test_no_bit_of_a_record_changes_unseen(
    place: int, bit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = private_store(tmp_path_factory.mktemp("store"))
    key, value = store.key("test", {"input": 1}), {"sums": {"total": [0.123, 4.56]}, "name": "Zürich"}
    store.record(key, value)
    path = Path(store.records.uri) / key
    data = bytearray(path.read_bytes())
    data[place % len(data)] ^= 1 << bit
    path.write_bytes(data)
    assert store.find(key) is None
    store.record(key, value)
    assert store.find(key) == value


def test_a_changed_digit_of_the_markets_sums_does_not_change_the_next_days_features(tmp_path: Path) -> None:
    """The record is not believed, so the blocks are computed from rows again."""
    panel, store, definition = long_panel(), private_store(tmp_path / "store"), full_definition()
    prepared(panel, 998, definition, tmp_path, store)
    alone = prepared(panel, 999, definition, tmp_path / "alone").dataset
    changed = [path for path in Path(store.records.uri).iterdir() if b'"sums"' in path.read_bytes()]
    assert len(changed) == 2
    for path in changed:
        path.write_bytes(re.sub(rb'("-?)(\d)(\d+")', _with_another_digit, path.read_bytes()))
    assert prepared(panel, 999, definition, tmp_path, store).dataset.digest == alone.digest


def _with_another_digit(number: re.Match[bytes]) -> bytes:
    return number[1] + (b"2" if number[2] == b"1" else b"1") + number[3]


def test_a_record_that_cannot_be_read_is_written_again_and_another_one_is_an_error(tmp_path: Path) -> None:
    store = private_store(tmp_path / "store")
    key = store.key("test", {"input": 1})
    store.record(key, {"result": 1})
    store.record(key, {"result": 1})
    with pytest.raises(IntegrityError, match="is not what the same inputs give now"):
        store.record(key, {"result": 2})
    assert store.find(key) == {"result": 1}
    (Path(store.records.uri) / key).write_bytes(b'{"resu')
    assert store.find(key) is None
    store.record(key, {"result": 1})
    assert store.find(key) == {"result": 1}


def test_a_market_return_out_of_range_is_refused_on_every_date_that_sees_it(tmp_path: Path) -> None:
    from domain.registry.errors import InvalidInput

    panel, store = long_panel(), private_store(tmp_path / "store")
    broken = panel.with_price("A001", 900, 1e305).with_price("A001", 901, 0.0)
    definition: FeatureDefinition = feature_definition(SHORT, TARGET)
    prepared(broken, 899, definition, tmp_path, store)
    for day in (905, 950, 905):
        with pytest.raises(InvalidInput, match="correct the prices"), np.errstate(all="ignore"):
            prepared(broken, day, definition, tmp_path, store)
