"""`veritas predict`: forecasts of a verified version for the rows of a file."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from veritasvault.cli.options import PATH, json_option, reference_argument
from veritasvault.cli.output import Printer, Progress, count, print_json

if TYPE_CHECKING:
    from veritasvault.serving.file_forecasts import FileForecasts, Tally
    from veritasvault.serving.model import Model


@click.command()
@reference_argument
@click.option(
    "--input", "source", type=PATH, metavar="FILE", required=True, help="The rows, .parquet or .csv."
)
@click.option(
    "--output",
    type=PATH,
    metavar="FILE",
    help="Where rows and forecasts go, .parquet or .csv; FILE must not exist. Else CSV is printed.",
)
@click.option("--compare", is_flag=True, help="Say how fast ONNX Runtime is beside the native predictor.")
@json_option
def predict(reference: str, source: Path, output: Path | None, compare: bool, as_json: bool) -> None:
    """Forecast the rows of a file by a version, verified before it is opened.

    The file has the columns that the version's signature.json names, in whatever
    order; its other columns, such as asset and date, are carried through. ONNX
    Runtime computes, on one thread, in batches, so the file may be of any size.
    REF is a model id, NAME@VERSION, NAME@champion or NAME@latest.

    \b
    Examples:
      veritas predict volatility_forecast@champion --input features.parquet --output forecasts.parquet
      veritas predict volatility_forecast@7 --input features.csv > forecasts.csv
      veritas predict volatility_forecast@7 --input features.csv --output out.csv --compare --json
    """
    from domain.registry.errors import InvalidInput
    from veritasvault.adapters.table_files import require_type
    from veritasvault.bootstrap import CACHE_BYTES, bootstrap
    from veritasvault.serving.file_forecasts import FileForecasts
    from veritasvault.serving.native_predictors import native_predictor

    if as_json and output is None:
        raise InvalidInput("--output", None, "give a file, --json prints what was done and not the rows")
    for option, file in (("--input", source), ("--output", output)):
        if file is not None:
            require_type(option, file)
    with bootstrap().model_loader(None, CACHE_BYTES).load(reference) as model:
        native = native_predictor(model) if compare else None
        tally = _write(FileForecasts(model, native), source, output)
        document = _document(model, output, tally)
    if as_json:
        print_json(document)
    else:
        # Standard output may be the rows.
        _print(Printer(sys.stderr if output is None else sys.stdout), document)


def _write(forecasts: FileForecasts, source: Path, output: Path | None) -> Tally:
    from veritasvault.adapters.table_files import TableFile, csv_on, new_table

    def opened(schema: Any) -> AbstractContextManager[Any]:
        if output is None:
            return csv_on(sys.stdout.buffer, schema, "--output")
        return new_table("--output", output, schema)

    with TableFile("--input", source) as table, Progress() as progress:
        total = "" if table.rows is None else f" of {table.rows:,}"
        return forecasts.write(table, opened, lambda rows: progress.show(f"{rows:,}{total} rows"))


def _document(model: Model, output: Path | None, tally: Tally) -> dict[str, Any]:
    raced = {
        "onnx_seconds": tally.onnx,
        "native_seconds": tally.native,
        "ratio": tally.ratio,
        "difference": tally.difference,
    }
    return {
        "reference": f"{model.name}@{model.version}",
        "model_id": model.model_id,
        "rows": tally.rows,
        "output": None if output is None else str(output.absolute()),
        "comparison": None if tally.ratio is None else raced,
    }


def _print(printer: Printer, done: dict[str, Any]) -> None:
    place = "" if done["output"] is None else f", in {done['output']}"
    printer.line(f"{done['reference']} verified: {count(done['rows'], 'forecast')}{place}")
    race = done["comparison"]
    if race is not None:
        printer.line(
            f"ONNX Runtime took {race['ratio']:.2f} of the native predictor's time "
            f"({race['onnx_seconds']:.3g} s and {race['native_seconds']:.3g} s); the largest relative "
            f"difference of a forecast is {race['difference']:.1e}"
        )
