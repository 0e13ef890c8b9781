"""The versions in use: how old each is, until when it may be, and whether it could be replaced now."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from domain.registry.catalog import ModelCatalog
from domain.registry.deadlines import Deadline
from domain.registry.ledger.ledger import Ledger, LedgerView
from domain.registry.lifecycle.state import Lifecycle, halt_of
from domain.registry.metadata import RiskTier
from domain.registry.ports import VersionRow


@dataclass(frozen=True, slots=True)
class Champion:
    """A version in use."""

    row: VersionRow
    tier: RiskTier
    deadline: Deadline

    @property
    def reference(self) -> str:
        return f"{self.row.name}@{self.row.version}"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a model name stands.

    Attributes:
        versions: how many are registered.
        champion: None if none is in use.
        halted: why nothing becomes champion now; None if something may.
    """

    name: str
    versions: int
    champion: Champion | None
    halted: str | None


class Champions:
    """Reads which versions are in use, and until when they may be."""

    def __init__(self, catalog: ModelCatalog, ledger: Ledger, days: Mapping[RiskTier, int]) -> None:
        """`days` is how old a champion may be, by its tier; see `DAYS`."""
        self._catalog = catalog
        self._ledger = ledger
        self._days = days

    def standings(self) -> Iterator[Standing]:
        """Every model name, sorted.

        Raises:
            IntegrityError, NotFound: an event, or the manifest of a champion, was changed or is gone.
            Unavailable: ledger or registry cannot be read now.
        """
        view = self._ledger.view()
        counts = Counter(row.name for row in view.versions())
        for name in sorted(counts):
            state = Lifecycle.of(view, name)
            yield Standing(name, counts[name], self._champion(view, state), halt_of(view, state))

    def champion(self, name: str) -> Champion | None:
        """The version of a name in use; None if there is none. Raises as `standings`."""
        view = self._ledger.view()
        return self._champion(view, Lifecycle.of(view, name))

    def overdue(self, today: dt.date) -> tuple[Champion, ...]:
        """The champions past their deadline, sorted by name. Raises as `standings`."""
        found = (standing.champion for standing in self.standings())
        return tuple(one for one in found if one is not None and one.deadline.overdue(today))

    def _champion(self, view: LedgerView, state: Lifecycle) -> Champion | None:
        row = None if state.champion is None else view.version(state.name, state.champion)
        if row is None:
            return None
        event = self._catalog.event(row)
        tier = self._catalog.manifest(event).metadata.risk_tier
        return Champion(row, tier, Deadline(row.as_of or event.at.date(), self._days[tier]))
