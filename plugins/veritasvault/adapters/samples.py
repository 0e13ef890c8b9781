"""Samples of raw data that need no store: prices that a package ships, and generated flows of vaults."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import polars as pl
import pyarrow as pa

from domain.registry.errors import InvalidInput
from domain.risk.dataset import ROWS_SCHEMA, rows_schema, write_part

PRICES, FLOWS = "sample://sp500", "sample://vault_flows/"
"""The addresses; a seed follows the second one, as an address with a question mark may hold a secret."""

_PACKAGED = Path("datasets") / "data" / "sp500_dataset.csv.gz"


def sample_name(uri: str) -> str:
    """The name of the file for a sample.

    Raises:
        InvalidInput: no such sample, or its seed is none.
    """
    if uri == PRICES:
        return "sp500.parquet"
    return f"vault_flows_{_seed(uri)}.parquet"


def write_sample(uri: str, path: Path) -> None:
    """Write a sample as Parquet; the same address gives the same bytes.

    Raises:
        InvalidInput: no such sample, or the package that ships it is missing.
    """
    if uri == PRICES:
        write_part(_long(pl.read_csv(_packaged(uri), try_parse_dates=True)).to_arrow(), path, ROWS_SCHEMA)
        return
    from domain.risk.vaults.flows import MEASURES, vault_flows

    flows: pa.Table = vault_flows(_seed(uri)).to_arrow()
    write_part(flows, path, rows_schema(MEASURES))


def _seed(uri: str) -> int:
    seed = uri.removeprefix(FLOWS)
    if not uri.startswith(FLOWS):
        raise InvalidInput("source", uri, f"use {PRICES} or {FLOWS}SEED, the samples there are")
    # Longer numbers are more than any seed, and Python refuses to read very long ones.
    if not (seed.isascii() and seed.isdigit() and len(seed) <= 10 and int(seed) < 2**32):
        raise InvalidInput("source", uri, f"write {FLOWS} and a whole number below 2**32, such as {FLOWS}7")
    return int(seed)


def _packaged(uri: str) -> Path:
    """Read as a file, for importing skfolio is slow."""
    found = importlib.util.find_spec("skfolio")
    for folder in (found.submodule_search_locations or ()) if found else ():
        if (Path(folder) / _PACKAGED).is_file():
            return Path(folder) / _PACKAGED
    raise InvalidInput("source", uri, "install the package skfolio, which ships this panel")


def _long(wide: pl.DataFrame) -> pl.DataFrame:
    """One row per asset and date, from one column per asset; cells without a price are left out."""
    long = wide.unpivot(index="Date", variable_name="asset", value_name="close").rename({"Date": "date"})
    return long.drop_nulls("close").sort("asset", "date")
