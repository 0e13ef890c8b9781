"""The sections of a card that come from the manifest, the gates and the ledger."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from domain.registry.card import details
from domain.registry.card.blocks import Blocks, Cell, Code, Facts, Table, Text, Verdict
from domain.registry.card.measured import THIS, measures
from domain.registry.card.subject import LedgerRecord, Subject
from domain.registry.events.monitoring import ModelMonitoredEvent
from domain.registry.records import instant_text

if TYPE_CHECKING:
    from domain.registry.events import DomainEvent
    from domain.registry.evidence import GateResult, Outcome
    from domain.registry.ledger.view import Recorded

_MEANINGS: Mapping[Outcome, Any] = {"passed": "good", "failed": "bad", "unevaluated": "unsure"}
_DATA_ORIGIN = ("source", "snapshot", "snapshot_id", "report")
"""What provenance says of the data; the rest of it is about the run."""

_OF_ASSETS = "by_asset"
_DIGEST = re.compile("[0-9a-f]{64}")
_EVENTS = {
    "DriftDetected": "drift detected",
    "ModelApproved": "approved",
    "ModelEvaluated": "evaluated on new evidence",
    "ModelMonitored": "monitored, no drift",
    "ModelPromoted": "promoted to champion",
    "ModelRegistered": "superseded",
    "ModelRejected": "rejected",
    "ModelReproduced": "reproduced from its record",
    "ModelRetired": "retired",
    "ModelRolledBack": "rolled back",
    "ApprovalExpired": "approval expired",
    "NotReproduced": "not reproduced",
    "PromotionProposed": "put before those who decide",
    "PromotionRefused": "promotion refused",
    "PromotionsHalted": "promotions halted",
    "PromotionsResumed": "promotions resumed",
    "ReproductionFailed": "not reproduced from its record",
}
_SAID_ELSEWHERE = ("name", "sequence", "at", "actor", "gates", "provenance", "attachments", "findings")


def purpose(subject: Subject) -> Blocks:
    """What the model is for, who answers for it, and how much harm it can do."""
    metadata = subject.manifest.metadata
    return (
        Text(metadata.purpose, "Purpose"),
        Text(metadata.intended_use, "Intended use"),
        Facts(
            (
                ("owner", metadata.owner),
                ("risk tier", tier_text(subject)),
                ("framework", metadata.framework),
            )
        ),
    )


def data(subject: Subject) -> Blocks:
    """The digests that say which data, features, code and environment made the model."""
    lineage = subject.manifest.lineage
    if lineage is None:
        return (Text("Trained elsewhere: the registry knows no data, no features and no code of it."),)
    origin = subject.origin
    return (
        Facts(
            (
                ("as of", lineage.as_of.isoformat()),
                *((_words(name), Code(origin[name])) for name in _DATA_ORIGIN if name in origin),
                ("rows on or before the as-of date", Code(lineage.data)),
                ("feature definition", Code(lineage.features)),
                ("pipeline sources", Code(lineage.sources)),
                ("environment", Code(lineage.environment)),
                ("recipe", Code(lineage.recipe)),
            ),
            "Lineage",
        ),
    )


def training(subject: Subject) -> Blocks:
    """The trainer with its parameters and seed."""
    lineage = subject.manifest.lineage
    if lineage is None:
        return ()
    parameters = lineage.parameters
    names = sorted(parameters, key=lambda name: (name != "trainer", name))
    return (
        Facts(
            (
                *((name, Code(str(parameters[name]))) for name in names),
                ("seed", Code(str(lineage.seed))),
                *_served(subject),
            ),
            "Trainer and parameters",
        ),
    )


def _served(subject: Subject) -> Iterator[tuple[str, Cell]]:
    """How well the ONNX file answers as the model does; nothing where nobody compared them."""
    evidence = subject.evidence
    if evidence is None or "onnx" not in evidence.details:
        return
    found = evidence.onnx_agreement()
    if found is None:
        yield "ONNX form", "none: services need the trainer's framework to run this model"
    else:
        said = f"differs on {found.rows} rows by at most {found.difference:.2g} of the model's answer"
        yield "ONNX form", said


def compared(subject: Subject) -> Blocks:
    """The model beside the champion, and the plots that do not compare assets."""
    plots = tuple(figure for figure in subject.figures if _OF_ASSETS not in figure.name)
    champion = None if subject.record is None else subject.record.champion
    if champion is None or subject.evidence is None:
        return plots
    names = [measure.name for measure in measures(subject.evidence)]
    of_models = ((THIS, subject.evidence.metrics), (champion.reference, champion.metrics))
    rows = tuple((model, *(metrics.get(name) for name in names)) for model, metrics in of_models)
    as_of = f", as of {champion.as_of}," if champion.as_of else ""
    said = f"The champion is {champion.reference}{as_of} with the figures of its own evaluation."
    return (Text(said, "Beside the champion"), Table(("forecasts of", *names), rows), *plots)


def asset_plots(subject: Subject) -> Blocks:
    """The plots that compare assets."""
    return tuple(figure for figure in subject.figures if _OF_ASSETS in figure.name)


def limitations(subject: Subject) -> Blocks:
    """What the owner says that the model does not know or cannot do."""
    return (Text(subject.manifest.metadata.limitations),)


def gates(subject: Subject) -> Blocks:
    """Each gate with what it found."""
    if not subject.gates:
        return ()
    return (Table(("gate", "outcome", "reason"), tuple(_gate(gate) for gate in subject.gates)),)


def approvals(subject: Subject) -> Blocks:
    """What happened to the version since it was registered."""
    record = subject.record
    if record is None:
        return (Text("This card is as of the registration, before anybody could approve anything."),)
    if not record.later:
        return (Text("Nothing has happened to this version since it was registered."),)
    rows = tuple(_later(found, record) for found in _worth_showing(record.later))
    return (Table(("entry", "when", "what", "who", "details"), rows),)


def proof(subject: Subject) -> Blocks:
    """By which digests the model, its files and its evidence are known, and where the ledger has them."""
    manifest, record = subject.manifest, subject.record
    facts: list[tuple[str, Cell]] = [
        ("model id", Code(manifest.model_id)),
        ("artifact", Code(manifest.artifact.digest)),
        ("evidence", None if subject.evidence is None else Code(subject.evidence.digest)),
    ]
    files = Table(
        ("file", "bytes", "SHA-256"),
        tuple((Code(file.path), file.size, Code(file.sha256)) for file in manifest.artifact.files),
    )
    if record is None:
        return (Facts(tuple(facts)), files)
    facts += _registered(record)
    kept = Table(
        ("attachment", "bytes", "SHA-256"),
        tuple((Code(item.name), item.size, Code(item.sha256)) for item in record.event.attachments),
    )
    run = [item for item in sorted(record.event.provenance.items()) if item[0] not in _DATA_ORIGIN]
    made = Table(("provenance", "value"), tuple((_words(name), value) for name, value in run))
    tables = [table for table in (files, kept, made) if table.rows]
    return (Facts(tuple(facts)), *tables)


def tier_text(subject: Subject) -> str:
    """The risk tier as a number and a word."""
    tier = subject.manifest.metadata.risk_tier
    return f"{int(tier)} ({tier.name.lower()})"


def _registered(record: LedgerRecord) -> list[tuple[str, Cell]]:
    event, signed = record.event, record.signed
    signatures = [item for item in event.attachments if item.name.endswith(".sig")]
    facts: list[tuple[str, Cell]] = [
        ("ledger entry", record.index),
        ("registered at", instant_text(event.at)),
        (
            "supersedes",
            None if event.supersedes is None else f"{event.name}@{event.supersedes}",
        ),
        *((("retrained because", event.retrain_reason),) if event.retrain_reason else ()),
        *((f"signature {item.name}", Code(item.sha256)) for item in signatures),
    ]
    if not signatures:
        facts.append(("signature of the artifact", None))
    if signed is None:
        return [*facts, ("signed checkpoint", Verdict("not signed yet", "unsure"))]
    return [
        *facts,
        ("signed checkpoint", f"{signed.origin}, size {signed.size:,}"),
        ("root of the ledger", Code(signed.root.hex())),
    ]


def _gate(gate: GateResult) -> tuple[Cell, ...]:
    return gate.gate, Verdict(gate.outcome, _MEANINGS[gate.outcome]), gate.reason


def _worth_showing(later: Sequence[Recorded]) -> list[Recorded]:
    """Of the monitorings without drift the newest alone: there is one on each day."""
    calm = [found.index for found in later if isinstance(found.event, ModelMonitoredEvent)]
    return [found for found in later if found.index not in calm[:-1]]


def _later(found: Recorded, record: LedgerRecord) -> tuple[Cell, ...]:
    event = found.event
    actor = getattr(event, "actor", None) or getattr(event, "provenance", {}).get("actor")
    return found.index, instant_text(event.at), _what(event), actor, _told(event, record) or None


def _what(event: DomainEvent) -> str:
    return _EVENTS.get(event.KIND, event.KIND)


def _told(event: DomainEvent, record: LedgerRecord) -> str:
    """An event's fields in words: what tells something to people, without what stands in other columns."""
    if event.KIND == record.event.KIND:
        return f"by version {getattr(event, 'version', '')}"
    fields = {name: value for name, value in event.to_json().items() if name not in _SAID_ELSEWHERE}
    if fields.get("version") == record.event.version:
        del fields["version"]
    told = [_value(fields.pop(name)).rstrip(".") for name in ("reason", "reasons") if fields.get(name)]
    told += [f"{_words(name)} {_value(value)}" for name, value in fields.items() if _says(value)]
    judged = getattr(event, "gates", ())
    if judged:
        passed = sum(gate.outcome == "passed" for gate in judged)
        told.append(f"{passed} of {len(judged)} gates passed")
    return "; ".join(told)


def _says(value: object) -> bool:
    return value is not None and value != "" and value != []


def _value(value: object) -> str:
    """A value as a part of a sentence; a digest by its beginning, the ledger has it all."""
    if isinstance(value, Mapping):
        said = ((str(name), item) for name, item in sorted(value.items()) if _says(item))
        return ", ".join(f"{_words(name)} {_value(item)}" for name, item in said)
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return f"{value[:12]}…"
    return str(details.cell(value))


def _words(name: str) -> str:
    return name.replace("_", " ")
