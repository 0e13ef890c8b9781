"""The probe finds features that see the future, and only those."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from domain.registry.errors import IntegrityError, InvalidInput
from domain.risk.dataset import Dataset, write_part
from domain.risk.features import FeatureDefinition, feature_definition
from domain.risk.look_ahead import probe
from domain.risk.preparation import prepare
from tests.risk.feature_panels import TARGET, full_definition, sample_rows, walks, write_rows
from veritasvault.adapters.inline_prep import InlinePrepEngine

LEAKS = """
import numpy as np
from domain.risk.features import feature, lagged, trailing

@feature(rows=3)
def centred(panel):
    "Two rows back and two ahead."
    mean = trailing(panel.returns, 5) / 5
    return np.append(mean[2:], mean[-2:])

@feature(rows=2)
def next_return(panel):
    return np.append(panel.returns[1:], 0.0)

@feature(rows=2)
def standardised(panel):
    "A z-score over the whole sample."
    known = panel.position > 0
    return (panel.returns - panel.returns[known].mean()) / panel.returns[known].std()

@feature(rows=2)
def survival(panel):
    "How many rows are still to come."
    return np.arange(len(panel), 0, -1.0)

@feature(rows=2)
def expanding(panel):
    "Sees all of the past: no look-ahead, but more than its window."
    return panel.position.astype(float)

@feature(rows=3)
def short(panel):
    "Declares 3 rows and uses 300."
    return trailing(panel.close, 300, combine=np.maximum)

@feature(rows=2, of_market=True)
def market_ahead(panel):
    return np.append(panel.returns[1:], 0.0)
"""


@pytest.fixture
def leaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leaks.py").write_text(LEAKS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "leaks", raising=False)


@pytest.fixture
def rows(tmp_path: Path) -> Dataset:
    return write_rows(walks(11, 700), tmp_path / "rows")


def _schema(table: pa.Table) -> pa.Schema:
    return table.schema.set(0, pa.field("asset", pa.string()))


def _prepared(rows: Dataset, definition: FeatureDefinition) -> Dataset:
    return prepare(rows, definition, InlinePrepEngine(), rows.root.parent / "features").dataset


def test_our_own_features_do_not_look_ahead_on_the_real_panel(tmp_path: Path) -> None:
    rows = sample_rows(tmp_path / "rows")
    sessions, violations = probe(rows, _prepared(rows, full_definition()), full_definition(), probes=5)
    assert (len(sessions), violations) == (5, ())
    assert list(sessions) == sorted(set(sessions))


def test_the_features_of_assets_with_gaps_and_different_lives_do_not_look_ahead(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    prices, dates = {}, {}
    for number, (name, close) in enumerate(walks(10, 900).items()):
        days = np.arange(40 * number, 900 - 20 * (number % 4), dtype=np.int32)
        days = days[random.random(len(days)) > 0.02 * number]
        prices[name], dates[name] = close[days], days
    rows = write_rows(prices, tmp_path / "rows", dates)
    for seed in range(5):
        assert probe(rows, _prepared(rows, full_definition()), full_definition(), seed=seed)[1] == ()


@pytest.mark.parametrize("name", ["centred", "next_return", "standardised", "survival", "market_ahead"])
@pytest.mark.usefixtures("leaks")
def test_a_feature_that_sees_the_future_is_named_with_an_asset_and_a_date(rows: Dataset, name: str) -> None:
    definition = feature_definition(["rv_21", f"leaks:{name}", "market_vol_5"], TARGET)
    sessions, violations = probe(rows, _prepared(rows, definition), definition)
    assert len(violations) == len(sessions) == 3
    for session, violation in zip(sessions, violations, strict=True):
        assert violation.startswith(f"feature {name} of A000 on 19")
        assert f"depends on rows after {session}" in violation


@pytest.mark.usefixtures("leaks")
def test_a_feature_that_sees_more_past_than_its_window_is_named(rows: Dataset) -> None:
    definition = feature_definition(["leaks:expanding", "rv_21"], TARGET)
    _, violations = probe(rows, _prepared(rows, definition), definition)
    assert len(violations) == 3
    assert all("feature expanding of A000" in v and "outside its window of 2" in v for v in violations)


@pytest.mark.usefixtures("leaks")
def test_a_feature_that_declares_too_few_rows_is_named(rows: Dataset) -> None:
    """Its first values reach into the asset before it, that is, into that asset's last and latest rows."""
    definition = feature_definition(["leaks:short", "rv_21"], TARGET)
    _, violations = probe(rows, _prepared(rows, definition), definition)
    assert len(violations) == 3
    assert all(violation.startswith("feature short of A0") for violation in violations)


def test_a_cell_that_is_not_what_the_rows_give_is_found(rows: Dataset) -> None:
    """Whoever made the feature set with later data than its definition allows cannot hide it."""
    definition = feature_definition(["rv_5", "rv_21"], TARGET)
    features = _prepared(rows, definition)
    forged = []
    for part, table in zip(features.parts, features.tables(), strict=True):
        if "rv_21" in table.column_names:
            table = table.set_column(3, "rv_21", pa.array(table.column("rv_21").to_numpy() * (1 + 1e-15)))
        forged.append(write_part(table, features.root / part.name, _schema(table)))
    _, violations = probe(rows, Dataset.seal(features.root, forged), definition)
    assert len(violations) == 3
    assert all(violation.startswith("feature rv_21 of A000") for violation in violations)


def test_a_row_too_few_is_found(rows: Dataset) -> None:
    definition = feature_definition(["rv_5"], TARGET)
    features = _prepared(rows, definition)
    shorter = []
    for part, table in zip(features.parts, features.tables(), strict=True):
        known = table.filter(pc.field("asset") != "A003") if "rv_5" in table.column_names else table
        shorter.append(write_part(known, features.root / part.name, _schema(table)))
    _, violations = probe(rows, Dataset.seal(features.root, shorter), definition)
    assert len(violations) == 3
    assert all("has other rows" in violation for violation in violations)


def test_a_feature_set_of_other_rows_is_refused(rows: Dataset) -> None:
    definition = feature_definition(["rv_5"], TARGET)
    features = _prepared(rows, definition)
    with pytest.raises(InvalidInput, match="prepared from these rows"):
        probe(rows, replace(features, parts=features.parts[:1]), definition)


def test_a_changed_part_is_found_before_it_is_probed(rows: Dataset) -> None:
    definition = feature_definition(["rv_5"], TARGET)
    features = _prepared(rows, definition)
    rows.paths[1].write_bytes(rows.paths[1].read_bytes() + b"x")
    with pytest.raises(IntegrityError, match=r"part 1970-03-23\.parquet"):
        probe(rows, features, definition)
