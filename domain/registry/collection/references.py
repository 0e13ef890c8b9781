"""What the entries of a ledger refer to, which is what garbage collection must never touch."""

from __future__ import annotations

import re

from domain.registry.events import ModelRegisteredEvent
from domain.registry.events.collection import AttachmentOfModel, CollectedEvent, CondemnedEvent
from domain.registry.ledger.view import LedgerView, recorded
from domain.registry.manifest import ModelId

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
            event = recorded(entry).event
            if not isinstance(event, CondemnedEvent | CollectedEvent):
                self._digests.update(bytes.fromhex(found.decode()) for found in _DIGEST.findall(entry.data))
            if isinstance(event, ModelRegisteredEvent):
                self._models.add(event.model_id)
        self._size = max(self._size, view.size)
        return self

    def models(self) -> frozenset[ModelId]:
        """The ids of all registered models."""
        return frozenset(self._models)

    def lists(self, model_id: ModelId) -> bool:
        """Whether a version is registered with this id."""
        return model_id in self._models

    def names(self, digest: str) -> bool:
        """Whether an entry, other than those of gc, has this SHA-256 in it."""
        return bytes.fromhex(digest) in self._digests

    def free(self, attachment: AttachmentOfModel) -> bool:
        """Whether an attachment belongs to a registered model and nothing refers to it."""
        return self.lists(attachment.model_id) and not self.names(attachment.sha256)
