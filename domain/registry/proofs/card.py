"""The model card of a version, made from nothing but its proof bundle."""

from __future__ import annotations

from domain.registry.canonical import decode
from domain.registry.card import Card, LedgerRecord, Subject, build_card, figures
from domain.registry.card.subject import PICTURES
from domain.registry.errors import NotVerified
from domain.registry.evidence import EVIDENCE, Attachment, Evidence
from domain.registry.proofs.bundle import ProofBundle
from domain.registry.proofs.check import ProofReport

_MAKE_CHAMPIONS = ("ModelPromoted", "ModelRolledBack")


def card_of(bundle: ProofBundle, report: ProofReport) -> Card:
    """The card as of the bundle's checkpoint; it compares with no champion, whose figures are elsewhere.

    Raises:
        NotVerified: the bundle does not hold together, so a card would claim what is not proved.
    """
    event, manifest = report.event, report.manifest
    if not report.consistent or event is None or manifest is None:
        raise NotVerified(f"no card is made of {bundle.reference}, its bundle does not hold together")
    kept = [
        Attachment(item.name, item.media_type, bundle.attachments[item.sha256]) for item in event.attachments
    ]
    evidence = next((item.content for item in kept if item.name == EVIDENCE), None)
    record = LedgerRecord(
        index=bundle.index,
        event=event,
        later=report.later,
        signed=report.checkpoint,
        in_use=_in_use(bundle.version, report),
    )
    return build_card(
        Subject(
            manifest=manifest,
            evidence=None if evidence is None else Evidence.from_json(decode(evidence, EVIDENCE)),
            gates=event.gates,
            figures=figures([item for item in kept if item.media_type in PICTURES]),
            origin=event.provenance,
            record=record,
        )
    )


def _in_use(version: int, report: ProofReport) -> bool:
    """Whether the version is champion; what displaces a champion names it, so it is among later events."""
    champion = False
    for found in report.later:
        named = getattr(found.event, "version", None)
        if found.event.KIND in _MAKE_CHAMPIONS:
            champion = named == version
        elif found.event.KIND == "ModelRetired" and named == version:
            champion = False
    return champion
