"""`veritas verify`: recompute what the registry claims, and name each object that differs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from veritasvault.cli.failures import BAD, GOOD
from veritasvault.cli.options import PATH, json_option
from veritasvault.cli.output import Printer, Progress, Styled, count, print_json

if TYPE_CHECKING:
    from domain.registry.audit import AuditReport
    from domain.registry.ports import VersionRow


@click.command()
@click.argument("reference", metavar="[REF]", required=False)
@click.option("--all", "everything", is_flag=True, help="The whole ledger and every version.")
@click.option("--receipt", type=PATH, metavar="FILE", help="The version that a receipt proves.")
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="KEY",
    help="With --receipt: trust this public key alone and use no ledger. May be repeated.",
)
@json_option
@click.pass_context
def verify(
    context: click.Context,
    reference: str | None,
    everything: bool,
    receipt: Path | None,
    keys: tuple[str, ...],
    as_json: bool,
) -> None:
    """Verify everything, one version, or one version from its receipt.

    REF is a model id, NAME@VERSION or NAME@latest. Recomputes the ledger's hashes, tree, projection
    and signatures, and reads every byte of manifests, files and attachments. With --all the ledger is
    also compared with every checkpoint at VERITAS_WITNESSES. Exit code 1 if anything differs; each
    problem names its object.

    A receipt is checked against this machine's keys and ledger, so that a ledger that was cut off or
    rewritten is found. With --key nothing but the receipt is needed; the keys are printed by
    `veritas ledger checkpoint --json`.

    \b
    Examples:
      veritas verify --all
      veritas verify volatility_forecast@latest
      veritas verify --receipt receipt.json
      veritas verify --receipt receipt.json --key 'veritasvault+c0ffee42+AWx4…'
    """
    if (reference is not None) + everything + (receipt is not None) != 1:
        raise click.UsageError("give one of REF, --all and --receipt FILE")
    if keys and receipt is None:
        raise click.UsageError("--key needs --receipt FILE")
    context.exit(_stored(reference, as_json) if receipt is None else _receipt(receipt, keys, as_json))


def _stored(reference: str | None, as_json: bool) -> int:
    from veritasvault.bootstrap import bootstrap

    audit = bootstrap().audit
    if reference is not None:
        report = audit.version(reference)
    else:
        with Progress() as progress:
            progress.show("verifying the ledger")
            report = audit.everything(_Counter(progress))
    what = "everything" if reference is None else reference
    if as_json:
        print_json({"what": what, **report_document(report)})
    else:
        print_report(Printer(), what, report)
    return GOOD if report.verified else BAD


def _receipt(file: Path, keys: tuple[str, ...], as_json: bool) -> int:
    from domain.registry.errors import InvalidInput
    from domain.registry.ledger.receipt import Receipt

    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInput("--receipt", str(file), f"it cannot be read ({error.strerror})") from error
    receipt = Receipt.from_bytes(data, f"receipt {file.name}")
    if keys:
        return _receipt_alone(receipt, keys, as_json)
    from veritasvault.bootstrap import bootstrap

    proven, report = bootstrap().audit.receipt(receipt)
    document = _proven_document(proven)
    if as_json:
        print_json({"what": "receipt", **document, **report_document(report)})
    else:
        printer = Printer()
        _print_proven(printer, document, "the ledger continues its checkpoint")
        print_report(printer, str(document["reference"]), report)
    return GOOD if report.verified else BAD


def _receipt_alone(receipt: Any, keys: tuple[str, ...], as_json: bool) -> int:
    """Verify with nothing but public keys: no ledger, no registry, no settings."""
    from domain.registry.ledger.checkpoint import parse_vkey
    from domain.registry.ledger.receipt import verify_receipt
    from veritasvault.adapters.local_signer import LocalSigner

    document = _proven_document(
        verify_receipt(receipt, [parse_vkey(key) for key in keys], LocalSigner.verify)
    )
    if as_json:
        print_json({"what": "receipt", **document, "verified": True, "problems": []})
    else:
        _print_proven(Printer(), document, "no ledger was looked at")
    return GOOD


def _proven_document(proven: Any) -> dict[str, Any]:
    event = proven.event
    name, version = getattr(event, "name", None), getattr(event, "version", None)
    return {
        "reference": None if version is None else f"{name}@{version}",
        "kind": event.KIND,
        "model_id": getattr(event, "model_id", None),
        "index": proven.index,
        "origin": proven.checkpoint.origin,
        "checkpoint_size": proven.checkpoint.size,
    }


def _print_proven(printer: Printer, document: dict[str, Any], note: str) -> None:
    what = document["reference"] or document["kind"]
    printer.line(
        Styled("verified", "good"),
        f"the receipt of {what}: entry {document['index']} of {document['origin']}, "
        f"signed at size {document['checkpoint_size']}; {note}",
    )


def report_document(report: AuditReport) -> dict[str, Any]:
    """A verification as JSON shows it."""
    return {
        "verified": report.verified,
        "problems": [{"object": problem.object, "reason": problem.reason} for problem in report.problems],
        "versions": report.versions,
        "entries": report.entries,
        "pending": report.pending,
        "witnessed": report.witnessed,
        "unlisted": list(report.unlisted),
    }


def print_report(printer: Printer, what: str, report: AuditReport) -> None:
    """Say what was verified, each problem with its object, and what no signature vouches for yet."""
    for problem in report.problems:
        printer.line(Styled("problem", "bad"), f"{problem.object}: {problem.reason}")
    counted = (
        f"{count(report.versions, 'version')}, {count(report.entries, 'ledger entry', 'ledger entries')}"
    )
    if report.verified:
        printer.line(Styled("verified", "good"), f"{what}: {counted}")
    else:
        found = count(len(report.problems), "problem")
        printer.line(Styled("NOT VERIFIED", "bad"), f"{what}: {found} in {counted}")
    if report.pending:
        entries = count(report.pending, "entry is", "entries are")
        printer.line(Styled("pending", "unsure"), f"{entries} not signed yet: run veritas ledger checkpoint")
    if report.witnessed and report.verified:
        checkpoints = count(report.witnessed, "witnessed checkpoint")
        printer.line(Styled("witnessed", "good"), f"the ledger continues {checkpoints}")
    if report.unlisted:
        models = count(len(report.unlisted), "stored model is", "stored models are")
        printer.line(
            Styled("unlisted", "unsure"),
            f"{models} in no ledger entry, left by registrations that were cut off",
        )


class _Counter:
    """Shows which version is being verified."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._seen = 0

    def __call__(self, row: VersionRow) -> None:
        self._seen += 1
        self._progress.show(f"verifying version {self._seen}: {row.name}@{row.version}")
