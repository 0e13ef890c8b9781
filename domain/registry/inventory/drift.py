"""What the newest monitoring of champions found."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from domain.registry.canonical import Digest
from domain.registry.events.monitoring import DriftDetectedEvent, ModelMonitoredEvent
from domain.registry.ledger.view import LedgerView
from domain.registry.ports import VersionRow


@dataclass(frozen=True, slots=True)
class Drift:
    """What the newest monitoring of a version found.

    Attributes:
        breached: whether the version is not to be relied on.
        as_of: the last session that was looked at.
        report: digest of the page about a breach, which is kept with the version; None without one.
    """

    breached: bool
    at: dt.datetime
    as_of: dt.date
    report: Digest | None


def drift_of(view: LedgerView, champions: Sequence[VersionRow]) -> dict[str, Drift]:
    """By name, what the newest monitoring found of these champions; nothing of one that was not monitored.

    Raises:
        IntegrityError: an event was changed.
    """
    newest = view.newest_monitoring([row.name for row in champions])
    found = {}
    for row in champions:
        event = newest[row.name].event if row.name in newest else None
        if isinstance(event, DriftDetectedEvent) and event.version == row.version:
            found[row.name] = Drift(True, event.at, event.as_of, event.report)
        elif isinstance(event, ModelMonitoredEvent) and event.version == row.version:
            found[row.name] = Drift(False, event.at, event.as_of, None)
    return found
