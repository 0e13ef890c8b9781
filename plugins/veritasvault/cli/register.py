"""`veritas register`: register a model that was trained elsewhere, through the one domain service."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import click

from veritasvault.cli.options import PATH, json_option
from veritasvault.cli.output import Printer, print_json


@click.command()
@click.option("--metadata", type=PATH, metavar="FILE", required=True, help="JSON or TOML, as above.")
@click.option(
    "--artifact",
    type=PATH,
    metavar="PATH",
    required=True,
    help="A file or a directory, of allowed formats.",
)
@click.option("--reason", metavar="TEXT", help="Why it is registered; kept in the ledger.")
@json_option
def register(metadata: Path, artifact: Path, reason: str | None, as_json: bool) -> None:
    """Register a model that was trained elsewhere.

    The metadata file (.json or .toml) has exactly the fields name, purpose,
    owner, risk_tier (1 high, 2 medium, 3 low), framework, intended_use and
    limitations. The same metadata and artifact are the same model: registering
    them again recognises the version there is. No gate has judged such a model,
    so its gates are unevaluated.

    \b
    Examples:
      veritas register --metadata model.toml --artifact model.onnx
      veritas register --metadata model.json --artifact ./model --reason 'vendor release 7'
    """
    from domain.registry.metadata import ModelMetadata
    from veritasvault.bootstrap import bootstrap
    from veritasvault.cli.summary import outcome_in_words, print_registered

    described = ModelMetadata.from_json(read_metadata(metadata))
    application = bootstrap()
    # Whoever registers a model has a part in it, and approves nothing of it.
    provenance = {**application.provenance(), "triggered_by": application.person}
    if reason is not None:
        provenance["reason"] = reason
    found = application.registration.register_model(described, artifact, provenance=provenance)
    event = found.event.to_json()
    if as_json:
        print_json(
            {
                "outcome": found.outcome,
                "reference": f"{found.name}@{found.version}",
                "name": found.name,
                "version": found.version,
                "model_id": found.model_id,
                "artifact_digest": found.event.artifact_digest,
                "index": found.index,
                "gates": event["gates"],
            }
        )
    else:
        printer = Printer()
        printer.line(f"{found.name}@{found.version}:", outcome_in_words(found.outcome, found.version))
        print_registered(printer, found.event, found.index)


def read_metadata(file: Path) -> Any:
    """The object in a JSON or TOML file.

    Raises:
        InvalidInput: the file cannot be read, has another suffix, or is malformed.
    """
    from domain.registry.errors import InvalidInput

    try:
        text = file.read_bytes().decode("utf-8")
        if file.suffix == ".toml":
            return tomllib.loads(text)
        if file.suffix == ".json":
            return json.loads(text, object_pairs_hook=_without_repeats)
    except OSError as error:
        raise InvalidInput("--metadata", str(file), f"it cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        kind = file.suffix.removeprefix(".").upper()
        raise InvalidInput("--metadata", str(file), f"it is not {kind} in UTF-8 ({error})") from error
    raise InvalidInput("--metadata", str(file), "give a file that ends in .json or .toml")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON lets a name stand twice and readers disagree on which one counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        repeated = next(name for name, _ in pairs if sum(name == other for other, _ in pairs) > 1)
        raise ValueError(f"{repeated} stands in it twice")
    return found
