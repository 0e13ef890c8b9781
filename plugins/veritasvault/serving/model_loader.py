"""Loads versions for services: the ledger says what a reference names, and the cached proof what it is."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from domain.registry.catalog import ModelCatalog, Reference
from domain.registry.errors import IntegrityError, NotFound, NotVerified, Unavailable
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.prefix import LedgerPrefix
from domain.registry.lifecycle.state import Lifecycle
from domain.registry.manifest import ModelId
from domain.registry.ports import ModelRegistryPort, SignerPort, StoredCheckpoint, VersionRow
from domain.registry.proofs.export import ProofExport
from domain.registry.signing.key_ring import KeyRing
from veritasvault.adapters.durable_files import write_durably
from veritasvault.adapters.sql_ledger import SqlLedger
from veritasvault.serving.copy_check import ARTIFACT, PROOF, Verified, retired, verify_copy
from veritasvault.serving.model import Model
from veritasvault.serving.model_cache import CachedCopy, ModelCache


class ModelLoader:
    """Resolves references by the signed part of the ledger, and keeps verified copies with their proofs.

    A copy's proof is a bundle as `veritas export-proof` writes it, so a copy is verified without registry and
    ledger, whenever it is loaded, with the public keys of the home.
    """

    def __init__(
        self, registry: ModelRegistryPort, ledger: SqlLedger, verifier: SignerPort, cache: ModelCache
    ) -> None:
        """`verifier` knows the public keys of checkpoints; it never signs."""
        self._registry = registry
        self._port = ledger
        self._verifier = verifier
        self._cache = cache

    def load(self, reference: str) -> Model:
        """The version that a reference names, see `veritas.load`."""
        wanted = Reference.parse(reference)
        try:
            signed = self._signed()
            row = self._resolved(reference, signed)
        except Unavailable as error:
            if wanted.alias is not None:
                raise Unavailable(
                    f"{reference} is what the ledger says, and it cannot be asked ({error}): load a version "
                    "by its number, which needs no ledger once it is in the cache"
                ) from error
            return self._from_cache(reference, wanted, error)
        copy, verified = self._copy_of(row, signed)
        return Model(reference, copy, verified, self.refreshed, confirmed=True)

    def refreshed(self, model: Model) -> Model:
        """The model itself while its reference names the same version, or what it names now.

        The ledger is asked about every reference, because a version that is named by its number may be
        retired meanwhile; once confirmed, such a one stays while the ledger is away.
        """
        try:
            row = self._resolved(model.reference, self._signed())
        except Unavailable:
            if Reference.parse(model.reference).alias is None and model.confirmed:
                return model
            raise
        if row.model_id != model.model_id:
            return self.load(model.reference)
        model.confirmed = True
        return model

    def _signed(self) -> Ledger:
        """The ledger up to its newest checkpoint; what nobody signed yet does not count.

        Raises:
            Unavailable: there is no ledger, or it cannot be read now.
            NotVerified: nothing is signed.
            IntegrityError: a key signed it that is revoked by then, or an entry about keys was changed.
        """
        self._verifier.public_keys()  # Without any, a missing key would be taken for a forged checkpoint.
        if self._port.existing_origin() is None:
            raise Unavailable("there is no ledger at the place that VERITAS_LEDGER names")
        last = self._port.last_checkpoint()
        if last is None:
            raise NotVerified("nothing in the ledger is signed: run veritas ledger checkpoint")
        signed = Ledger(LedgerPrefix(self._port, last.size), self._verifier)
        _require_good_signer(last, signed)
        return signed

    def _resolved(self, reference: str, signed: Ledger) -> VersionRow:
        """The row of the version that a reference names, not retired.

        Proved under the signed checkpoint are the entry that registers it, and the events that say who is
        champion and what is retired. That none of these is hidden is shown by verifying the whole ledger.
        """
        try:
            row = ModelCatalog(self._registry, signed).resolve(reference)
        except NotFound as error:
            pending = self._port.size() - signed.port.size()
            if pending:
                raise NotFound(
                    f"{error}; {pending} ledger entries are not signed yet and do not count: run veritas "
                    "ledger checkpoint"
                ) from error
            raise
        signed.verify_entry(row.index)
        for found in signed.view().lifecycle(row.name):
            signed.verify_entry(found.index)
        self._require_not_retired(row, signed)
        return row

    def _require_not_retired(self, row: VersionRow, signed: Ledger) -> None:
        view = signed.view()
        if row.version not in Lifecycle.of(view, row.name).retired:
            return
        # Without the ledger nobody could tell any more.
        self._cache.forget(row.model_id)
        index = next(
            found.index
            for found in view.lifecycle(row.name)
            if found.event.KIND == "ModelRetired" and getattr(found.event, "version", None) == row.version
        )
        raise retired(f"{row.name}@{row.version}", index)

    def _copy_of(self, row: VersionRow, signed: Ledger) -> tuple[CachedCopy, Verified]:
        def fill(directory: Path) -> None:
            catalog = ModelCatalog(self._registry, signed)
            bundle = ProofExport(catalog, signed).bundle(f"{row.name}@{row.version}")
            self._registry.retrieve_model(row.model_id, directory / ARTIFACT)
            write_durably(directory / PROOF, bundle.to_bytes())

        found = self._cache.get(row.model_id, lambda copy: self._verified(copy, row.model_id), fill)
        self._cache.name(f"{row.name}@{row.version}", row.model_id)
        return found

    def _from_cache(self, reference: str, wanted: Reference, error: Unavailable) -> Model:
        """A version by its number or id while the ledger is away. Raises Unavailable if it is not there."""

        def fill(_: Path) -> NoReturn:
            raise Unavailable(
                f"{reference} is not in the cache, and the ledger cannot be asked ({error})"
            ) from error

        model_id = wanted.model_id or self._cache.named(reference)
        if model_id is None:
            fill(Path())
        found, verified = self._cache.get(model_id, lambda copy: self._verified(copy, model_id), fill)
        event = verified.event
        if wanted.name is not None and (event.name, event.version) != (wanted.name, wanted.version):
            raise IntegrityError(
                f"the cache has {event.name}@{event.version} under the name {reference}: remove the cache's "
                "directory names"
            )
        return Model(reference, found, verified, self.refreshed, confirmed=False)

    def _verified(self, copy: Path, model_id: ModelId) -> Verified:
        return verify_copy(copy, model_id, self._verifier.public_keys())


def _require_good_signer(checkpoint: StoredCheckpoint, signed: Ledger) -> None:
    """Refuse a checkpoint by a key whose revocation it covers: whoever stole the key could sign anything.

    The events about keys are proved first. Raises IntegrityError.
    """
    events = tuple(signed.view().key_events())
    for found in events:
        signed.verify_entry(found.index)
    verifier = signed.signer
    ring = KeyRing.from_events(events)
    for known in ring.revoked_signers(checkpoint, verifier.public_keys(), verifier.verify):
        raise IntegrityError(
            f"checkpoint of size {checkpoint.size}: it is by the key {known.fingerprint}, revoked since "
            f"ledger entry {known.revoked}; run veritas verify, and restore the ledger from a backup"
        )
