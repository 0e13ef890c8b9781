"""What an audit of the whole registry found.

The events are numbered from 0 without gaps, and the number is in the dedupe key, so the newest is found
without reading the other events, and of two audits that end at once the ledger takes one.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, ClassVar

from domain.registry.audit_share import Share
from domain.registry.canonical import Digest
from domain.registry.errors import InvalidInput
from domain.registry.events.record import Provenance, Record
from domain.registry.manifest import ModelId
from domain.registry.ports import VersionRow


def audit_key(sequence: int) -> str:
    """Dedupe key of the audit with this number."""
    return f"audit:{sequence}"


def as_period(field: str, value: object) -> int:
    """Return a number of days, 1 and up."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(field, value, "give a whole number of days, at least 1")
    return value


@dataclass(frozen=True, slots=True)
class RegistryAuditedEvent(Record):
    """The ledger verified up to here, and a share of the stored models was read; this is what was found.

    Attributes:
        first, day, period: which share was read, see `Share`.
        entries: how many ledger entries verified; versions that later ones register were not looked at.
        versions: how many versions these entries list.
        read: how many of them were read, every byte.
        share: digest of the sorted list of the ids that were read.
        also: models that were read although it was not their turn.
        damaged: models of which something stored is missing or differs.
        problems: what differs, the first hundred objects.
        witnessed: how many checkpoints of witnesses the ledger continues.
    """

    KIND: ClassVar[str] = "RegistryAudited"

    sequence: int
    first: dt.date
    day: dt.date
    period: Annotated[int, as_period]
    entries: int
    versions: int
    read: int
    share: Digest
    also: tuple[ModelId, ...]
    damaged: tuple[ModelId, ...]
    problems: tuple[str, ...]
    witnessed: int
    provenance: Provenance
    at: dt.datetime

    @property
    def key(self) -> str:
        return audit_key(self.sequence)

    @property
    def verified(self) -> bool:
        """Whether nothing that was looked at differs."""
        return not self.damaged and not self.problems

    def has_read(self, row: VersionRow) -> bool:
        """Whether every byte of a version was read."""
        turn = Share(self.first, self.day, self.period).has(row.model_id)
        return row.index < self.entries and (turn or row.model_id in self.also)
