"""The arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

RefArgument = Annotated[
    str,
    typer.Argument(metavar="REF", help="A model id, NAME@VERSION or NAME@latest.", show_default=False),
]

JsonOption = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, with stable keys, and nothing else.")
]

HELP = {"help_option_names": ["-h", "--help"]}
"""Context settings of every command and group."""
