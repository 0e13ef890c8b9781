"""`veritas gc`: remove what the ledger does not list, after a grace period."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from domain.registry.errors import InvalidInput
from veritasvault.cli.options import json_option
from veritasvault.cli.output import Printer, Styled, count, print_json, size

if TYPE_CHECKING:
    from domain.registry.collection.service import GarbageReport
    from domain.registry.collection.survey import Garbage

_DURATION = re.compile(r"(\d{1,6})([dh])|0")


@click.command("gc")
@click.option(
    "--grace",
    metavar="DURATION",
    default="7d",
    show_default=True,
    help="How old garbage has to be: hours or days, such as 12h or 7d, or 0.",
)
@click.option("--dry-run", is_flag=True, help="Show what would go, and change nothing.")
@click.option(
    "--features", is_flag=True, help="Also rows, feature sets and candidates that runs left in the workspace."
)
@click.option(
    "--adopt", is_flag=True, help="Let a registry that is from before there was gc belong to this ledger."
)
@json_option
def gc(grace: str, dry_run: bool, features: bool, adopt: bool, as_json: bool) -> None:
    """Remove what the ledger does not list: leftovers of killed or refused registrations.

    Stored models that no version has, attachments that no ledger entry names, unfinished uploads and private
    staging of killed processes; nothing else, also while registrations run. What is deleted from the
    registry is condemned in the ledger first, so that a registration that meets it stores it again.

    \b
    Examples:
      veritas gc --dry-run
      veritas gc --grace 30d
      veritas gc --features --grace 12h --json
    """
    from veritasvault.bootstrap import bootstrap

    duration = _duration(grace)
    application = bootstrap()
    service = application.garbage_collection(features=features)
    if dry_run:
        report = service.look(duration, adopt=adopt)
    else:
        report = service.run(application.provenance(), duration, adopt=adopt)
    if as_json:
        print_json(_document(report, dry_run))
    else:
        _print(report, dry_run)


def _duration(text: str) -> dt.timedelta:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidInput("--grace", text, "give hours or days, such as 12h or 7d, or 0")
    amount = int(match.group(1) or 0)
    return dt.timedelta(hours=amount) if match.group(2) == "h" else dt.timedelta(days=amount)


def _document(report: GarbageReport, dry_run: bool) -> dict[str, Any]:
    finished = report.finished
    return {
        "dry_run": dry_run,
        "garbage": _listed(report.garbage),
        "spared": _listed(report.spared),
        "finished": []
        if finished is None
        else [*finished.models, *(f"{one.model_id}/{one.sha256}" for one in finished.attachments)],
    }


def _listed(garbage: Sequence[Garbage]) -> list[dict[str, Any]]:
    return [
        {"kind": one.kind, "name": one.name, "size": one.size, "age_seconds": int(one.age.total_seconds())}
        for one in garbage
    ]


def _print(report: GarbageReport, dry_run: bool) -> None:
    printer = Printer()
    if report.finished is not None:
        gone = len(report.finished.models) + len(report.finished.attachments)
        printer.line(
            Styled("finished", "unsure"), f"{count(gone, 'object')} that an earlier run had condemned"
        )
    known = sum(one.size or 0 for one in report.garbage)
    printer.line(
        Styled("would remove" if dry_run else "removed", "strong"),
        f"{count(len(report.garbage), 'thing')} ({size(known)});",
        f"{len(report.spared)} younger than the grace period",
    )
    if report.garbage:
        rows = [
            (one.kind, None if one.size is None else size(one.size), _age(one.age), one.name)
            for one in report.garbage
        ]
        printer.line()
        printer.table(("kind", "size", "age", "name"), rows)


def _age(age: dt.timedelta) -> str:
    hours = int(age.total_seconds()) // 3600
    return count(age.days, "day") if age.days else count(hours, "hour")
