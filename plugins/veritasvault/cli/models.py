"""`veritas models`: list, show and retrieve registered versions, and write their receipts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from veritasvault.cli.options import PATH, json_option, reference_argument
from veritasvault.cli.output import Printer, Styled, print_json, size

if TYPE_CHECKING:
    from domain.registry.catalog import ModelVersion
    from domain.registry.ports import VersionRow


@click.group()
def models() -> None:
    """Registered models: list, show, card, retrieve, receipt."""


@models.command("list")
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most N versions, the newest.")
@json_option
def list_versions(name: str | None, limit: int | None, as_json: bool) -> None:
    """List registered versions, the newest first.

    With NAME those of one model.

    \b
    Examples:
      veritas models list
      veritas models list volatility_forecast --limit 5 --json
    """
    from domain.registry.errors import NotFound
    from veritasvault.bootstrap import bootstrap

    rows = list(bootstrap().catalog.versions(name, limit))
    if name is not None and not rows:
        raise NotFound(f"model {name} is not registered: see veritas models list")
    if as_json:
        print_json({"versions": [row_document(row) for row in rows]})
        return
    printer = Printer()
    if not rows:
        printer.line("Nothing is registered yet.")
        return
    printer.table(
        ("version", "as of", "model id", "ledger entry"),
        ((f"{row.name}@{row.version}", row.as_of, row.model_id, row.index) for row in rows),
    )


@models.command("show")
@reference_argument
@json_option
def show(reference: str, as_json: bool) -> None:
    """Show what is known of a version.

    Metadata, lineage, gates with their figures, files, attachments, provenance and ledger entry. REF
    is a model id, NAME@VERSION or NAME@latest. What is shown is checked against the ledger;
    `veritas verify REF` checks the files too.

    \b
    Examples:
      veritas models show volatility_forecast@latest
      veritas models show volatility_forecast@3 --json
    """
    from veritasvault.bootstrap import bootstrap

    application = bootstrap()
    found = application.catalog.show(reference)
    signed = application.ledger.port.last_checkpoint()
    is_signed = signed is not None and signed.size > found.row.index
    if as_json:
        print_json(_version_document(found, is_signed))
    else:
        _print_version(found, is_signed)


@models.command("retrieve")
@reference_argument
@click.argument("destination", metavar="DEST", type=PATH)
@json_option
def retrieve(reference: str, destination: Path, as_json: bool) -> None:
    """Write a version's files to a new directory.

    REF is a model id, NAME@VERSION or NAME@latest; DEST is a directory that does not exist yet. Each byte is
    verified before DEST appears.

    \b
    Examples:
      veritas models retrieve volatility_forecast@latest ./model
    """
    from veritasvault.bootstrap import bootstrap

    row = bootstrap().catalog.retrieve(reference, destination)
    if as_json:
        print_json({**row_document(row), "destination": str(destination.absolute())})
    else:
        Printer().line(
            f"{row.name}@{row.version}", Styled("verified", "good"), f"and written to {destination}"
        )


@models.command("receipt")
@reference_argument
@click.argument("file", metavar="[FILE]", required=False, type=PATH)
@json_option
def receipt(reference: str, file: Path | None, as_json: bool) -> None:
    """Write the proof that a version is in the ledger.

    `veritas verify --receipt` reads it. REF is a model id, NAME@VERSION or NAME@latest. FILE must not
    exist. Without FILE the receipt itself, which is JSON, is printed, with and without --json.

    \b
    Examples:
      veritas models receipt volatility_forecast@latest receipt.json
      veritas verify --receipt receipt.json
    """
    from veritasvault.bootstrap import bootstrap

    catalog = bootstrap().catalog
    row = catalog.resolve(reference)
    content = catalog.receipt(reference).to_bytes()
    if file is None:
        sys.stdout.write(content.decode())
        return
    write_new("FILE", file, content)
    if as_json:
        print_json({**row_document(row), "file": str(file.absolute())})
    else:
        Printer().line(f"The receipt of {row.name}@{row.version} (ledger entry {row.index}) is in {file}")


def row_document(row: VersionRow) -> dict[str, Any]:
    """A version as every command's JSON shows it."""
    return {
        "reference": f"{row.name}@{row.version}",
        "name": row.name,
        "version": row.version,
        "model_id": row.model_id,
        "recipe": row.recipe,
        "as_of": None if row.as_of is None else row.as_of.isoformat(),
        "artifact_digest": row.artifact_digest,
        "index": row.index,
    }


def _version_document(found: ModelVersion, is_signed: bool) -> dict[str, Any]:
    from veritasvault.adapters.onnx_artifact import onnx_file

    event = found.event.to_json()
    manifest = found.manifest
    return {
        **row_document(found.row),
        "signed": is_signed,
        "registered_at": event["at"],
        "supersedes": event["supersedes"],
        "retrain_reason": event["retrain_reason"],
        "metadata": manifest.metadata.to_json(),
        "lineage": None if manifest.lineage is None else manifest.lineage.to_json(),
        "files": manifest.artifact.to_json(),
        "onnx": onnx_file(manifest.artifact),
        "gates": event["gates"],
        "attachments": event["attachments"],
        "provenance": event["provenance"],
    }


def _print_version(found: ModelVersion, is_signed: bool) -> None:
    from veritasvault.adapters.onnx_artifact import onnx_file
    from veritasvault.cli.summary import gates_table

    row, event, manifest, printer = found.row, found.event, found.manifest, Printer()
    printer.line(Styled(f"{row.name}@{row.version}", "strong"))
    signed = "signed" if is_signed else "not signed yet: run veritas ledger checkpoint"
    printer.fields(
        [
            ("model id", row.model_id),
            ("artifact digest", row.artifact_digest),
            ("recipe", row.recipe or "trained elsewhere"),
            ("registered", event.to_json()["at"]),
            ("ledger entry", f"{row.index} ({signed})"),
            ("ONNX form", onnx_file(manifest.artifact) or "none, veritas predict cannot run it"),
            ("supersedes", None if event.supersedes is None else f"{row.name}@{event.supersedes}"),
            *([] if event.retrain_reason is None else [("retrained because", event.retrain_reason)]),
        ]
    )
    printer.heading("Metadata")
    tier = manifest.metadata.risk_tier
    metadata = {**manifest.metadata.to_json(), "risk_tier": f"{int(tier)} ({tier.name.lower()})"}
    printer.fields((name.replace("_", " "), value) for name, value in metadata.items())
    if manifest.lineage is not None:
        printer.heading("Lineage")
        lineage = manifest.lineage.to_json()
        parameters = lineage.pop("parameters")
        printer.fields((name.replace("_", " "), value) for name, value in lineage.items())
        printer.fields((f"parameter {name}", parameters[name]) for name in sorted(parameters))
    printer.heading("Gates")
    gates_table(printer, event.gates)
    printer.heading("Files")
    printer.table(
        ("path", "size", "sha-256"),
        ((file.path, size(file.size), file.sha256) for file in manifest.artifact.files),
    )
    if event.attachments:
        printer.heading("Attachments")
        printer.table(
            ("name", "type", "size", "sha-256"),
            ((kept.name, kept.media_type, size(kept.size), kept.sha256) for kept in event.attachments),
        )
    printer.heading("Provenance")
    printer.fields(sorted(event.provenance.items()))


def write_new(argument: str, file: Path, content: bytes) -> None:
    """Create a file with the content; one that exists is never replaced.

    Raises:
        InvalidInput: naming the argument; the file exists or cannot be written.
    """
    from domain.registry.errors import InvalidInput

    try:
        with file.open("xb") as target:
            target.write(content)
    except FileExistsError as error:
        raise InvalidInput(argument, str(file), "it exists, give the name of a new file") from error
    except OSError as error:
        raise InvalidInput(argument, str(file), f"it cannot be written ({error.strerror})") from error
