"""`veritas predict` and `veritas forecasts`: what they print and how they end."""

from __future__ import annotations

import csv
import datetime as dt

import polars as pl
import pyarrow as pa

from domain.risk.dataset import Dataset, write_part
from domain.risk.scoring.forecast_sets import ForecastSet
from domain.risk.scoring.part_forecasts import SCHEMA
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


def test_the_record_says_whether_a_version_has_an_onnx_form(empty: Console) -> None:
    shop = Shop(empty.directory)
    shop.register(1)
    shop.register(2, {"config.json": b"{}"})
    for reference, form in (("volatility@1", "model.onnx"), ("volatility@2", None)):
        assert empty.run("models", "show", reference, "--json").document["onnx"] == form
    assert "none, veritas predict cannot run it" in empty.run("models", "show", "volatility@2").out


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


def test_forecasts_that_were_kept_are_shown_and_written(empty: Console) -> None:
    """Those of the last session, whole in JSON and in a file."""
    workspace = empty.application().workspace
    day = dt.date(2022, 12, 28)
    rows = {"asset": ["KO"], "date": [day], "forecast": [0.25], "model_id": ["a" * 64]}
    with workspace.scratch() as scratch:
        part = write_part(pa.table(rows), scratch / "forecasts-2022-11-28.parquet", SCHEMA)
        made = Dataset.seal(scratch, [part])
        kept = ForecastSet.keep(workspace, made, "volatility@3", "a" * 64, "2022-12-28", "2022-12-28")
    printed = empty.run("forecasts", "volatility").out
    assert printed.startswith(f"volatility@3, 2022-12-28: 1 forecast in {kept.path}\n")
    assert ["KO", "2022-12-28", "0.25"] in [line.split() for line in printed.splitlines()]
    document = empty.run("forecasts", "volatility", "--output", "out.csv", "--json").document
    assert document["forecasts"] == [{**{name: values[0] for name, values in rows.items()}, "date": f"{day}"}]
    assert (empty.directory / "out.csv").read_text().splitlines()[1] == f'"KO",2022-12-28,0.25,"{"a" * 64}"'
    assert "it exists" in empty.run("forecasts", "volatility", "--output", "out.csv", code=2).sentence
    assert "no forecasts" in empty.run("forecasts", "volatility", "--session", "2022-12-27", code=1).sentence
