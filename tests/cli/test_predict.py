"""`veritas predict`: what it prints and how it ends."""

from __future__ import annotations

import csv

import polars as pl

from tests.cli.console import Console
from tests.serving.shop import COLUMNS, ROWS, Shop, predictor


def test_rows_get_forecasts_in_a_file_or_on_standard_output(empty: Console) -> None:
    """The version is resolved and verified, and a comparison's ratio is printed."""
    Shop(empty.directory).register(1)
    pl.DataFrame(ROWS, schema=COLUMNS).with_columns(asset=pl.lit("KO")).write_csv(empty.directory / "in.csv")
    printed = empty.run("predict", "volatility@latest", "--input", "in.csv")
    header, *rows = csv.reader(printed.out.splitlines())
    assert header == [*COLUMNS, "asset", "forecast"]
    expected = [float(value) for value in predictor(1).predict(ROWS)]
    assert [round(float(row[-1]), 9) for row in rows] == [round(value, 9) for value in expected]
    assert printed.err == "volatility@1 verified: 2 forecasts\n"

    arguments = ("predict", "volatility@1", "--input", "in.csv", "--compare")
    document = empty.run(*arguments, "--output", "out.parquet", "--json").document
    assert (document["reference"], document["rows"]) == ("volatility@1", 2)
    assert set(document["comparison"]) == {"onnx_seconds", "native_seconds", "ratio", "difference"}
    assert pl.read_parquet(document["output"]).columns == header
    assert "of the native predictor's time" in empty.run(*arguments, "--output", "again.csv").out


def test_a_version_that_was_changed_forecasts_nothing(empty: Console) -> None:
    """It is found before the model is opened, and no output appears."""
    Shop(empty.directory).register(1)
    pl.DataFrame(ROWS, schema=COLUMNS).write_csv(empty.directory / "in.csv")
    (file,) = (empty.home / "registry" / "models").glob("*/artifact/model.onnx")
    file.chmod(0o600)
    file.write_bytes(file.read_bytes().replace(b"veritasvault", b"Veritasvault"))
    answer = empty.run("predict", "volatility@1", "--input", "in.csv", "--output", "out.csv", code=1)
    assert "model.onnx" in answer.sentence
    assert not (empty.directory / "out.csv").exists()
