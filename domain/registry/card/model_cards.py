"""The cards of registered versions, with all that the ledger says of them by now."""

from __future__ import annotations

from domain.registry.canonical import decode
from domain.registry.card import Card, LedgerRecord, Rival, Subject, build_card, figures
from domain.registry.card.subject import PICTURES
from domain.registry.catalog import CHAMPION, ModelCatalog
from domain.registry.errors import NotFound
from domain.registry.events import ModelRegisteredEvent
from domain.registry.evidence import EVIDENCE, Attachment, Evidence
from domain.registry.ledger.checkpoint import Checkpoint
from domain.registry.ledger.history import later_events
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.receipt import verify_receipt
from domain.registry.ports import VersionRow


class ModelCards:
    """Makes cards of what the catalog and the ledger hold; everything it shows was checked against them."""

    def __init__(self, catalog: ModelCatalog, ledger: Ledger) -> None:
        self._catalog = catalog
        self._ledger = ledger

    def card(self, reference: str) -> Card:
        """The card of a version as it is known now; nothing is signed or written for it.

        Raises:
            InvalidInput, NotFound: see `ModelCatalog.resolve`.
            IntegrityError: an entry, the manifest or an attachment was changed.
        """
        found = self._catalog.show(reference)
        event = found.event
        pictures = [
            Attachment(item.name, item.media_type, self._catalog.attachment(event, item))
            for item in event.attachments
            if item.media_type in PICTURES
        ]
        champion = self._champion(found.row)
        record = LedgerRecord(
            index=found.row.index,
            event=event,
            later=tuple(later_events(self._ledger, found.row)),
            signed=self._signed(found.row.index),
            in_use=champion == found.row,
            champion=None if champion in (None, found.row) else self._rival(champion),
        )
        return build_card(
            Subject(
                manifest=found.manifest,
                evidence=self._evidence(event),
                gates=event.gates,
                figures=figures(pictures),
                origin=event.provenance,
                record=record,
            )
        )

    def _evidence(self, event: ModelRegisteredEvent) -> Evidence | None:
        kept = next((item for item in event.attachments if item.name == EVIDENCE), None)
        if kept is None:
            return None
        content = self._catalog.attachment(event, kept)
        return Evidence.from_json(decode(content, f"{EVIDENCE} of {event.name}@{event.version}"))

    def _champion(self, row: VersionRow) -> VersionRow | None:
        try:
            return self._catalog.resolve(f"{row.name}@{CHAMPION}")
        except NotFound:
            return None

    def _rival(self, row: VersionRow) -> Rival:
        evidence = self._evidence(self._catalog.event(row))
        return Rival(
            reference=f"{row.name}@{row.version}",
            as_of=None if row.as_of is None else row.as_of.isoformat(),
            metrics={} if evidence is None else evidence.metrics,
        )

    def _signed(self, index: int) -> Checkpoint | None:
        """The newest checkpoint, if it proves the entry; asking for a receipt would sign one otherwise."""
        last = self._ledger.port.last_checkpoint()
        if last is None or last.size <= index:
            return None
        signer = self._ledger.signer
        receipt = self._ledger.receipt(index)
        return verify_receipt(receipt, signer.public_keys(), signer.verify).checkpoint
