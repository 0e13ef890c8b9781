"""Generated flows of vaults: the same seed gives the same rows, and attacks bend what they are said to."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain.registry.canonical import digest
from domain.registry.errors import InvalidInput
from domain.risk.expectations import PriceChecks
from domain.risk.price_anomalies import with_price_anomalies
from domain.risk.vaults.attacks import ATTACKS, DRAIN, LENGTHS, ORACLE, QUIET_DAYS, WASH
from domain.risk.vaults.flows import FIRST_DAY, LAST_DAY, MEASURES, VAULTS, vault_flows
from veritasvault.adapters.uri_source import UriSource


@pytest.fixture(scope="module")
def flows() -> pl.DataFrame:
    return vault_flows(7)


def test_a_seed_gives_one_table_and_another_seed_another() -> None:
    last = dt.date(2018, 12, 31)
    one, again, other = (vault_flows(seed, 3, last=last) for seed in (7, 7, 8))
    assert one.equals(again)
    assert not one.equals(other)


def test_there_is_a_row_for_each_vault_and_day_and_every_number_is_finite(flows: pl.DataFrame) -> None:
    assert flows.columns == ["asset", "date", "close", *MEASURES]
    assert flows.height == VAULTS * ((LAST_DAY - FIRST_DAY).days + 1)
    assert flows.equals(flows.sort("asset", "date"))
    numbers = flows.drop("asset", "date").to_numpy()
    assert np.isfinite(numbers).all()
    assert (flows.drop("asset", "date", "attack").to_numpy() > 0).all()


def test_prices_have_no_jump_that_looks_like_a_split_and_never_stand_still(flows: pl.DataFrame) -> None:
    """Data validation has nothing to find fault with."""
    found = with_price_anomalies(flows.select("asset", "date", "close"), PriceChecks())
    assert found.select(pl.col("split_jump").abs().max(), pl.col("stale_sessions").max()).row(0) == (0.0, 0)


def test_the_base_has_heavy_tails_a_week_and_regimes(flows: pl.DataFrame) -> None:
    calm = flows.filter(pl.col("attack") == 0)
    returns = calm.select(pl.col("close").log().diff().over("asset").alias("r")).drop_nulls()["r"].to_numpy()
    assert np.mean((returns - returns.mean()) ** 4) / returns.var() ** 2 > 4.0, "a normal's kurtosis is 3"
    weekend = calm.group_by(pl.col("date").dt.weekday() > 5).agg(pl.col("volume").median()).sort("date")
    working, off = weekend["volume"]
    assert off < 0.85 * working
    spread = (
        calm.with_columns(r=pl.col("close").log().diff().over("asset"))
        .group_by("date")
        .agg(s=pl.col("r").std())
    )
    assert spread["s"].quantile(0.95) > 1.8 * spread["s"].quantile(0.3)  # type: ignore[operator]


def test_attacks_are_labelled_rare_and_as_long_as_said(flows: pl.DataFrame) -> None:
    assert 0.005 < (flows["attack"] > 0).mean() < 0.015  # type: ignore[operator]
    assert flows.filter(pl.col("date") < FIRST_DAY + dt.timedelta(QUIET_DAYS))["attack"].sum() == 0
    runs = flows.with_columns(run=pl.struct("asset", "attack").rle_id()).group_by("run", "attack").len()
    for kind in range(1, len(ATTACKS) + 1):
        lengths = runs.filter(pl.col("attack") == kind)["len"]
        assert lengths.len() >= 20
        assert lengths.is_between(*LENGTHS[kind]).all()


def test_each_kind_bends_its_own_measures(flows: pl.DataFrame) -> None:
    """Medians on the days of an attack beside those of ordinary days of all vaults."""
    shown = flows.with_columns(
        each=pl.col("volume") / pl.col("counterparties"),
        taken=pl.col("withdrawals") / pl.col("balance").shift().over("asset"),
        gap=(pl.col("oracle") / pl.col("close")).log().abs(),
    )
    usual = {name: shown.filter(pl.col("attack") == 0)[name].median() for name in ("each", "taken", "gap")}
    for kind, name, times in ((WASH, "each", 2.5), (ORACLE, "gap", 20.0), (DRAIN, "taken", 8.0)):
        bent = shown.filter(pl.col("attack") == kind)[name].median()
        assert bent > times * usual[name], (ATTACKS[kind - 1], name)  # type: ignore[operator]


@pytest.mark.parametrize(("seed", "vaults"), [(-1, 3), (2**32, 3), (7, 0)])
def test_what_cannot_be_generated_is_one_sentence(seed: int, vaults: int) -> None:
    with pytest.raises(InvalidInput, match="give "):
        vault_flows(seed, vaults)


def test_the_source_writes_the_same_bytes_and_does_not_grow(flows: pl.DataFrame, tmp_path: Path) -> None:
    source, uri = UriSource(), "sample://vault_flows/7"
    path = source.fetch(uri, tmp_path)
    assert path.name == "vault_flows_7.parquet"
    assert pl.read_parquet(path).cast({"asset": pl.String}).equals(flows)
    assert not source.grows(uri)
    once = digest(path.read_bytes())
    assert digest(source.fetch(uri, tmp_path / "again").read_bytes()) == once
