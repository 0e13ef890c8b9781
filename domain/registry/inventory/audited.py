"""What the newest audits of the registry say of a model."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from domain.registry.events.audit import RegistryAuditedEvent
from domain.registry.ledger.view import LedgerView
from domain.registry.ports import VersionRow

_MOST = 100
"""How many audits are looked through: what none of them read was not read for a long time."""


@dataclass(frozen=True, slots=True)
class Audited:
    """When a model was last read as a whole, and what was wrong with it.

    Attributes:
        problems: one sentence for each object of it that differed, of any version; empty if none did.
    """

    at: dt.datetime
    verified: bool
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewestAudits:
    """The newest audits of a registry, the newest first."""

    events: tuple[RegistryAuditedEvent, ...]

    @classmethod
    def of(cls, view: LedgerView) -> Self:
        """Read them in a few look-ups. Raises IntegrityError if one was changed."""
        found = (one.event for one in view.audit_events(max(0, view.audits() - _MOST)))
        events = [event for event in found if isinstance(event, RegistryAuditedEvent)]
        return cls(tuple(reversed(events)))

    def about(self, rows: Sequence[VersionRow]) -> Audited | None:
        """What they say of a name, by some of its versions; None if none of them read these.

        The newest audit tells of damage to any version; otherwise the newest one that read them tells when.
        """
        if not self.events or not rows:
            return None
        newest, name = self.events[0], rows[0].name
        problems = tuple(one for one in newest.problems if f" {name}@" in one)
        if problems or any(row.model_id in newest.damaged for row in rows):
            return Audited(newest.at, False, problems)
        read = next((one for one in self.events if all(one.has_read(row) for row in rows)), None)
        if read is None:
            return None
        verified = not any(row.model_id in read.damaged for row in rows)
        return Audited(read.at, verified, ())
