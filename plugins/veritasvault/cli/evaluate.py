"""`veritas evaluate`: a model that was trained elsewhere, judged by the gates of a specification."""

from __future__ import annotations

from pathlib import Path

import click

from veritasvault.cli.failures import BAD, GOOD
from veritasvault.cli.options import PATH, engine_option, json_option, reference_argument
from veritasvault.cli.output import Printer, print_json


@click.command()
@reference_argument
@click.option(
    "--spec", type=PATH, metavar="FILE", required=True, help="The specification of the model's name."
)
@click.option("--as-of", metavar="DATE", help="The last session that may be seen; else the last that closed.")
@click.option("--source", metavar="URI", help="The prices; else the specification's.")
@engine_option
@json_option
@click.pass_context
def evaluate(
    context: click.Context,
    reference: str,
    spec: Path,
    as_of: str | None,
    source: str | None,
    engine: str,
    as_json: bool,
) -> None:
    """Judge a model that was trained elsewhere, by the gates of a specification.

    Its artifact forecasts the sessions on which a training of this specification
    would be tested. Evidence and gates are recorded, and decisions on the version
    are made on them from then on. Exit code 1 if a gate fails.

    \b
    Examples:
      veritas evaluate volatility_forecast@8 --spec dags/volatility_forecast.toml
      veritas evaluate volatility_forecast@8 --spec dags/volatility_forecast.toml --as-of 2022-12-28
    """
    from domain.risk.outside import OutsideEvaluation
    from domain.risk.pipeline import RunRequest
    from domain.risk.spec import ModelSpec
    from veritasvault.bootstrap import bootstrap

    application = bootstrap()
    evaluation = OutsideEvaluation(ModelSpec.load(spec), application)
    request = RunRequest(run_after=application.clock.now(), as_of=as_of, source=source)
    judged = evaluation.evaluate(reference, request, engine, application.person)
    if as_json:
        print_json(
            {
                "reference": f"{judged.row.name}@{judged.row.version}",
                "evidence": judged.evidence.digest,
                "recorded": judged.recorded,
                "passed": judged.passed,
                "metrics": dict(judged.evidence.metrics),
                "gates": [gate.to_json() for gate in judged.gates],
                "report": judged.report,
            }
        )
    else:
        printer = Printer()
        said = "passes all gates" if judged.passed else "does not pass all gates"
        printer.line(f"{judged.row.name}@{judged.row.version}", said)
        printer.table(("gate", "outcome", "reason"), [(g.gate, g.outcome, g.reason) for g in judged.gates])
        printer.fields((("evidence", judged.evidence.digest), ("data validation", judged.report)))
    context.exit(GOOD if judged.passed else BAD)
