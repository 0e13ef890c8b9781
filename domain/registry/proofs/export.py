"""Making proof bundles of what registry and ledger hold."""

from __future__ import annotations

from collections.abc import Sequence

from domain.registry.catalog import ModelCatalog
from domain.registry.errors import IntegrityError, NotVerified
from domain.registry.ledger.checkpoint import Checkpoint, open_checkpoint, vkey
from domain.registry.ledger.history import evaluations, later_events
from domain.registry.ledger.ledger import Ledger, LedgerView
from domain.registry.ledger.merkle import inclusion_proof
from domain.registry.ledger.view import Recorded
from domain.registry.ports import PublicKey, StoredCheckpoint, VersionRow
from domain.registry.proofs.bundle import BundledEntry, ProofBundle
from domain.registry.proofs.check import verify_proof


class ProofExport:
    """Hands out proofs that need neither this registry nor its ledger."""

    def __init__(self, catalog: ModelCatalog, ledger: Ledger) -> None:
        self._catalog = catalog
        self._ledger = ledger

    def bundle(self, reference: str, *, full: bool = False) -> ProofBundle:
        """The proof of a version with what happened to it until now; signs what is not signed yet.

        Args:
            full: carry all entries of the ledger, which shows that no later event is left out, and also shows
                what the ledger says of other models.

        Raises:
            InvalidInput, NotFound: see `ModelCatalog.resolve`.
            IntegrityError: what is stored was changed; a bundle that does not verify is not handed out.
            SigningKeyRevoked, Unavailable: see `Ledger.checkpoint`.
        """
        row = self._catalog.resolve(reference)
        event = self._catalog.event(row)
        signed = self._ledger.checkpoint()
        key, head = self._opened(signed)
        later = [found for found in later_events(self._ledger, row) if found.index < head.size]
        bundle = ProofBundle(
            name=row.name,
            version=row.version,
            index=row.index,
            scope="full" if full else "version",
            key=vkey(key),
            checkpoint=signed.note,
            entries=self._all(head) if full else self._about(row, head, later),
            manifest=self._catalog.manifest(event).to_bytes(),
            attachments={
                **{kept.sha256: self._catalog.attachment(event, kept) for kept in event.attachments},
                **{
                    evaluated.evidence: self._catalog.evidence(row.model_id, evaluated)
                    for evaluated in evaluations(later, row)
                },
            },
        )
        problems = verify_proof(bundle, self._ledger.signer.verify).problems
        if problems:
            raise IntegrityError(f"{bundle.reference} cannot be proved, {problems[0]}: run veritas verify")
        return bundle

    def _opened(self, signed: StoredCheckpoint) -> tuple[PublicKey, Checkpoint]:
        """The key that signed a note, and what it signed."""
        signer = self._ledger.signer
        for key in signer.public_keys():
            try:
                return key, open_checkpoint(signed.note, [key], signer.verify)
            except NotVerified:
                continue
        raise IntegrityError(f"checkpoint of size {signed.size}: no known key signed it")

    def _all(self, head: Checkpoint) -> tuple[BundledEntry, ...]:
        entries = self._ledger.port.read(0, head.size)
        return tuple(BundledEntry(entry.index, entry.data, ()) for entry in entries)

    def _about(
        self, row: VersionRow, head: Checkpoint, later: Sequence[Recorded]
    ) -> tuple[BundledEntry, ...]:
        """The registration, what followed for the version, and all about keys."""
        port = self._ledger.port
        keys = LedgerView(port, head.size).key_events()
        wanted = {row.index, *(found.index for found in keys), *(found.index for found in later)}
        return tuple(
            BundledEntry(entry.index, entry.data, inclusion_proof(entry.index, head.size, port.nodes))
            for index in sorted(wanted)
            for entry in port.read(index, index + 1)
        )
