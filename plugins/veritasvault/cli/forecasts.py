"""`veritas forecasts`: what champions forecast, as the pipeline score_models kept it."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from veritasvault.cli.options import PATH, json_option
from veritasvault.cli.output import Printer, count, figure, print_json

if TYPE_CHECKING:
    import pyarrow as pa


@click.command()
@click.argument("name", metavar="NAME")
@click.option(
    "--session",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="Those for this session; else for the last one there is.",
)
@click.option(
    "--output", type=PATH, metavar="FILE", help="Write them, .parquet or .csv; FILE must not exist."
)
@json_option
def forecasts(name: str, session: dt.datetime | None, output: Path | None, as_json: bool) -> None:
    """Show what the champion of a name forecast for a session.

    The pipeline score_models made and kept them. Their rows say asset, session,
    forecast and model id; their digest is checked before they are shown.

    \b
    Examples:
      veritas forecasts volatility_forecast
      veritas forecasts volatility_forecast --session 2022-12-28 --output forecasts.parquet
    """
    from domain.risk.scoring.forecast_sets import newest
    from veritasvault.bootstrap import bootstrap

    found = newest(bootstrap().workspace, name, None if session is None else session.date())
    table = found.table()
    if output is not None:
        _write(output, table)
    place = None if output is None else str(output.absolute())
    if as_json:
        rows = [{**row, "date": row["date"].isoformat()} for row in table.to_pylist()]
        print_json(
            {
                "reference": found.reference,
                "model_id": found.model_id,
                "first": found.first,
                "session": found.session,
                "digest": found.digest,
                "path": found.path,
                "output": place,
                "forecasts": rows,
            }
        )
        return
    printer = Printer()
    sessions = found.session if found.first == found.session else f"{found.first} to {found.session}"
    printer.line(f"{found.reference}, {sessions}: {count(found.rows, 'forecast')} in {place or found.path}")
    if output is None:
        printer.line()
        shown = [(row["asset"], row["date"], figure(row["forecast"])) for row in table.to_pylist()]
        printer.table(("asset", "session", "forecast"), shown)


def _write(output: Path, table: pa.Table) -> None:
    from veritasvault.adapters.table_files import new_table

    with new_table("--output", output, table.schema) as write:
        for batch in table.to_batches():
            write(batch)
