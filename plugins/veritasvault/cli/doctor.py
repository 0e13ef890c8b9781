"""`veritas doctor`: what is configured, what can be reached, what is wrong, and how to mend it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from veritasvault.cli.failures import BAD
from veritasvault.cli.options import json_option
from veritasvault.cli.output import Printer, Progress, Styled, print_json

if TYPE_CHECKING:
    from veritasvault.cli.checks import Check

_MEANINGS = {"ok": "good", "warn": "unsure", "fail": "bad"}


@click.command()
@json_option
@click.pass_context
def doctor(context: click.Context, as_json: bool) -> None:
    """Say what is configured, reachable and wrong, and how to mend it.

    Looks at settings, storage, ledger, keys, witnesses, identity, champions, policy, alerts,
    snapshots, tracking, engines, packages and Airflow's database. Each check is ok, warn (something
    optional is missing, or risky) or fail, with a remedy. Exit code 1 if a check fails.

    \b
    Examples:
      veritas doctor
      veritas doctor --json
    """
    found = examine(os.environ)
    healthy = all(check.status != "fail" for check in found)
    if as_json:
        print_json({"healthy": healthy, "checks": [asdict(check) for check in found]})
    else:
        _print(Printer(), found)
    if not healthy:
        context.exit(BAD)


def examine(environment: Mapping[str, str]) -> list[Check]:
    """Run all checks; one that breaks is a failed check, and the others still run."""
    from domain.registry.errors import DomainException
    from veritasvault.bootstrap import bootstrap
    from veritasvault.cli import (
        alert_check,
        champion_check,
        checks,
        engine_checks,
        identity_check,
        key_checks,
        witness_check,
    )
    from veritasvault.cli.checks import Check

    found = [checks.python()]
    try:
        application = bootstrap(environment)
    except DomainException as error:
        return [*found, Check("settings", "fail", str(error), "set or unset the variable, then run it again")]
    found.append(checks.settings(application, environment))
    steps: dict[str, Callable[[], Check]] = {
        "home": lambda: checks.home(application),
        "registry": lambda: checks.registry(application),
        "ledger": lambda: checks.ledger(application),
        "keys": lambda: key_checks.keys(application),
        "witnesses": lambda: witness_check.witnesses(application),
        "identity": lambda: identity_check.identity(application),
        "champions": lambda: champion_check.champions(application),
        "policy": lambda: checks.policy(application),
        "alerts": lambda: alert_check.alerts(application),
        "snapshots": lambda: checks.snapshots(application),
        "blocks": lambda: checks.blocks(application),
        "tracking": lambda: checks.tracking(application),
        "dask": lambda: engine_checks.dask(application.settings.dask),
        "spark": lambda: engine_checks.spark(application.settings.spark, environment),
        "ray": lambda: engine_checks.ray(application.settings.ray),
        "packages": engine_checks.packages,
        "lock": engine_checks.lock,
        "airflow database": lambda: engine_checks.airflow_database(environment),
    }
    with Progress() as progress:
        for name, step in steps.items():
            progress.show(f"checking {name}")
            found.append(_guarded(name, step))
    return found


def _guarded(name: str, step: Callable[[], Check]) -> Check:
    from domain.registry.errors import DomainException
    from veritasvault.cli.checks import Check

    try:
        return step()
    except DomainException as error:
        return Check(name, "fail", str(error), "mend what the sentence names")
    except Exception as error:
        # A broken installation breaks in ways nobody listed; the other checks still tell something.
        return Check(name, "fail", f"{type(error).__name__}: {error}", "mend or reinstall what it names")


def _print(printer: Printer, found: list[Check]) -> None:
    for check in found:
        printer.line(
            Styled(check.status.ljust(4), _MEANINGS[check.status]), check.name.ljust(16), check.detail
        )
        if check.remedy:
            printer.line(" " * 21, Styled(f"remedy: {check.remedy}", "unsure"))
    counts = {status: sum(check.status == status for check in found) for status in _MEANINGS}
    printer.line()
    printer.line(", ".join(f"{number} {status}" for status, number in counts.items()))
