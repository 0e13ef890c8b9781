"""The arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from veritasvault.bootstrap import ENGINES

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""Settings of the root command; groups and commands inherit them."""

PATH = click.Path(path_type=Path)
"""A path as it was written; whether it exists is for the domain to say."""

engine_option = click.option(
    "--engine",
    type=click.Choice(ENGINES),
    default="inline",
    show_default=True,
    help="What prepares the features.",
)
reference_argument = click.argument("reference", metavar="REF")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document, with stable keys, and nothing else."
)
