"""`veritas migrate`: copy a registry with its ledger to another place, verified, and as often as it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from veritasvault.cli.failures import BAD, GOOD
from veritasvault.cli.options import json_option
from veritasvault.cli.output import Printer, Progress, Styled, count, print_json

if TYPE_CHECKING:
    from domain.registry.migration import MigrationReport, Step
    from veritasvault.bootstrap import Application

_BAR = 24


@click.command()
@click.option("--from", "source", metavar="URI", help="Registry to copy; without it VERITAS_REGISTRY.")
@click.option("--to", "destination", metavar="URI", help="Registry to copy to; without it models stay.")
@click.option("--from-ledger", metavar="URL", help="Ledger to copy; without it VERITAS_LEDGER.")
@click.option("--to-ledger", metavar="URL", help="Ledger to copy to; without it the ledger stays.")
@json_option
@click.pass_context
def migrate(
    context: click.Context,
    source: str | None,
    destination: str | None,
    from_ledger: str | None,
    to_ledger: str | None,
    as_json: bool,
) -> None:
    """Copy a registry with its ledger to another place.

    URI is written as in VERITAS_REGISTRY, URL as in VERITAS_LEDGER. The models are copied first, each byte
    verified at both ends, and then the ledger as it is, up to its newest checkpoint, in one transaction:
    receipts and proofs stay valid, and an interrupted copy lists nothing. Run the same command again to go
    on after an interruption, or to bring what was registered meanwhile. The source is never changed.

    Exit code 1 if something cannot be copied or does not verify; then the ledger was not copied. Also if the
    ledger stays and lists entries that nothing signs yet, for their models were not copied.

    \b
    Examples:
      veritas migrate --to s3://bucket/models --to-ledger postgresql://registry@db.example/veritas
      veritas migrate --from file:///srv/old --to oci://registry.example/models --json
    """
    from veritasvault.bootstrap import bootstrap

    if destination is None and to_ledger is None:
        raise click.UsageError("give --to URI, --to-ledger URL or both")
    old = _at("--from", bootstrap, source, from_ledger)
    new = _at("--to", bootstrap, destination or old.settings.registry, to_ledger or old.settings.ledger)
    if old.settings.registry == new.settings.registry and old.settings.ledger == new.settings.ledger:
        raise click.UsageError("source and destination are the same")
    with Progress() as progress:
        report = old.migration(new).run(_Shown(progress))
    if as_json:
        print_json(_document(report, old, new))
    else:
        _print(report, old, new)
    context.exit(GOOD if report.complete else BAD)


def _at(option: str, bootstrap: Any, registry: str | None, ledger: str | None) -> Application:
    """The system at an address. Raises InvalidInput, naming the option instead of the setting."""
    from domain.registry.errors import InvalidInput

    try:
        application: Application = bootstrap(registry=registry, ledger=ledger)
        return application
    except InvalidInput as error:
        if registry is None or error.field != "VERITAS_REGISTRY":
            raise
        raise InvalidInput(option, error.value, error.remedy) from error


def _document(report: MigrationReport, old: Application, new: Application) -> dict[str, Any]:
    return {
        "complete": report.complete,
        "from": _places(old),
        "to": _places(new),
        "origin": report.origin,
        "checkpoint": report.checkpoint,
        "versions": report.versions,
        "copied": report.copied,
        "entries": report.entries,
        "left_behind": report.left_behind,
        "signer_known": report.signer_known,
        "problems": [{"object": problem.object, "reason": problem.reason} for problem in report.problems],
    }


def _places(application: Application) -> dict[str, str]:
    from domain.registry.redaction import shown_address

    settings = application.settings
    return {"registry": shown_address(settings.registry), "ledger": shown_address(settings.ledger)}


def _print(report: MigrationReport, old: Application, new: Application) -> None:
    printer, there = Printer(), _places(new)
    copied = f"{report.copied} of {count(report.versions, 'version')} copied"
    for problem in report.problems:
        printer.line(Styled("problem", "bad"), f"{problem.object}: {problem.reason}")
    if report.problems:
        printer.line(
            Styled("INCOMPLETE", "bad"), f"{copied}, the ledger was not: mend what is named and run it again"
        )
        return
    if not report.complete:
        printer.line(
            Styled("INCOMPLETE", "bad"),
            f"{copied}, the ledger stays and has {count(report.left_behind, 'entry', 'entries')} more that "
            "nothing signs yet: run veritas ledger checkpoint, and this again",
        )
        return
    entries = count(report.entries, "ledger entry", "ledger entries")
    printer.line(
        Styled("complete", "good"),
        f"{report.origin} up to entry {report.checkpoint - 1}: {copied}, {entries} written, all verified",
    )
    if report.left_behind:
        printer.line(
            Styled("left behind", "unsure"),
            f"{count(report.left_behind, 'entry', 'entries')} of the source, not signed yet: "
            "run veritas ledger checkpoint there, and this again",
        )
    changed = {name: place for name, place in there.items() if place != _places(old)[name]}
    for name, place in changed.items():
        printer.line(f"VERITAS_{name.upper()}={place}")
    if not report.signer_known:
        printer.line(
            Styled("unknown key", "unsure"),
            "the ledger does not know the key that would sign its next checkpoint: let the old home's keys "
            "sign, or tell those who check proofs about the new one",
        )


class _Shown:
    """Shows the steps of a copy as a bar."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, step: Step, done: int, total: int, what: str) -> None:
        filled = _BAR * done // max(total, 1)
        bar = f"[{'#' * filled}{'.' * (_BAR - filled)}]"
        self._progress.show(f"{step} {bar} {done}/{total} {what}" if what else f"{step} the ledger")
