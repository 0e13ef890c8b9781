"""One model's versions: what each measured, what its gates said, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from domain.registry.canonical import Digest, decode
from domain.registry.catalog import ModelCatalog
from domain.registry.errors import IntegrityError, NotFound
from domain.registry.events import ModelRegisteredEvent
from domain.registry.evidence import EVIDENCE, Evidence, GateResult, Outcome
from domain.registry.ledger.ledger import Ledger, LedgerView
from domain.registry.lifecycle.state import Lifecycle, challenger
from domain.registry.metadata import as_model_name
from domain.registry.ports import VersionRow

Standing = Literal["champion", "challenger", "retired", "rejected", "former champion"]
"""What became of a version."""


@dataclass(frozen=True, slots=True)
class InventoryVersion:
    """A version in the list of its name.

    Attributes:
        registered, evidence: None if they cannot be read, then `problem` says why; a model trained elsewhere
            has no evidence.
        gates: the outcome of all gates on its newest evidence.
    """

    row: VersionRow
    registered: ModelRegisteredEvent | None
    evidence: Evidence | None
    gates: Outcome
    standing: Standing | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class VersionPage:
    """Versions, newest first; `next` is the entry before which the next page begins, None on the last."""

    versions: tuple[InventoryVersion, ...]
    next: int | None


class VersionInventory:
    """Reads the versions of a name, a page at a time."""

    def __init__(self, catalog: ModelCatalog, ledger: Ledger) -> None:
        self._catalog = catalog
        self._ledger = ledger
        # Evidence is what its digest says or is refused, so what was read once needs no reading again.
        self._known: dict[Digest, Evidence] = {}

    def page(self, name: str, *, before: int | None = None, limit: int = 50) -> VersionPage:
        """Versions that entries before this index registered.

        Raises:
            NotFound, InvalidInput: no such model.
            IntegrityError: the ledger was changed.
        """
        view = self._ledger.view()
        require_model(view, name)
        rows = list(islice(view.versions(name, before=before, limit=limit + 1), limit + 1))
        more = rows[limit - 1].index if len(rows) > limit else None
        return VersionPage(self.read(view, rows[:limit]), more)

    def read(self, view: LedgerView, rows: Sequence[VersionRow]) -> tuple[InventoryVersion, ...]:
        """These versions of one name."""
        if not rows:
            return ()
        state = Lifecycle.of(view, rows[0].name)
        wanting = challenger(view, state)
        events = self._catalog.events(rows)
        return tuple(self._of(row, events.get(row.index), state, wanting) for row in rows)

    def _of(
        self,
        row: VersionRow,
        event: ModelRegisteredEvent | None,
        state: Lifecycle,
        wanting: VersionRow | None,
    ) -> InventoryVersion:
        problem = evidence = None
        try:
            event = event or self._catalog.event(row)
            evidence = self.evidence(event)
        except (IntegrityError, NotFound) as error:
            problem = str(error)
        evaluated = state.evaluated.get(row.version)
        gates = evaluated.gates if evaluated else event.gates if event else ()
        return InventoryVersion(
            row, event, evidence, outcome_of(gates), standing(row, state, wanting), problem
        )

    def evidence(self, event: ModelRegisteredEvent) -> Evidence | None:
        """What a version was registered on, without details; None for one that was trained elsewhere.

        Raises:
            NotFound, IntegrityError: it is not stored, or was changed.
        """
        kept = next((kept for kept in event.attachments if kept.name == EVIDENCE), None)
        if kept is None:
            return None
        if kept.sha256 not in self._known:
            what = f"{EVIDENCE} of {event.name}@{event.version}"
            found = Evidence.from_json(decode(self._catalog.attachment(event, kept), what))
            self._known[kept.sha256] = replace(found, details={})
        return self._known[kept.sha256]


def require_model(view: LedgerView, name: str) -> VersionRow:
    """The newest version of a name. Raises NotFound, InvalidInput."""
    newest = next(view.versions(as_model_name("name", name), limit=1), None)
    if newest is None:
        raise NotFound(f"model {name} is not registered")
    return newest


def outcome_of(gates: Sequence[GateResult]) -> Outcome:
    """The one outcome of all gates: a failed one decides, then one that could not judge."""
    outcomes = {gate.outcome for gate in gates}
    if "failed" in outcomes:
        return "failed"
    return "passed" if outcomes == {"passed"} else "unevaluated"


def standing(row: VersionRow, state: Lifecycle, wanting: VersionRow | None) -> Standing | None:
    """What became of a version; None for one that nothing became of yet.

    Args:
        wanting: the challenger of its name.
    """
    marks: Mapping[Standing, bool] = {
        "retired": row.version in state.retired,
        "champion": row.version == state.champion,
        "rejected": row.version in state.rejected,
        "challenger": row == wanting,
        "former champion": row.version in state.champions,
    }
    return next((mark for mark, is_so in marks.items() if is_so), None)
