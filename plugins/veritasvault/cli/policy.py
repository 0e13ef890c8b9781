"""`veritas policy`: which rules decide on promotions, whether as expected, and their bundle for OPA."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from veritasvault.cli.failures import BAD
from veritasvault.cli.options import PATH, json_option
from veritasvault.cli.output import Printer, Styled, count, print_json

if TYPE_CHECKING:
    from veritasvault.cli.policy_report import PolicyReport

_ENGINES = {"process": "in this process", "server": "by this server"}


@click.group()
def policy() -> None:
    """The rules that decide on promotions: what is in force, and a bundle for OPA."""


@policy.command("check")
@click.option(
    "--files",
    type=PATH,
    metavar="DIRECTORY",
    help="The files that a server should decide by; without it those that came with this program.",
)
@json_option
@click.pass_context
def check(context: click.Context, files: Path | None, as_json: bool) -> None:
    """Say which policy is in force, and whether it decides as its cases expect.

    Asks every case of the policy as promotions ask, in this process or the server that VERITAS_POLICY
    names. Exit code 1 if a case is decided in another way, or a server decides by other files.

    \b
    Examples:
      veritas policy check
      veritas policy check --json
      veritas policy check --files deploy/policy
    """
    from veritasvault.bootstrap import bootstrap
    from veritasvault.cli.policy_report import report_on
    from veritasvault.setting_values import is_url

    application = bootstrap()
    if files is not None and not is_url(application.settings.policy):
        raise click.UsageError("--files needs a server in VERITAS_POLICY, a directory is checked by itself")
    report = report_on(application, files)
    if as_json:
        print_json({"good": report.good, **asdict(report)})
    else:
        _print(Printer(), report)
    if not report.good:
        context.exit(BAD)


@policy.command("bundle")
@click.argument("file", type=PATH, metavar="FILE")
@click.option(
    "--files",
    type=PATH,
    metavar="DIRECTORY",
    help="The files of the policy; without it those that came with this program.",
)
@json_option
def make_bundle(file: Path, files: Path | None, as_json: bool) -> None:
    """Write the bundle that an OPA server loads, with the digest of the policy in it.

    A server decides by its bundle alone, and its decisions name the bundle's digest. The same files
    give the same bundle.

    \b
    Examples:
      veritas policy bundle policy.tar.gz
      veritas policy bundle policy.tar.gz --files deploy/policy --json
    """
    from domain.registry.errors import InvalidInput
    from veritasvault.adapters.opa_bundle import bundle
    from veritasvault.adapters.policy_files import PolicyFiles
    from veritasvault.settings import packaged_policy

    source = PolicyFiles.read(files or packaged_policy())
    try:
        file.write_bytes(bundle(source))
    except OSError as error:
        raise InvalidInput("FILE", str(file), f"it cannot be written ({error.strerror})") from error
    if as_json:
        print_json({"file": str(file), "digest": source.digest, "files": source.digests})
    else:
        Printer().line(f"The bundle of policy {source.digest} is in {file}")


def _print(printer: Printer, report: PolicyReport) -> None:
    printer.fields(
        [
            ("policy", report.place),
            ("decides", _ENGINES[report.engine]),
            ("digest", report.digest),
            ("cases", _cases(report)),
        ]
    )
    for problem in report.problems:
        printer.line(Styled("problem", "bad"), problem)
    if report.failures:
        printer.heading("Cases that are decided in another way")
        printer.table(
            ("case", "expected", "decided"),
            ((failure.name, _said(failure.expected), _said(failure.found)) for failure in report.failures),
        )
    printer.heading("Files")
    printer.table(("file", "sha256"), sorted(report.files.items()))


def _cases(report: PolicyReport) -> Styled:
    if not report.failures:
        return Styled(f"{count(report.cases, 'case')} decided as expected", "good")
    return Styled(f"{len(report.failures)} of {count(report.cases, 'case')} decided in another way", "bad")


def _said(reasons: tuple[str, ...]) -> str:
    return "; ".join(reasons) or "allowed"
