"""The console command `veritas`: its groups, its version, and its way out."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from veritasvault.cli import doctor, ledger, models, register, verify
from veritasvault.cli.failures import GOOD, run
from veritasvault.cli.options import HELP

app = typer.Typer(
    name="veritas",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)
app.add_typer(models.app, name="models")
app.command("verify", context_settings=HELP)(verify.verify)
app.command("register", context_settings=HELP)(register.register)
app.add_typer(ledger.app, name="ledger")
app.command("doctor", context_settings=HELP)(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"veritas {version('veritasvault')}\n")
        raise typer.Exit


@app.callback()
def veritas(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """The registry of models that can prove what it holds.

    \b
    Exit codes: 0 good; 1 the answer is bad (tampered, refused, not found,
    not available); 2 wrong usage or input. Settings are environment
    variables, VERITAS_HOME among them; see: veritas doctor

    \b
    Examples:
      veritas models list
      veritas models show volatility_forecast@latest
      veritas verify --all
    """


def main() -> None:
    """Entry point of the console script."""
    arguments = sys.argv[1:]

    def command() -> int:
        return app(args=arguments, prog_name="veritas", standalone_mode=False) or GOOD

    sys.exit(run(command, arguments))
