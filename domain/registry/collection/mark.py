"""The mark that a registry bears: which ledger it belongs to, and how far that ledger was seen.

Without it nothing tells a registry's own ledger from an empty or an older one, under which every model looks
like garbage. Format: docs/formats.md, `veritasvault/ledger-mark/v1`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from domain.registry.canonical import decode, encode
from domain.registry.errors import DomainException, IntegrityError, InvalidInput
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.witness import verify_seen
from domain.registry.manifest import ModelId
from domain.registry.ports import CollectablePort, StoredCheckpoint
from domain.registry.records import Fields, as_instant, as_text, instant_text

LEDGER_MARK_FORMAT = "veritasvault/ledger-mark/v1"
_WHAT = "the registry's mark ledger.json"


@dataclass(frozen=True, slots=True)
class LedgerMark:
    """What `ledger.json` says.

    Attributes:
        ledger: the origin of the ledger that the registry belongs to.
        checkpoint: the newest checkpoint that gc saw; the ledger must continue it.
        noticed: when gc first saw something that nothing refers to, by its name, where no times are kept.
    """

    ledger: str
    checkpoint: StoredCheckpoint | None = None
    noticed: Mapping[str, dt.datetime] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The canonical bytes of the mark."""
        seen = self.checkpoint
        return encode(
            {
                "format": LEDGER_MARK_FORMAT,
                "ledger": self.ledger,
                "checkpoint": None if seen is None else {"size": seen.size, "note": seen.note.decode()},
                "noticed": {name: instant_text(at) for name, at in self.noticed.items()},
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> LedgerMark:
        """Read what `to_bytes` writes. Raises IntegrityError for anything else."""
        try:
            fields = Fields.of("mark", decode(data, _WHAT), ("format", "ledger", "checkpoint", "noticed"))
            if fields.values["format"] != LEDGER_MARK_FORMAT:
                raise InvalidInput("format", fields.values["format"], f"only {LEDGER_MARK_FORMAT} is known")
            noticed = fields.mapping("noticed")
            return cls(
                fields.text("ledger"),
                _checkpoint(fields.values["checkpoint"]),
                {as_text("noticed", name): as_instant("noticed", at) for name, at in noticed.items()},
            )
        except DomainException as error:
            raise IntegrityError(f"{_WHAT} cannot be read, restore it from a backup: {error}") from error


def read_mark(repository: CollectablePort) -> LedgerMark | None:
    """The mark of a registry; None if it bears none. Raises IntegrityError if it cannot be read."""
    data = repository.ledger_mark()
    return None if data is None else LedgerMark.from_bytes(data)


def mark_if_new(repository: CollectablePort, ledger: Ledger) -> None:
    """Let a registry that holds nothing yet belong to this ledger, before the first model is stored.

    An older registry, which holds models and bears no mark, stays as it is.

    Raises:
        InvalidInput: it belongs to another ledger.
    """
    mark = read_mark(repository)
    if mark is not None:
        require_ledger(mark, ledger)
    elif next(repository.stored(), None) is None:
        repository.set_ledger_mark(LedgerMark(ledger.port.origin()).to_bytes())


def mark_before_copying(repository: CollectablePort, ledger: Ledger, listed: Container[ModelId]) -> None:
    """Let a registry belong to this ledger before models that it lists are copied there.

    Without a mark it may hold only such models: mixed with those of another ledger, they would be garbage to
    the one or the other.

    Args:
        listed: the ids of the ledger's models.

    Raises:
        InvalidInput: it belongs to another ledger, or holds other models and does not say whose.
    """
    mark = read_mark(repository)
    if mark is not None:
        require_ledger(mark, ledger)
        return
    for stored in repository.stored():
        if stored.model_id not in listed:
            raise InvalidInput(
                "destination",
                "without ledger.json",
                f"it holds model {stored.model_id}, which the source's ledger does not list, so it may "
                "belong to another one: give an empty place",
            )
    repository.set_ledger_mark(LedgerMark(ledger.port.origin()).to_bytes())


def require_ledger(mark: LedgerMark, ledger: Ledger) -> None:
    """Raise InvalidInput unless the mark is of this ledger."""
    if mark.ledger != ledger.port.origin():
        raise InvalidInput(
            "ledger",
            ledger.port.origin(),
            f"the registry belongs to the ledger {mark.ledger}, set VERITAS_LEDGER to that one, or use "
            "another registry",
        )


def require_continued(mark: LedgerMark, ledger: Ledger) -> None:
    """Raise IntegrityError unless the ledger continues the checkpoint that the registry has seen."""
    if mark.checkpoint is None:
        return
    problems = verify_seen(ledger.port, ledger.signer, [(_WHAT, mark.checkpoint)]).problems
    if problems:
        raise IntegrityError(
            f"nothing was collected, the registry has seen another history ({problems[0].reason}): "
            "restore the ledger from its newest backup"
        )


def _checkpoint(value: Any) -> StoredCheckpoint | None:
    if value is None:
        return None
    fields = Fields.of("checkpoint", value, ("size", "note"))
    note = fields.values["note"]
    if not isinstance(note, str):
        raise InvalidInput("checkpoint.note", note, "give a text")
    return StoredCheckpoint(fields.integer("size"), note.encode())
