"""Forecasts for the rows of files: what comes out, what is refused, and how much is in memory."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.registry.errors import InvalidInput
from tests.adapters.artifacts import safetensors
from tests.serving.shop import COLUMNS, Shop, predictor
from veritasvault.adapters import table_files
from veritasvault.adapters.table_files import TableFile, csv_on, new_table
from veritasvault.serving.file_forecasts import FileForecasts, Tally
from veritasvault.serving.model import Model
from veritasvault.serving.native_predictors import native_predictor


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Version 1 is ours, 2 is no ONNX, 3 names no columns."""
    made = Shop(tmp_path_factory.mktemp("shop"))
    made.register(1)
    made.register(2, {"model.safetensors": safetensors()})
    made.register(3, {"model.onnx": predictor(3).to_onnx()})
    return made


@pytest.fixture(scope="module")
def model(shop: Shop) -> Model:
    return shop.load("volatility@1")


def rows(number: int) -> pl.DataFrame:
    """Features in another order than the model's, among other columns."""
    some = np.random.default_rng(7).uniform(0.1, 0.5, (number, 3))
    return pl.DataFrame(
        {
            "asset": [f'A"{row},' for row in range(number)],
            "leverage": some[:, 2],
            "rv_1": some[:, 0],
            "date": pl.Series([18_000 + row for row in range(number)]).cast(pl.Date),
            "rv_5": some[:, 1],
        }
    )


def written(frame: pl.DataFrame, place: Path) -> Path:
    frame.write_csv(place) if place.suffix == ".csv" else frame.write_parquet(place)
    return place


def forecast(model: Model, source: Path, output: Path, *, compare: bool = False) -> Tally:
    native = native_predictor(model) if compare else None
    with TableFile("--input", source) as table:
        return FileForecasts(model, native).write(
            table, lambda schema: new_table("--output", output, schema), lambda _: None
        )


@pytest.mark.parametrize("source", ["rows.parquet", "rows.csv"])
@pytest.mark.parametrize("output", ["out.parquet", "out.csv"])
def test_each_row_gets_its_forecast_and_keeps_its_other_columns(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, output: str
) -> None:
    """Over several batches, from and to both types of file, with columns taken by name."""
    monkeypatch.setattr(table_files, "BATCH_ROWS", 7)
    frame = rows(40)
    done = forecast(model, written(frame, tmp_path / source), tmp_path / output)
    assert done.rows == 40
    out = tmp_path / output
    found = pl.read_csv(out, try_parse_dates=True) if out.suffix == ".csv" else pl.read_parquet(out)
    expected = predictor(1).predict(frame.select(COLUMNS).to_numpy())
    np.testing.assert_allclose(found["forecast"].to_numpy(), expected, rtol=1e-12)
    assert found.drop("forecast").cast(pl.String).equals(frame.cast(pl.String))


def test_a_file_without_rows_gives_one_without_forecasts(model: Model, tmp_path: Path) -> None:
    done = forecast(model, written(rows(0), tmp_path / "rows.parquet"), tmp_path / "out.csv")
    assert (done.rows, done.ratio) == (0, None)
    assert (tmp_path / "out.csv").read_text() == '"asset","leverage","rv_1","date","rv_5","forecast"\n'


def test_rows_can_be_printed(model: Model, tmp_path: Path) -> None:
    stream = io.BytesIO()
    with TableFile("--input", written(rows(2), tmp_path / "rows.csv")) as table:
        FileForecasts(model).write(table, lambda schema: csv_on(stream, schema, "--output"), lambda _: None)
    assert len(stream.getvalue().splitlines()) == 3


def test_a_comparison_finds_the_native_predictor_agreeing_and_says_how_long_each_took(
    model: Model, tmp_path: Path
) -> None:
    done = forecast(
        model, written(rows(500), tmp_path / "rows.parquet"), tmp_path / "out.parquet", compare=True
    )
    assert done.onnx > 0
    assert done.native > 0
    assert done.ratio == done.onnx / done.native
    assert done.difference < 1e-12


def test_a_comparison_is_refused_where_only_onnx_is_kept(shop: Shop) -> None:
    """Its graph is not one that a native predictor could be read from."""
    from tests.risk.test_outside import constant

    file = constant(shop.directory / "constant.onnx", 3, 0.2)
    reference = shop.register(9, {"model.onnx": file.read_bytes()}, name="constant")
    with pytest.raises(InvalidInput, match="--compare is 'constant@1': leave it out"):
        native_predictor(shop.load(reference))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (pl.lit(None).alias("rv_5"), r"rv_5 is None: the model needs a finite number, .* row 1"),
        (pl.when(pl.col("rv_5") > 0).then(float("nan")).alias("rv_1"), r"rv_1 is nan: .* row 1"),
        (pl.lit("high").alias("rv_1"), r"rv_1 is 'high': the model needs a finite number"),
        (pl.lit(True).alias("forecast"), "columns is 'forecast': rename it"),
        (pl.lit([1]).alias("other"), "--output is 'CSV': it cannot hold the columns"),
        (pl.col("date").alias("rv_1"), "rv_1 is 'date32.*': give numbers"),
    ],
)
def test_rows_that_the_model_cannot_take_are_named_and_nothing_is_written(
    model: Model, tmp_path: Path, change: pl.Expr, sentence: str
) -> None:
    source = written(rows(3).with_columns(change), tmp_path / "rows.parquet")
    with pytest.raises(InvalidInput, match=sentence):
        forecast(model, source, tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]


def test_the_row_that_is_named_is_counted_from_the_beginning_of_the_file(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_files, "BATCH_ROWS", 4)
    broken = rows(20).with_columns(
        rv_1=pl.when(pl.int_range(pl.len()) == 13).then(pl.lit("n/a")).otherwise(pl.lit("0.1"))
    )
    with pytest.raises(InvalidInput, match=r"rv_1 is 'n/a': .* row 14"):
        forecast(model, written(broken, tmp_path / "rows.csv"), tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("rows.xlsx", b"", r"--input is .*: give a file that ends in \.parquet or \.csv"),
        ("none.csv", None, r"--input is .*: it cannot be read \(No such file"),
        ("rows.parquet", b"asset,rv_1\n", r"--input is .*: it is not Parquet"),
        ("rows.csv", b"", r"--input is .*: it is not CSV in UTF-8 with a header"),
        ("rows.csv", b"rv_1\n\xff\n", r"--input is .*: it is not CSV in UTF-8"),
        ("rows.csv", b"rv_1,rv_5,leverage\n1\n", r"--input is .*: it is not CSV .*Expected 3 columns"),
        ("rows.csv", b"rv_1,rv_1,rv_5,leverage\n1,1,1,1\n", r"columns is \['rv_1'\]: name each"),
        ("rows.csv", b"rv_1,rv_5\n1,1\n", r"columns is .*: give the model's columns too: leverage"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_sentence(
    model: Model, tmp_path: Path, name: str, content: bytes | None, sentence: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=sentence):
        forecast(model, tmp_path / name, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_an_output_that_exists_or_cannot_be_made_is_refused(model: Model, tmp_path: Path) -> None:
    source = written(rows(1), tmp_path / "rows.csv")
    for place, sentence in (
        (source, "it exists"),
        (tmp_path / "no" / "out.csv", "it cannot be written"),
        (tmp_path / "out.txt", "ends in"),
    ):
        with pytest.raises(InvalidInput, match=f"--output is .*{sentence}"):
            forecast(model, source, place)


def test_a_version_that_cannot_be_run_or_names_no_columns_says_so(shop: Shop, tmp_path: Path) -> None:
    source = written(rows(1), tmp_path / "rows.csv")
    for version, sentence in ((2, "it is not one ONNX file"), (3, r"no signature\.json names its columns")):
        with pytest.raises(InvalidInput, match=f"model is 'volatility@{version}': {sentence}"):
            forecast(shop.load(f"volatility@{version}"), source, tmp_path / "out.csv")


@pytest.mark.parametrize("name", ["rows.parquet", "rows.csv"])
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Also where a Parquet file is one row group. Arrow reads 32 blocks of a CSV file ahead."""
    monkeypatch.setattr(table_files, "BATCH_ROWS", 1 << 12)
    monkeypatch.setattr(table_files, "_BUFFER_BYTES", 1 << 16)
    peaks = []
    for times in (2, 8):
        whole = rows(20_000 * times)
        source = tmp_path / f"{times}-{name}"
        if source.suffix == ".csv":
            whole.write_csv(source)
        else:
            pq.write_table(
                whole.to_arrow(),
                source,
                row_group_size=whole.height,
                use_dictionary=False,
                compression="none",
            )
        del whole
        before, most = pa.total_allocated_bytes(), 0
        with TableFile("--input", source) as table:
            for _ in table.batches():
                most = max(most, pa.total_allocated_bytes() - before)
        peaks.append(most)
    assert 0 < peaks[1] < 1.5 * peaks[0]
