"""What the entries of a ledger refer to, which is what garbage collection must never touch."""

from __future__ import annotations

import json
import re

from domain.registry.errors import IntegrityError, InvalidInput
from domain.registry.events import ModelRegisteredEvent
from domain.registry.events.collection import COLLECTION_EVENTS, AttachmentOfModel
from domain.registry.ledger.merkle import leaf_hash
from domain.registry.ledger.view import LedgerView
from domain.registry.manifest import ModelId, as_model_id
from domain.registry.ports import Entry

_OF_COLLECTIONS = frozenset(event.KIND for event in COLLECTION_EVENTS)
_DIGEST = re.compile(rb"[0-9a-f]{64}")


class References:
    """The models that a ledger lists and the digests that it names, read from its entries.

    Not from its projection of versions: who changes a row there must not get a model deleted. And every
    digest that any entry names counts, whatever the entry is about, so an event of a new kind that refers to
    attachments is minded before anybody thinks of gc.
    """

    def __init__(self) -> None:
        self._size = 0
        self._models: set[ModelId] = set()
        self._digests: set[bytes] = set()

    def read(self, view: LedgerView) -> References:
        """Read the entries up to the view's size that were not read before; returns itself.

        Raises:
            IntegrityError: one of them was changed.
        """
        for entry in view.port.read(self._size, view.size):
            self._add(entry)
        self._size = max(self._size, view.size)
        return self

    def models(self) -> frozenset[ModelId]:
        """The ids of all registered models."""
        return frozenset(self._models)

    def _add(self, entry: Entry) -> None:
        # Not the strict reader of events, which costs ten times as much: gc has verified the ledger before.
        what = f"ledger entry {entry.index}"
        if leaf_hash(entry.data) != entry.leaf_hash:
            raise IntegrityError(f"{what}: its bytes do not have its leaf hash")
        try:
            document = json.loads(entry.data)
            kind = document["kind"]
            if kind == ModelRegisteredEvent.KIND:
                self._models.add(as_model_id("model_id", document["event"]["model_id"]))
        except (ValueError, KeyError, TypeError, InvalidInput) as error:
            raise IntegrityError(f"{what} is not an event: {error!r}") from error
        if kind not in _OF_COLLECTIONS:
            self._digests.update(bytes.fromhex(found.decode()) for found in _DIGEST.findall(entry.data))

    def lists(self, model_id: ModelId) -> bool:
        """Whether a version is registered with this id."""
        return model_id in self._models

    def names(self, digest: str) -> bool:
        """Whether an entry, other than those of gc, has this SHA-256 in it."""
        return bytes.fromhex(digest) in self._digests

    def free(self, attachment: AttachmentOfModel) -> bool:
        """Whether an attachment belongs to a registered model and nothing refers to it."""
        return self.lists(attachment.model_id) and not self.names(attachment.sha256)
