"""Who was champion when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, replace

from domain.registry.events import DomainEvent
from domain.registry.events.lifecycle import ModelPromotedEvent, ModelRetiredEvent, ModelRolledBackEvent


@dataclass(frozen=True, slots=True)
class Reign:
    """A time in which a version was the champion; `until` is None while it is."""

    version: int
    since: dt.datetime
    until: dt.datetime | None = None


def reigns(events: Iterable[DomainEvent]) -> tuple[Reign, ...]:
    """The champions of a name after its lifecycle events, in their order."""
    found: list[Reign] = []
    for event in events:
        champion = found[-1].version if found and found[-1].until is None else None
        if isinstance(event, ModelRetiredEvent) and event.version == champion:
            found[-1] = replace(found[-1], until=event.at)
        elif isinstance(event, ModelPromotedEvent | ModelRolledBackEvent):
            if champion is not None:
                found[-1] = replace(found[-1], until=event.at)
            found.append(Reign(event.version, event.at))
    return tuple(found)
