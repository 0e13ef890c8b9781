"""All models at once: what each is for, who is champion, and what needs somebody's attention."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

from domain.registry.catalog import ModelCatalog
from domain.registry.errors import IntegrityError, InvalidInput, NotFound
from domain.registry.events import ModelRegisteredEvent
from domain.registry.events.lifecycle import EVERY_MODEL
from domain.registry.inventory.audited import Audited, NewestAudits
from domain.registry.inventory.deadlines import Deadline
from domain.registry.inventory.drift import Drift, drift_of
from domain.registry.inventory.reigns import reigns
from domain.registry.inventory.versions import require_model
from domain.registry.ledger.ledger import Ledger, LedgerView
from domain.registry.ledger.view import Recorded
from domain.registry.lifecycle.state import Lifecycle, challenger
from domain.registry.manifest import ModelId
from domain.registry.metadata import ModelMetadata, RiskTier
from domain.registry.ports import Clock, VersionRow

Attention = Literal["overdue", "halted", "drift", "challenger"]
"""Why somebody should look at a model."""

ATTENTIONS: tuple[Attention, ...] = get_args(Attention)

_BATCH = 50


@dataclass(frozen=True, slots=True)
class ChampionInUse:
    """The champion of a name.

    Attributes:
        deadline: None if its entry or its manifest cannot be read.
        today: the day on which its age is told.
    """

    row: VersionRow
    since: dt.datetime
    deadline: Deadline | None
    today: dt.date

    @property
    def reference(self) -> str:
        return f"{self.row.name}@{self.row.version}"

    @property
    def age_days(self) -> int | None:
        """Days since its data ends; None if nobody knows."""
        return None if self.deadline is None else self.deadline.age(self.today)

    @property
    def overdue_days(self) -> int:
        """By how many days it has been in use for too long; 0 if it has not, or nobody knows."""
        return 0 if self.deadline is None else self.deadline.overdue(self.today)

    @property
    def overdue(self) -> bool:
        """Whether it has been in use for too long."""
        return self.overdue_days > 0


@dataclass(frozen=True, slots=True)
class InventoryModel:
    """A name with its newest version and where its lifecycle stands.

    Attributes:
        metadata: of the newest version; None if it cannot be read, then `problems` says why.
        registered: the event of the newest version; None likewise.
        halted: why nothing becomes champion of this name, or of any.
        audited: what the newest audits say of its champion, or of the newest version if it has none.
        drift: what the newest monitoring found of its champion.
        problems: what of this could not be read, one sentence each.
    """

    name: str
    latest: VersionRow
    metadata: ModelMetadata | None
    registered: ModelRegisteredEvent | None
    champion: ChampionInUse | None
    challenger: VersionRow | None
    halted: str | None
    audited: Audited | None
    drift: Drift | None = None
    problems: tuple[str, ...] = ()

    def needs(self, attention: Attention) -> bool:
        """Whether there is this reason to look at it."""
        return attention in self.attentions

    @property
    def attentions(self) -> tuple[Attention, ...]:
        """Every reason to look at it."""
        reasons: dict[Attention, bool] = {
            "overdue": self.champion is not None and self.champion.overdue,
            "halted": self.halted is not None,
            "drift": self.drift is not None and self.drift.breached,
            "challenger": self.challenger is not None,
        }
        return tuple(reason for reason, given in reasons.items() if given)


@dataclass(frozen=True, slots=True)
class InventoryPage:
    """Models in the order of names.

    Attributes:
        next: the name after which the next page begins; None on the last one.
        total: how many models there are on all pages.
    """

    models: tuple[InventoryModel, ...]
    next: str | None
    total: int


class ModelInventory:
    """Reads all models, a page at a time, with a number of look-ups that no model's history changes."""

    def __init__(
        self, catalog: ModelCatalog, ledger: Ledger, days: Mapping[RiskTier, int], clock: Clock
    ) -> None:
        """`days` is how old a champion may be, by its tier; see `deadlines.DAYS`."""
        self._catalog = catalog
        self._ledger = ledger
        self._days = days
        self._clock = clock
        # A manifest is what its id says or is refused, so what was read once needs no reading again.
        self._known: dict[ModelId, ModelMetadata] = {}

    def page(
        self,
        *,
        containing: str = "",
        tier: int | None = None,
        attention: Attention | None = None,
        after: str | None = None,
        limit: int = _BATCH,
    ) -> InventoryPage:
        """Models whose names contain a text, of one risk tier, that need one kind of attention.

        Tier and attention are known of no model before it is read, so asking for them reads every model.

        Raises:
            InvalidInput: no such tier or attention.
            IntegrityError: the ledger was changed.
        """
        view, containing = self._ledger.view(), containing.lower()
        if tier is None and attention is None:
            rows = list(view.models(containing=containing, after=after, limit=limit + 1))
            models = self._read(view, rows[:limit])
            more = models[-1].name if len(rows) > limit else None
            return InventoryPage(models, more, view.count_models(containing=containing))
        if attention not in (None, *ATTENTIONS):
            raise InvalidInput("attention", attention, f"use one of {', '.join(ATTENTIONS)}")
        found = [
            model
            for model in self._each(view, containing)
            if (tier is None or (model.metadata is not None and model.metadata.risk_tier == tier))
            and (attention is None or model.needs(attention))
        ]
        rest = [model for model in found if after is None or model.name > after]
        more = rest[limit - 1].name if len(rest) > limit else None
        return InventoryPage(tuple(rest[:limit]), more, len(found))

    def model(self, name: str) -> InventoryModel:
        """One model. Raises NotFound, InvalidInput, IntegrityError."""
        view = self._ledger.view()
        return self._read(view, [require_model(view, name)])[0]

    def all(self) -> Iterator[InventoryModel]:
        """Every model, in the order of names. Raises IntegrityError."""
        return self._each(self._ledger.view(), "")

    def _each(self, view: LedgerView, containing: str) -> Iterator[InventoryModel]:
        rows = view.models(containing=containing)
        while batch := list(islice(rows, _BATCH)):
            yield from self._read(view, batch)

    def _read(self, view: LedgerView, rows: Sequence[VersionRow]) -> tuple[InventoryModel, ...]:
        lives = view.lifecycles([EVERY_MODEL, *(row.name for row in rows)])
        states = {name: Lifecycle.after(name, (one.event for one in life)) for name, life in lives.items()}
        champions = {row.name: _champion_of(view, states[row.name]) for row in rows}
        in_use = [row for row in champions.values() if row is not None]
        events = self._catalog.events([*rows, *in_use])
        drift = drift_of(view, in_use)
        page = _Page(view, events, NewestAudits.of(view), drift, states[EVERY_MODEL].halted)
        return tuple(
            self._of(page, row, champions[row.name], states[row.name], lives[row.name]) for row in rows
        )

    def _of(
        self,
        page: _Page,
        row: VersionRow,
        champion: VersionRow | None,
        state: Lifecycle,
        life: Sequence[Recorded],
    ) -> InventoryModel:
        problems: list[str] = []
        event, metadata = self._about(page, row, problems)
        return InventoryModel(
            name=row.name,
            latest=row,
            metadata=metadata,
            registered=event,
            champion=None if champion is None else self._in_use(page, champion, life, problems),
            challenger=challenger(page.view, state),
            halted=state.halted or page.halted,
            audited=page.audits.about([champion or row]),
            drift=page.drift.get(row.name),
            problems=tuple(dict.fromkeys(problems)),
        )

    def _in_use(
        self, page: _Page, row: VersionRow, life: Sequence[Recorded], problems: list[str]
    ) -> ChampionInUse:
        event, metadata = self._about(page, row, problems)
        deadline = None
        if event is not None and metadata is not None:
            deadline = Deadline(row.as_of or event.at.date(), self._days[metadata.risk_tier])
        since = reigns(one.event for one in life)[-1].since
        return ChampionInUse(row, since, deadline, self._clock.now().date())

    def _about(
        self, page: _Page, row: VersionRow, problems: list[str]
    ) -> tuple[ModelRegisteredEvent | None, ModelMetadata | None]:
        """A version's event and metadata; None for what cannot be read, with the sentence why."""
        event = page.events.get(row.index)
        try:
            event = event or self._catalog.event(row)
            if event.model_id not in self._known:
                self._known[event.model_id] = self._catalog.manifest(event).metadata
        except (IntegrityError, NotFound) as error:
            problems.append(str(error))
            return event, None
        return event, self._known[event.model_id]


@dataclass(frozen=True, slots=True)
class _Page:
    """What was read at once for all models of a page."""

    view: LedgerView
    events: Mapping[int, ModelRegisteredEvent]
    audits: NewestAudits
    drift: Mapping[str, Drift]
    halted: str | None


def _champion_of(view: LedgerView, state: Lifecycle) -> VersionRow | None:
    return None if state.champion is None else view.version(state.name, state.champion)
