"""`veritas reproduce`: train a version again from its own record, and say whether it is the same."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from veritasvault.bootstrap import ENGINES
from veritasvault.cli.failures import BAD, GOOD
from veritasvault.cli.options import json_option, reference_argument
from veritasvault.cli.output import Printer, Progress, Styled, print_json

if TYPE_CHECKING:
    from domain.risk.reproduction.findings import Finding
    from domain.risk.reproduction.service import Reproduction


@click.command()
@reference_argument
@click.option(
    "--engine", type=click.Choice(ENGINES), help="What prepares the features; without it, what did."
)
@click.option(
    "--here", is_flag=True, help="Use this code and environment where the recorded ones cannot be had."
)
@json_option
@click.pass_context
def reproduce(context: click.Context, reference: str, engine: str | None, here: bool, as_json: bool) -> None:
    """Train a version again from its own record, and compare.

    The same snapshot, code (the recorded commit in a worktree, unless it is what runs here), parameters and
    seed. The result is an event in the ledger; nothing else in the registry changes. A report says which
    stage first differs, and by how much.

    Exit code 0 if the artifact is the same, or within what its trainer declared; 1 if it is not.

    \b
    Examples:
      veritas reproduce volatility_forecast@latest
      veritas reproduce volatility_forecast@3 --engine inline --json
      veritas reproduce volatility_forecast@1 --here
    """
    from domain.risk.reproduction.service import Request
    from veritasvault.bootstrap import bootstrap
    from veritasvault.reproduction_reports import write_report

    application = bootstrap()
    request = Request(reference, uuid.uuid4().hex, application.provenance(), engine, here)
    with Progress() as progress:
        found = application.reproductions.reproduce(
            request, lambda stage: progress.show(f"reproducing {reference}: {stage} …")
        )
    report = write_report(found, application.settings.reproductions)
    if as_json:
        print_json(_document(found, report))
    else:
        _print(found, report)
    context.exit(GOOD if found.verdict.reproduced else BAD)


def _document(found: Reproduction, report: Path) -> dict[str, Any]:
    record, verdict = found.record, found.verdict
    settings = [one for finding in found.findings for one in finding.settings]
    return {
        "reference": record.reference,
        "reproduced": verdict.reproduced,
        "stage": verdict.stage,
        "reason": verdict.reason,
        "difference": verdict.difference,
        "artifact_digest": record.artifact_digest,
        "other_artifact": found.artifact,
        "engine": found.engine,
        "code": {"recorded": record.code, "used": found.code},
        "stages": [_stage(finding) for finding in found.findings],
        "environment": [{"name": one.name, "recorded": one.recorded, "found": one.found} for one in settings],
        "index": found.event.index,
        "report": str(report),
    }


def _stage(finding: Finding) -> dict[str, Any]:
    return {
        "stage": finding.stage,
        "same": finding.same,
        "recorded": finding.recorded,
        "found": finding.found,
        "amount": finding.amount,
    }


def _print(found: Reproduction, report: Path) -> None:
    printer, verdict, reference = Printer(), found.verdict, found.record.reference
    if verdict.stage is None:
        printer.line(Styled("reproduced", "good"), f"{reference}: {verdict.reason}")
    else:
        printer.line(
            Styled("NOT REPRODUCED", "bad"),
            f"{reference}: first different is {verdict.stage}",
        )
    printer.line()
    printer.table(("stage", "compared", "difference"), [_row(finding) for finding in found.findings])
    settings = [one for finding in found.findings for one in finding.settings]
    if settings:
        printer.heading("Environment")
        rows = [(one.name, one.recorded, one.found) for one in settings]
        printer.table(("setting", "recorded", "found"), rows)
    printer.line()
    printer.line(f"ledger entry {found.event.index}; report {report}")


def _row(finding: Finding) -> tuple[Any, ...]:
    if finding.recorded is None:
        return finding.stage, Styled("not recorded", "unsure"), None
    said = Styled("same", "good") if finding.same else Styled("differs", "bad")
    return finding.stage, said, finding.amount or None
