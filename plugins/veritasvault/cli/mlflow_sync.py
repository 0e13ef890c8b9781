"""`veritas mlflow`: let MLflow's model registry say what the ledger says."""

from __future__ import annotations

import click

from veritasvault.cli.failures import BAD
from veritasvault.cli.options import json_option
from veritasvault.cli.output import Printer, Styled, count, print_json


@click.group()
def mlflow() -> None:
    """MLflow as a mirror of the ledger: sync."""


@mlflow.command("sync")
@click.option(
    "--new", "only_new", is_flag=True, help="Only what the ledger has got since; compare nothing older."
)
@json_option
@click.pass_context
def sync(context: click.Context, only_new: bool, as_json: bool) -> None:
    """Write versions, tags and aliases from the ledger to MLflow.

    Each version of the ledger becomes one version of a registered model; the aliases champion and
    challenger follow the ledger, so that models:/NAME@champion loads the champion. Doing it again changes
    nothing; what people changed by hand is set right. The server is that of VERITAS_REGISTRY, or of
    VERITAS_TRACKING if the registry is not MLflow; then models are copied to it. Exit code 1 if a version
    could not be written.

    \b
    Examples:
      veritas mlflow sync
      veritas mlflow sync --new --json
    """
    from veritasvault.bootstrap import bootstrap

    done = bootstrap().mlflow_projector.sync(everything=not only_new)
    if as_json:
        print_json(
            {
                "cursor": done.cursor,
                "created": done.created,
                "mended": done.mended,
                "problems": done.problems,
            }
        )
    else:
        printer = Printer()
        printer.line(
            f"MLflow follows the ledger up to entry {done.cursor}:",
            f"{count(len(done.created), 'version')} created, {len(done.mended)} mended",
        )
        for reference in done.created:
            printer.line("created", reference)
        for what in done.mended:
            printer.line(Styled("mended", "unsure"), what)
        for problem in done.problems:
            printer.line(Styled("problem", "bad"), problem)
    if done.problems:
        context.exit(BAD)
