"""`veritas ledger`: show the events of the ledger, and sign it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from veritasvault.cli.failures import BAD
from veritasvault.cli.options import json_option
from veritasvault.cli.output import Printer, Styled, count, print_json

if TYPE_CHECKING:
    from domain.registry.events import DomainEvent
    from domain.registry.ports import Entry

_NEWEST = 20


@click.group()
def ledger() -> None:
    """The append-only log of what happened: show, checkpoint, witness."""


@ledger.command("show")
@click.option(
    "--from", "start", type=click.IntRange(min=0), metavar="INDEX", help="First entry; without it the newest."
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=_NEWEST,
    show_default=True,
    metavar="N",
    help="At most N entries.",
)
@json_option
@click.pass_context
def show(context: click.Context, start: int | None, limit: int, as_json: bool) -> None:
    """Show entries of the ledger, oldest first.

    Exit code 1 if one of them cannot be read; `veritas verify --all` says more.

    \b
    Examples:
      veritas ledger show
      veritas ledger show --from 0 --limit 100 --json
    """
    from veritasvault.bootstrap import bootstrap

    port = bootstrap().ledger.port
    size = port.size()
    last = port.last_checkpoint()
    signed = 0 if last is None else last.size
    first = max(0, size - limit) if start is None else start
    entries = [_readable(entry) for entry in port.read(first, first + limit)]
    if as_json:
        listed = [_document(entry, event) for entry, event in entries]
        counts = {"size": size, "signed": signed, "pending": size - signed}
        print_json({"origin": port.origin() if size else None, **counts, "entries": listed})
    else:
        printer = Printer()
        name = port.origin() if size else "the ledger"
        printer.line(f"{name}: {count(size, 'entry', 'entries')}, {signed} of them signed")
        if entries:
            printer.table(("entry", "at", "event", "about"), [_row(entry, event) for entry, event in entries])
    if any(event is None for _, event in entries):
        context.exit(BAD)


@ledger.command("checkpoint")
@json_option
def checkpoint(as_json: bool) -> None:
    """Sign pending entries; print the signed note.

    The note is a C2SP tlog-checkpoint; who keeps a copy can later prove that
    nothing before it was changed or cut off.

    \b
    Examples:
      veritas ledger checkpoint > checkpoint.txt
      veritas ledger checkpoint --json
    """
    from domain.registry.ledger.checkpoint import open_checkpoint, vkey
    from veritasvault.bootstrap import bootstrap

    service = bootstrap().ledger
    note = service.checkpoint().note
    if not as_json:
        sys.stdout.write(note.decode())
        return
    keys = service.signer.public_keys()
    head = open_checkpoint(note, keys, service.signer.verify)
    print_json(
        {
            "origin": head.origin,
            "size": head.size,
            "root": head.root.hex(),
            "note": note.decode(),
            "keys": [vkey(key) for key in keys],
        }
    )


@ledger.command("witness")
@click.argument("uri", metavar="URI")
@click.option("--new", is_flag=True, help="URI is new, or lost what it had: hand over all it should have.")
@json_option
def witness(uri: str, new: bool, as_json: bool) -> None:
    """Sign pending entries and copy the checkpoint to URI.

    URI is file:///directory or s3://bucket/prefix, a place that whoever operates this registry cannot
    change, kept for this ledger alone. Nothing is copied, and the exit code is 1, if the ledger does not
    continue what is there, or if URI has nothing, or no longer what it was given: start a place with --new.
    `veritas verify --all` compares with the places in VERITAS_WITNESSES.

    \b
    Examples:
      veritas ledger witness file:///mnt/auditor/veritas --new
      veritas ledger witness file:///mnt/auditor/veritas
      veritas ledger witness s3://auditor-checkpoints/veritas --json
    """
    from domain.registry.ledger.witness import witness as hand_over
    from veritasvault.bootstrap import bootstrap

    application = bootstrap()
    service = application.ledger
    place = application.witness(uri)
    newest = hand_over(service, place, new=new)
    if as_json:
        print_json({"origin": service.port.origin(), "size": newest.size, "witness": str(place)})
    else:
        entries = count(newest.size, "entry", "entries")
        Printer().line(f"The checkpoint of {service.port.origin()}, {entries}, is at {place}")


def _readable(entry: Entry) -> tuple[Entry, DomainEvent | None]:
    """An entry with its event; None for one that was changed."""
    from domain.registry.errors import IntegrityError
    from domain.registry.ledger.view import recorded

    try:
        return entry, recorded(entry).event
    except IntegrityError:
        return entry, None


def _document(entry: Entry, event: DomainEvent | None) -> dict[str, Any]:
    return {
        "index": entry.index,
        "leaf_hash": entry.leaf_hash.hex(),
        "kind": None if event is None else event.KIND,
        "at": None if event is None else event.to_json()["at"],
        "event": None if event is None else event.to_json(),
    }


def _row(entry: Entry, event: DomainEvent | None) -> tuple[object, ...]:
    if event is None:
        return entry.index, None, Styled("unreadable", "bad"), "run veritas verify --all"
    document = event.to_json()
    return entry.index, document["at"], event.KIND, _about(document)


def _about(document: dict[str, Any]) -> str:
    """The key, model, version, objects or audit that an event is about, and the gates that refused it."""
    if "fingerprint" in document:
        return f"key {document['fingerprint'][:16]}"
    if "damaged" in document:
        damaged = document["damaged"]
        found = f"{count(len(damaged), 'model')} damaged" if damaged else "nothing damaged"
        return (
            f"{document['day']}: {document['read']} of {count(document['versions'], 'version')} read, {found}"
        )
    if "models" in document:
        models, attachments = len(document["models"]), len(document["attachments"])
        return f"{count(models, 'model')}, {count(attachments, 'attachment')}"
    version = document.get("version")
    about = str(document["name"]) if version is None else f"{document['name']}@{version}"
    refused = [gate["gate"] for gate in document.get("gates", ()) if gate["outcome"] == "failed"]
    return f"{about}: {', '.join(refused)}" if refused else about
