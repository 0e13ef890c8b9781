"""Blocks that nobody uses are found and removed, and nothing that a dataset lists or a run has just used."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from pathlib import Path

import pytest

from domain.registry.canonical import digest
from domain.risk.block_store import FILES, RECORDS, BlockStore
from domain.risk.dataset import Dataset
from domain.risk.features import feature_definition
from domain.risk.preparation import prepare
from domain.risk.row_blocks import write_blocks
from tests.risk.feature_panels import TARGET
from tests.risk.growing_panels import GrowingPanel
from veritasvault.adapters.block_leftovers import BlockLeftovers
from veritasvault.adapters.inline_prep import InlinePrepEngine
from veritasvault.bootstrap import bootstrap

LONG_AGO = (0, 0)


class Home:
    """A workspace with the rows and the features of one panel, made through its blocks."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.panel = GrowingPanel.random(3)
        self.store = BlockStore.below(root / "blocks", digest(b"an environment"))
        self.leftovers = BlockLeftovers(root, root / "blocks")

    def run(self, name: str = "1" * 64) -> tuple[Dataset, Dataset]:
        last, definition = self.panel.sessions[-1], feature_definition(["rv_5"], TARGET)
        rows = write_blocks(self.panel.until(last), self.root / "rows" / name, self.store)
        place = self.root / "features" / name
        return rows, prepare(rows, definition, InlinePrepEngine(), place, store=self.store).dataset

    def files(self) -> set[Path]:
        return {path for kind in (FILES, RECORDS) for path in (self.root / "blocks" / kind).iterdir()}

    def age(self) -> None:
        for path in self.files():
            os.utime(path, LONG_AGO)

    def forget(self) -> None:
        """Remove the datasets, as gc does that finds nobody has taken them up for long."""
        shutil.rmtree(self.root / "rows")
        shutil.rmtree(self.root / "features")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "workspace")


def test_what_a_dataset_lists_stays_whatever_its_age(home: Home) -> None:
    """Also for a registered model, whose rows `veritas gc` keeps; records may go and cost a look."""
    assert list(home.leftovers.leftovers()) == []
    rows, features = home.run()
    home.age()
    found = list(home.leftovers.leftovers())
    assert {left.kind for left in found} == {"record of blocks"}
    for left in found:
        home.leftovers.remove_leftover(left)
    assert sum(table.num_rows for table in rows.tables()) == rows.rows
    assert sum(table.num_rows for table in features.tables()) == features.rows
    assert [dataset.digest for dataset in home.run("2" * 64)] == [rows.digest, features.digest]


def test_what_no_dataset_lists_is_as_old_as_its_last_use_and_is_made_again_if_it_went(home: Home) -> None:
    before = [dataset.digest for dataset in home.run()]
    (home.root / "blocks" / FILES / ".0123").write_bytes(b"half of a block")
    home.age()
    home.forget()
    found = list(home.leftovers.leftovers())
    assert {Path(left.name) for left in found} == home.files()
    assert {left.kind for left in found} == {"block", "record of blocks"}
    assert all(left.modified == dt.datetime.fromtimestamp(0, dt.UTC) for left in found)
    for left in [*found, *found]:
        home.leftovers.remove_leftover(left)
    assert home.files() == set()
    assert [dataset.digest for dataset in home.run()] == before


def test_a_run_that_uses_a_block_makes_it_young_and_keeps_it_from_who_had_seen_it_old(home: Home) -> None:
    home.run()
    home.age()
    home.forget()
    seen = list(home.leftovers.leftovers())
    rows, features = home.run()
    for left in seen:
        home.leftovers.remove_leftover(left)
    listed = {part.sha256 for dataset in (rows, features) for part in dataset.parts}
    assert listed <= {path.name for path in home.files()}
    young = dt.datetime.now(dt.UTC) - dt.timedelta(minutes=5)
    used = [path for path in home.files() if path.name in listed]
    assert all(dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC) > young for path in used)


def test_blocks_are_collected_with_what_runs_left_and_not_without(tmp_path: Path) -> None:
    """By `veritas gc --features`, after the grace period."""
    application = bootstrap({"VERITAS_HOME": str(tmp_path)})
    home = Home(application.settings.workspace)
    home.run()
    home.forget()
    days = dt.timedelta(days=7)
    assert application.garbage_collection().look(dt.timedelta()).garbage == ()
    young = application.garbage_collection(features=True).look(days)
    assert young.garbage == ()
    assert len(young.spared) == len(home.files()) > 0
    home.age()
    collected = application.garbage_collection(features=True).run({"actor": "test"}, days).garbage
    assert {one.kind for one in collected} == {"block", "record of blocks"}
    assert home.files() == set()
