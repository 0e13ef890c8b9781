"""`veritas monitor`: whether what a version sees and forecasts is still what it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from veritasvault.cli.failures import BAD, GOOD
from veritasvault.cli.options import PATH, engine_option, json_option, reference_argument
from veritasvault.cli.output import Printer, Styled, print_json

if TYPE_CHECKING:
    from domain.registry.events.monitoring import DriftFinding
    from domain.risk.monitoring.service import Monitored


@click.command()
@reference_argument
@click.option(
    "--spec", type=PATH, metavar="FILE", required=True, help="The specification of the model's name."
)
@click.option(
    "--as-of", metavar="DATE", help="The last session that is looked at; else the last that closed."
)
@click.option("--source", metavar="URI", help="The prices; else the specification's.")
@engine_option
@click.option("--report", type=PATH, metavar="FILE", help="Write the report there too, one HTML page.")
@json_option
@click.pass_context
def monitor(
    context: click.Context,
    reference: str,
    spec: Path,
    as_of: str | None,
    source: str | None,
    engine: str,
    report: Path | None,
    as_json: bool,
) -> None:
    """Compare the last sessions with those that a version was trained on.

    Features, forecasts, and losses once outcomes are known. The result is an event in the ledger, and a
    report; drift of a champion may start a retraining when the pipeline monitor_models finds it, and never
    changes which version is in use. Exit code 1 if there is drift.

    \b
    Examples:
      veritas monitor volatility_forecast@champion --spec dags/volatility_forecast.toml
      veritas monitor volatility_forecast@1 --spec dags/volatility_forecast.toml --as-of 2022-12-28
    """
    from domain.risk.pipeline import RunRequest
    from veritasvault.bootstrap import bootstrap
    from veritasvault.monitoring_reports import write_page, write_report

    application = bootstrap()
    request = RunRequest(run_after=application.clock.now(), as_of=as_of, source=source)
    found = application.monitoring(spec).monitor(reference, request, application.provenance(), engine)
    page = write_report(found, application.settings.monitorings)
    if report is not None:
        write_page(found, report)
    if as_json:
        print_json(_document(found, page))
    else:
        _print(found, page)
    context.exit(BAD if found.drifted else GOOD)


def _document(found: Monitored, page: Path) -> dict[str, Any]:
    return {
        "reference": found.reference,
        "as_of": found.outcome.as_of.isoformat(),
        "drift": found.drifted,
        "window_sessions": found.outcome.window_sessions,
        "false_alarm_rate": found.outcome.false_alarm_rate,
        "findings": [finding.to_json() for finding in found.outcome.findings],
        "recorded": found.event.appended,
        "index": found.event.index,
        "report": str(page),
    }


def _print(found: Monitored, page: Path) -> None:
    printer, outcome = Printer(), found.outcome
    said = Styled("DRIFT", "bad") if found.drifted else Styled("no drift", "good")
    printer.line(said, f"{found.reference}, {outcome.window_sessions} sessions up to {outcome.as_of}")
    printer.line()
    columns = ("kind", "of", "is", "PSI", "KS", "shift", "loss", "baseline", "p")
    printer.table(columns, [_row(finding) for finding in outcome.findings])
    printer.line()
    printer.line(
        f"false alarms in {outcome.false_alarm_rate:.1%} of all periods of 250 sessions; "
        f"ledger entry {found.event.index}; report {page}"
    )


def _row(finding: DriftFinding) -> tuple[Any, ...]:
    said = Styled("drifted", "bad") if finding.breached else Styled("as usual", "good")
    figures = (finding.figures.get(name) for name in ("psi", "ks", "shift", "loss", "baseline_loss"))
    numbers = [None if number is None else f"{number:.3g}" for number in figures]
    return finding.kind, finding.subject, said, *numbers, f"{finding.figures['p_value']:.2g}"
