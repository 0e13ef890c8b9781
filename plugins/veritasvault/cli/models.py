"""`veritas models`: list, show and retrieve registered versions, and write their receipts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from veritasvault.cli.options import HELP, JsonOption, RefArgument
from veritasvault.cli.output import Printer, Styled, print_json, size

if TYPE_CHECKING:
    from domain.registry.catalog import ModelVersion
    from domain.registry.ports import VersionRow

app = typer.Typer(
    help="Registered models: list, show, retrieve, receipt.", no_args_is_help=True, context_settings=HELP
)


@app.command("list", context_settings=HELP)
def list_versions(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="Only the versions of this model.", show_default=False),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="At most so many, the newest.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List registered versions, newest first.

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


@app.command("show", context_settings=HELP)
def show(reference: RefArgument, as_json: JsonOption = False) -> None:
    """Show a version: metadata, lineage, gates, files, attachments, provenance and ledger entry.

    What is shown is checked against the ledger; `veritas verify REF` checks the files too.

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


@app.command("retrieve", context_settings=HELP)
def retrieve(
    reference: RefArgument,
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="A directory that does not exist yet.", show_default=False)
    ],
    as_json: JsonOption = False,
) -> None:
    """Write a version's files to a new directory, each byte verified before it appears.

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


@app.command("receipt", context_settings=HELP)
def receipt(
    reference: RefArgument,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A new file; standard output without it.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the proof that a version is in the ledger, for `veritas verify --receipt`.

    A receipt is JSON. Without FILE it is what is printed, with and without --json.

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
    _write_new(file, content)
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
        "gates": event["gates"],
        "attachments": event["attachments"],
        "provenance": event["provenance"],
    }


def _print_version(found: ModelVersion, is_signed: bool) -> None:
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


def _write_new(file: Path, content: bytes) -> None:
    """Create a file with the content; one that exists is never replaced."""
    from domain.registry.errors import InvalidInput

    try:
        with file.open("xb") as target:
            target.write(content)
    except FileExistsError as error:
        raise InvalidInput("FILE", str(file), "it exists, give the name of a new file") from error
    except OSError as error:
        raise InvalidInput("FILE", str(file), f"it cannot be written ({error.strerror})") from error
