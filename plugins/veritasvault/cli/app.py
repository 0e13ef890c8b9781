"""The console command `veritas`: its commands, its version, and its way out."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from veritasvault.cli.backfill import backfill
from veritasvault.cli.card import card
from veritasvault.cli.doctor import doctor
from veritasvault.cli.evaluate import evaluate
from veritasvault.cli.failures import run
from veritasvault.cli.forecasts import forecasts
from veritasvault.cli.garbage import gc
from veritasvault.cli.keys import keys
from veritasvault.cli.ledger import ledger
from veritasvault.cli.lifecycle import commands as lifecycle_commands
from veritasvault.cli.metrics import metrics
from veritasvault.cli.migrate import migrate
from veritasvault.cli.mlflow_sync import mlflow
from veritasvault.cli.models import models
from veritasvault.cli.monitor import monitor
from veritasvault.cli.options import CONTEXT, PATH
from veritasvault.cli.policy import policy
from veritasvault.cli.predict import predict
from veritasvault.cli.proof import export_proof, verify_proof
from veritasvault.cli.register import register
from veritasvault.cli.reproduce import reproduce
from veritasvault.cli.verify import verify
from veritasvault.quick_end import end_at_once


def _version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"veritas {version('veritasvault')}\n")
        context.exit()


@click.group(context_settings=CONTEXT)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_version,
    help="Print the version and exit.",
)
@click.option(
    "--token-file",
    type=PATH,
    metavar="FILE",
    help="Where the token is that says who you are, instead of VERITAS_TOKEN_FILE.",
)
def veritas(token_file: Path | None) -> None:
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
    if token_file is not None:
        # The composition root reads settings from here, for every command alike.
        os.environ["VERITAS_TOKEN_FILE"] = str(token_file)


models.add_command(card)
COMMANDS = (
    *(models, verify, register, evaluate, predict, forecasts),
    *lifecycle_commands(),
    *(reproduce, monitor, ledger, keys, policy, export_proof, verify_proof),
    *(backfill, mlflow, migrate, gc, metrics, doctor),
)
for command in COMMANDS:
    veritas.add_command(command)


def main() -> None:
    """Entry point of the console script."""
    end_at_once()
    sys.exit(run(veritas, sys.argv[1:]))
