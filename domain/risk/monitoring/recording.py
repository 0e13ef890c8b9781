"""Decides what a monitoring adds to the ledger, and whether it starts a retraining."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace

from domain.registry.events import DomainEvent
from domain.registry.events.monitoring import DriftDetectedEvent, ModelMonitoredEvent
from domain.registry.ledger.view import LedgerView

Outcome = ModelMonitoredEvent | DriftDetectedEvent

_NEVER = dt.datetime.min.replace(tzinfo=dt.UTC)


def decide_monitoring(view: LedgerView, event: Outcome, cooldown: dt.timedelta) -> Sequence[DomainEvent]:
    """Pure: the event with the next number of its name, or the one that said the same of the session before.

    Args:
        event: of any number; that it is drift is known, whether it starts a retraining is decided here.
        cooldown: so long after one retraining no drift of the name starts another.
    """
    earlier: list[Outcome] = [one.event for one in view.monitoring(event.name)]  # type: ignore[misc]
    for other in earlier:
        if _content(other) == _content(event):
            return (other,)
    numbered = replace(event, sequence=len(earlier))
    if isinstance(numbered, DriftDetectedEvent):
        numbered = replace(numbered, retrain=_starts_retraining(numbered, earlier, cooldown))
    return (numbered,)


def _starts_retraining(event: DriftDetectedEvent, earlier: Sequence[Outcome], cooldown: dt.timedelta) -> bool:
    """Whether this is news: no later session was looked at, and nothing was started for what still lasts."""
    if any(other.as_of > event.as_of for other in earlier):
        return False
    started = [other for other in earlier if isinstance(other, DriftDetectedEvent) and other.retrain]
    if any(other.as_of + cooldown > event.as_of for other in started):
        return False
    return not any(other.version == event.version and _lasts(other, earlier) for other in started)


def _lasts(breach: DriftDetectedEvent, earlier: Sequence[Outcome]) -> bool:
    """Whether no session since was found without drift of the same version."""
    return not any(
        isinstance(other, ModelMonitoredEvent)
        and other.version == breach.version
        and other.as_of > breach.as_of
        for other in earlier
    )


def _content(event: Outcome) -> Outcome:
    """The event without what may differ between two tries of the same monitoring."""
    same = replace(event, sequence=0, at=_NEVER, provenance={})
    return replace(same, retrain=False) if isinstance(same, DriftDetectedEvent) else same
