"""`veritas export-proof` and `veritas verify-proof`: proofs for people who have no access to the registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from veritasvault.cli.failures import BAD, GOOD
from veritasvault.cli.models import row_document, write_new
from veritasvault.cli.options import PATH, json_option, reference_argument
from veritasvault.cli.output import Printer, Styled, count, print_json

if TYPE_CHECKING:
    from domain.registry.ledger.verification import Problem
    from domain.registry.proofs.bundle import ProofBundle
    from domain.registry.proofs.check import ProofReport


@click.command("export-proof")
@reference_argument
@click.argument("file", metavar="FILE", type=PATH)
@click.option("--full", is_flag=True, help="Carry all entries of the ledger, other models' too.")
@json_option
def export_proof(reference: str, file: Path, full: bool, as_json: bool) -> None:
    """Write one file that proves a version to outsiders.

    Manifest, attachments, signature, what the ledger says of the version by now, and a signed
    checkpoint; not the artifact's files. REF is a model id, NAME@VERSION or NAME@latest; FILE must not
    exist. Only a bundle written with --full shows that no later event was left out.

    \b
    Examples:
      veritas export-proof volatility_forecast@champion proof.json
      veritas export-proof volatility_forecast@3 proof.json --full
    """
    from veritasvault.bootstrap import bootstrap

    application = bootstrap()
    row = application.catalog.resolve(reference)
    bundle = application.proofs.bundle(f"{row.name}@{row.version}", full=full)
    write_new("FILE", file, bundle.to_bytes())
    signer = _fingerprint(bundle)
    if as_json:
        document = {"file": str(file.absolute()), "scope": bundle.scope, "signer": signer}
        print_json({**row_document(row), **document, "entries": len(bundle.entries)})
    else:
        printer = Printer()
        entries = count(len(bundle.entries), "ledger entry", "ledger entries")
        printer.line(f"The proof of {bundle.reference}, with {entries}, is in {file}")
        printer.line(f"Hand on by another way: veritas verify-proof {file.name} --trust {signer}")


@click.command("verify-proof")
@click.argument("file", metavar="FILE", type=PATH)
@click.option(
    "--trust",
    "trusted",
    multiple=True,
    metavar="FINGERPRINT",
    help="A checkpoint key's fingerprint, see veritas keys list --json. May be repeated.",
)
@click.option("--artifact", type=PATH, metavar="PATH", help="Compare these files with the manifest too.")
@click.option("--card", type=PATH, metavar="PAGE", help="Write the model card, one HTML page, if all holds.")
@json_option
@click.pass_context
def verify_proof(
    context: click.Context,
    file: Path,
    trusted: tuple[str, ...],
    artifact: Path | None,
    card: Path | None,
    as_json: bool,
) -> None:
    """Check the proof of a version, with nothing but the file.

    Reads no settings, no registry and no ledger. Exit code 1 if anything in the file does not hold, each
    problem with its object, or if it was signed by a key whose fingerprint is not trusted. Get the
    fingerprint another way than the file.

    \b
    Examples:
      veritas verify-proof proof.json
      veritas verify-proof proof.json --trust 3f0c1d2e… --artifact ./model
    """
    from domain.registry.canonical import as_digest
    from domain.registry.errors import InvalidInput
    from domain.registry.proofs.bundle import ProofBundle
    from domain.registry.proofs.check import verify_proof as check
    from veritasvault.adapters.artifact_check import artifact_problems
    from veritasvault.adapters.signature_check import verify_signature

    fingerprints = {as_digest("--trust", each) for each in trusted}
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InvalidInput("FILE", str(file), f"it cannot be read ({error.strerror})") from error
    bundle = ProofBundle.from_bytes(data, f"file {file.name}")
    report = check(bundle, verify_signature, fingerprints)
    problems = list(report.problems)
    if artifact is not None and report.manifest is not None:
        problems.extend(artifact_problems(report.manifest.artifact, artifact))
    good = report.trusted and not problems
    if card is not None and good:
        _write_card(card, bundle, report)
    if as_json:
        print_json(_document(bundle, report, problems, good=good))
    else:
        _print(bundle, report, problems)
    context.exit(GOOD if good else BAD)


def _write_card(card: Path, bundle: ProofBundle, report: ProofReport) -> None:
    from domain.registry.card import to_html
    from domain.registry.proofs.card import card_of

    write_new("--card", card, to_html(card_of(bundle, report)).encode())


def _fingerprint(bundle: ProofBundle) -> str:
    from domain.registry.ledger.checkpoint import parse_vkey
    from domain.registry.signing.public_keys import fingerprint

    return fingerprint(parse_vkey(bundle.key))


def _document(
    bundle: ProofBundle, report: ProofReport, problems: list[Problem], *, good: bool
) -> dict[str, Any]:
    head = report.checkpoint
    return {
        "reference": bundle.reference,
        "model_id": None if report.event is None else report.event.model_id,
        "index": bundle.index,
        "verified": good,
        "consistent": not problems,
        "trusted": report.trusted,
        "complete": report.complete,
        "signer": report.signer,
        "artifact_key": report.artifact_key,
        "origin": None if head is None else head.origin,
        "checkpoint_size": None if head is None else head.size,
        "later": [{"index": found.index, "kind": found.event.KIND} for found in report.later],
        "problems": [{"object": problem.object, "reason": problem.reason} for problem in problems],
    }


def _print(bundle: ProofBundle, report: ProofReport, problems: list[Problem]) -> None:
    printer = Printer()
    for problem in problems:
        printer.line(Styled("problem", "bad"), f"{problem.object}: {problem.reason}")
    head = report.checkpoint
    if problems or head is None:
        printer.line(Styled("NOT VERIFIED", "bad"), f"{bundle.reference}: {count(len(problems), 'problem')}")
        return
    where = f"entry {bundle.index} of {head.origin}, signed at size {head.size} by {report.signer}"
    if report.trusted:
        printer.line(Styled("verified", "good"), f"{bundle.reference}: {where}")
    else:
        printer.line(Styled("consistent, signer unknown", "unsure"), f"{bundle.reference}: {where}")
    signed = "nobody" if report.artifact_key is None else report.artifact_key
    printer.line(f"artifact signed by {signed}")
    for found in report.later:
        printer.line(f"entry {found.index}: {found.event.KIND}")
    if report.complete:
        printer.line("no later event is missing, up to the checkpoint")
    else:
        printer.line("later events may be missing: only a bundle written with --full shows that none is")
