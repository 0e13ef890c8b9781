"""`veritas metrics`: figures on champions, ledger and audits, as Prometheus reads them."""

from __future__ import annotations

import sys

import click

from veritasvault.cli.options import json_option
from veritasvault.cli.output import print_json


@click.command()
@json_option
def metrics(as_json: bool) -> None:
    """Print figures for Prometheus, for a textfile collector or a scrape.

    For each model: versions, the champion's version, age in days and deadline, whether it is overdue, and
    whether promotions are halted; entries of the ledger, and when the last audit was and whether it found
    everything as it was registered.

    \b
    Examples:
      veritas metrics > veritas.prom
      veritas metrics --json
    """
    from domain.registry.inventory.gauges import HELP
    from veritasvault.bootstrap import bootstrap
    from veritasvault.prometheus_text import PREFIX, prometheus_text

    found = bootstrap().gauges()
    if as_json:
        listed = [
            {
                "name": f"{PREFIX}{gauge.name}",
                "labels": dict(gauge.labels),
                "value": gauge.value,
                "help": HELP[gauge.name],
            }
            for gauge in found
        ]
        print_json({"metrics": listed})
    else:
        sys.stdout.write(prometheus_text(found))
