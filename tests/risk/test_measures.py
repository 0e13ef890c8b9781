"""Rows with columns beside the price: what features declare to need comes with the rows, nothing else."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain.registry.errors import InvalidInput
from domain.risk.dataset import ROWS_SCHEMA
from domain.risk.features import Panel, feature, feature_definition, lagged, trailing
from domain.risk.features.windows import Floats
from domain.risk.history import all_rows
from domain.risk.look_ahead import probe
from domain.risk.preparation import prepare
from domain.risk.rows import PanelRows, canonical_rows
from tests.risk.feature_panels import values_of
from veritasvault.adapters.gx_validator import GxValidator
from veritasvault.adapters.inline_prep import InlinePrepEngine

HERE = __name__
AS_OF = dt.date(2021, 6, 30)
TARGET = "realised_volatility_5_ahead"


@feature(rows=3, measures=("volume",))
def volume_3(panel: Panel) -> Floats:
    """Volume of three days."""
    return trailing(panel.measure("volume"), 3)


@feature(rows=1, measures=("volume",))
def volume_tomorrow(panel: Panel) -> Floats:
    """Cheats: the volume of the day after."""
    return -lagged(-panel.measure("volume")[::-1], 1)[::-1]


@feature(rows=1)
def undeclared(panel: Panel) -> Floats:
    """Needs what it does not declare."""
    return panel.measure("swaps")


def raw_rows() -> pl.DataFrame:
    """Two assets on 240 days, with two measures, one of which nobody declares."""
    random = np.random.default_rng(5)
    days = pl.date_range(dt.date(2020, 12, 1), dt.date(2021, 7, 28), eager=True)
    return pl.DataFrame(
        {
            "asset": ["A"] * len(days) + ["B"] * len(days),
            "date": pl.concat([days, days]),
            "close": 50 * np.exp(np.cumsum(random.normal(0, 0.01, 2 * len(days)))),
            "volume": np.round(random.lognormal(10, 1, 2 * len(days)), 2),
            "swaps": random.integers(1, 99, 2 * len(days)),
        }
    )


def rows_of(frame: pl.DataFrame, home: Path, measures: tuple[str, ...] = ("volume",)) -> PanelRows:
    home.mkdir()
    frame.write_parquet(home / "raw.parquet")
    return canonical_rows(home / "raw.parquet", AS_OF, None, home / "rows", measures=measures)


def test_rows_have_the_measures_that_are_declared_and_none_without(tmp_path: Path) -> None:
    frame = raw_rows()
    definition = feature_definition([f"{HERE}:volume_3"], TARGET)
    assert definition.measures == ("volume",)
    assert feature_definition(["rv_5"], TARGET).measures == ()
    rows = all_rows(rows_of(frame, tmp_path / "with", definition.measures).dataset)
    kept = frame.filter(pl.col("date") <= AS_OF)
    np.testing.assert_array_equal(rows.measures["volume"], kept["volume"].to_numpy())
    plain = rows_of(frame, tmp_path / "without", ()).dataset
    assert next(plain.tables()).column_names == ROWS_SCHEMA.names
    bare = rows_of(frame.drop("volume", "swaps"), tmp_path / "bare", ()).dataset
    assert plain.digest == bare.digest, "undeclared columns change nothing"


def test_csv_gives_the_same_rows_as_parquet(tmp_path: Path) -> None:
    frame = raw_rows()
    expected = rows_of(frame, tmp_path / "parquet").dataset.digest
    for name, quotes in (("plain", "never"), ("quoted", "always")):
        path = tmp_path / f"{name}.csv"
        frame.write_csv(path, quote_style=quotes)  # type: ignore[arg-type]
        found = canonical_rows(path, AS_OF, None, tmp_path / name, measures=("volume",)).dataset
        assert found.digest == expected


def test_measures_decide_the_digest_up_to_the_as_of_date_alone(tmp_path: Path) -> None:
    frame = raw_rows()
    digests = [
        rows_of(
            frame.with_columns(volume=pl.when(days).then(1.0).otherwise("volume")), tmp_path / name
        ).dataset.digest
        for name, days in (
            ("as it is", pl.lit(False)),
            ("later", pl.col("date") > AS_OF),
            ("earlier", pl.col("date") == dt.date(2021, 1, 5)),
        )
    ]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("volume", "sentence"),
    [
        (pl.lit(None, pl.Float64), "volume of A on 2020-12-01 is None: give a finite number"),
        (pl.lit(float("nan")), "volume of A on 2020-12-01 is nan: give a finite number"),
        (pl.lit("many"), "column volume is 'String': store numbers"),
        (None, "column volume is None: give it once, the file has asset, date, close, swaps"),
    ],
)
def test_a_measure_that_is_none_gets_one_sentence(
    volume: pl.Expr | None, sentence: str, tmp_path: Path
) -> None:
    frame = raw_rows()
    spoiled = frame.drop("volume") if volume is None else frame.with_columns(volume=volume)
    with pytest.raises(InvalidInput, match=sentence):
        rows_of(spoiled, tmp_path / "rows")


def test_text_in_a_measure_of_a_csv_is_named(tmp_path: Path) -> None:
    raw_rows().with_columns(volume=pl.lit("many")).write_csv(tmp_path / "raw.csv")
    with pytest.raises(
        InvalidInput, match="volume of A on 2020-12-01 is 'many': write every volume as a plain"
    ):
        canonical_rows(tmp_path / "raw.csv", AS_OF, None, tmp_path / "rows", measures=("volume",))


def test_a_kernel_that_takes_what_it_does_not_declare_is_told_to(tmp_path: Path) -> None:
    rows = rows_of(raw_rows(), tmp_path / "rows").dataset
    definition = feature_definition([f"{HERE}:volume_3", f"{HERE}:undeclared"], TARGET)
    with pytest.raises(
        InvalidInput, match=r'measures is \'swaps\': declare what a kernel needs: measures=\("swaps",\)'
    ):
        prepare(rows, definition, InlinePrepEngine(), tmp_path / "features")


def test_features_of_measures_are_the_same_however_blocks_are_dealt_out(tmp_path: Path) -> None:
    rows = rows_of(raw_rows(), tmp_path / "rows").dataset
    definition = feature_definition([f"{HERE}:volume_3"], TARGET)
    digests = set()
    for tasks in (1, 3):
        made = prepare(rows, definition, InlinePrepEngine(), tmp_path / f"by-{tasks}", tasks=tasks)
        digests.add(made.dataset.digest)
    assert len(digests) == 1
    volume = raw_rows()["volume"].to_numpy()
    assert values_of(made.dataset)["A", dt.date(2020, 12, 5)] == (volume[4] + volume[3] + volume[2],)
    assert probe(rows, made.dataset, definition)[1] == ()


def test_a_feature_that_sees_tomorrows_measure_is_found(tmp_path: Path) -> None:
    rows = rows_of(raw_rows(), tmp_path / "rows").dataset
    definition = feature_definition([f"{HERE}:volume_tomorrow"], TARGET)
    made = prepare(rows, definition, InlinePrepEngine(), tmp_path / "features").dataset
    _, leaks = probe(rows, made, definition)
    assert any("volume_tomorrow of A" in leak and "depends on rows after" in leak for leak in leaks)


def test_the_validation_expects_the_measures_that_are_declared(tmp_path: Path) -> None:
    rows = rows_of(raw_rows(), tmp_path / "rows").dataset
    definition = feature_definition([f"{HERE}:volume_3"], TARGET)
    made = prepare(rows, definition, InlinePrepEngine(), tmp_path / "features").dataset
    validator = GxValidator(tmp_path / "reports")
    assert validator.validate(rows, made, "told", measures=("volume",)).summary.failures == ()
    (failure,) = validator.validate(rows, made, "not told").summary.failures
    assert failure == (
        "rows: the columns or their types differ: asset (text), date (date), close (number), volume (number)"
    )
