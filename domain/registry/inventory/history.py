"""How a model's measures went over its versions, beside its baselines and its champions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from domain.registry.inventory.reigns import Reign, reigns
from domain.registry.inventory.versions import VersionInventory
from domain.registry.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Point:
    """What a version measured at its registration, out of sample, and what its baselines did."""

    version: int
    as_of: dt.date | None
    values: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class ChampionPeriod:
    """A time in which a version was champion, with its as-of date."""

    reign: Reign
    as_of: dt.date | None


@dataclass(frozen=True, slots=True)
class History:
    """Points of a page of versions, newest first, and all times of all champions, the first one first.

    Attributes:
        metrics: the names of all metrics on the page, in order.
        next: the entry before which the next page begins; None on the last.
    """

    metrics: tuple[str, ...]
    points: tuple[Point, ...]
    champions: tuple[ChampionPeriod, ...]
    next: int | None


def history(
    ledger: Ledger, versions: VersionInventory, name: str, *, before: int | None = None, limit: int = 50
) -> History:
    """The history of a name; versions whose evidence cannot be read, or have none, are left out.

    Raises:
        NotFound, InvalidInput: no such model.
        IntegrityError: the ledger was changed.
    """
    page = versions.page(name, before=before, limit=limit)
    points = tuple(
        Point(one.row.version, one.row.as_of, one.evidence.metrics, one.evidence.baselines)
        for one in page.versions
        if one.evidence is not None and one.evidence.metrics
    )
    view = ledger.view()
    found = reigns(one.event for one in view.lifecycle(name))
    rows = {reign.version: view.version(name, reign.version) for reign in found}
    champions = tuple(
        ChampionPeriod(reign, None if (row := rows[reign.version]) is None else row.as_of) for reign in found
    )
    metrics = tuple(sorted({metric for point in points for metric in point.values}))
    return History(metrics, points, champions, page.next)
