"""`veritas models card`: the model card of a version, to read, to print or to hand on."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from veritasvault.cli.models import row_document, write_new
from veritasvault.cli.options import PATH, json_option, reference_argument
from veritasvault.cli.output import Printer, print_json


@click.command("card")
@reference_argument
@click.option("--html", type=PATH, metavar="FILE", help="Write one HTML page instead; FILE must not exist.")
@json_option
def card(reference: str, html: Path | None, as_json: bool) -> None:
    """Show the model card of a version.

    Purpose, data, training, performance, limits, gates, approvals and proof, with all that the ledger
    says of the version by now, as Markdown. The HTML page has the plots in it and needs nothing else.
    REF is a model id, NAME@VERSION or NAME@latest.

    \b
    Examples:
      veritas models card volatility_forecast@latest
      veritas models card volatility_forecast@latest --html card.html
      veritas models card volatility_forecast@3 > card.md
    """
    from domain.registry.card import to_html, to_markdown
    from veritasvault.bootstrap import bootstrap

    application = bootstrap()
    row = application.catalog.resolve(reference)
    made = application.cards.card(f"{row.name}@{row.version}")
    if html is not None:
        write_new("--html", html, to_html(made).encode())
    if as_json:
        empty = [section.key for section in made.sections if not section.blocks]
        file = None if html is None else str(html.absolute())
        print_json({**row_document(row), "markdown": to_markdown(made), "empty": empty, "file": file})
    elif html is not None:
        Printer().line(f"The card of {row.name}@{row.version} is in {html}")
    else:
        _print(to_markdown(made))


def _print(text: str) -> None:
    """Markdown as it stands, so that it can be piped; rendered if there is a terminal to render it on."""
    if not sys.stdout.isatty():
        sys.stdout.write(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console(emoji=False, highlight=False).print(Markdown(text, hyperlinks=False))
