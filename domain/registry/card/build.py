"""Putting a card together: its head, and its sections in their order."""

from __future__ import annotations

from collections import Counter

from domain.registry.card.blocks import Card, Cell, Code, Facts, Verdict
from domain.registry.card.measured import measures
from domain.registry.card.recorded import tier_text
from domain.registry.card.sections import SECTIONS
from domain.registry.card.subject import LedgerRecord, Subject


def build_card(subject: Subject) -> Card:
    """The card of a version, or of a candidate before it is registered.

    The same subject gives the same card: nothing is read from a clock or from anywhere else.
    """
    metadata, record = subject.manifest.metadata, subject.record
    if record is None:
        title = metadata.name
        note = "As of the registration: what happened later is not in it. See veritas models card."
    else:
        title = f"{metadata.name}@{record.event.version}"
        note = "With everything the ledger says of this version."
    return Card(
        title=title,
        lead=metadata.purpose,
        summary=_summary(subject),
        note=note,
        sections=tuple(kind.of(subject) for kind in SECTIONS),
    )


def _summary(subject: Subject) -> Facts:
    metadata, lineage = subject.manifest.metadata, subject.manifest.lineage
    rows: list[tuple[str, Cell]] = [
        ("risk tier", tier_text(subject)),
        ("owner", metadata.owner),
        ("as of", None if lineage is None else lineage.as_of.isoformat()),
    ]
    if subject.evidence is not None and subject.evidence.metrics:
        first = measures(subject.evidence)[0]
        rows.append((f"{first.name}, out of sample", subject.evidence.metrics[first.name]))
        rows += [
            (f"{first.name} of {baseline}", metrics[first.name])
            for baseline, metrics in sorted(subject.evidence.baselines.items())
            if first.name in metrics
        ]
    if subject.record is not None:
        rows.append(("in use", _in_use(subject.record)))
    rows.append(("gates", _gates(subject)))
    rows.append(("model id", Code(subject.manifest.model_id)))
    return Facts(tuple(rows))


def _in_use(record: LedgerRecord) -> Verdict | str:
    if record.in_use:
        return Verdict("champion", "good")
    return "no" if record.champion is None else f"no, the champion is {record.champion.reference}"


def _gates(subject: Subject) -> Verdict:
    counted = Counter(gate.outcome for gate in subject.gates)
    if counted["failed"]:
        return Verdict(f"{counted['failed']} of {len(subject.gates)} failed", "bad")
    if counted["unevaluated"] or not subject.gates:
        return Verdict("not evaluated", "unsure")
    return Verdict(f"all {len(subject.gates)} passed", "good")
