"""One version in full: what was registered, where it stands, and what of it cannot be read any more."""

from __future__ import annotations

from dataclasses import dataclass

from domain.registry.canonical import Digest
from domain.registry.catalog import ModelCatalog
from domain.registry.errors import IntegrityError, NotFound
from domain.registry.events import ModelRegisteredEvent
from domain.registry.events.lifecycle import ModelEvaluatedEvent
from domain.registry.events.monitoring import DriftDetectedEvent
from domain.registry.evidence import EVIDENCE, AttachmentRef, GateResult
from domain.registry.inventory.versions import Standing, standing
from domain.registry.ledger.ledger import Ledger
from domain.registry.lifecycle.state import Lifecycle, challenger
from domain.registry.manifest import Manifest
from domain.registry.ports import VersionRow


@dataclass(frozen=True, slots=True)
class VersionDetail:
    """A version with everything that is recorded of it.

    Attributes:
        event, manifest: None if they cannot be read, then `problems` says why.
        gates: what was made of its newest evidence.
        evidence: digest of that evidence; None for a model trained elsewhere that nobody evaluated.
        evaluations: the evidence of later evaluations, the oldest first.
        signed: whether a checkpoint covers its entry.
        incumbent: the champion now, which a promotion would displace.
    """

    row: VersionRow
    event: ModelRegisteredEvent | None
    manifest: Manifest | None
    gates: tuple[GateResult, ...]
    evidence: Digest | None
    evaluations: tuple[ModelEvaluatedEvent, ...]
    signed: bool
    standing: Standing | None
    incumbent: int | None
    problems: tuple[str, ...]


class VersionDetails:
    """Reads single versions, also ones that somebody tampered with."""

    def __init__(self, catalog: ModelCatalog, ledger: Ledger) -> None:
        self._catalog = catalog
        self._ledger = ledger

    def detail(self, name: str, version: int) -> VersionDetail:
        """A version as it is now.

        Raises:
            NotFound, InvalidInput: there is none.
            IntegrityError: its row or its name's lifecycle was changed.
        """
        row = self._catalog.resolve(f"{name}@{version}")
        view = self._ledger.view()
        life = [one.event for one in view.lifecycle(row.name)]
        state = Lifecycle.after(row.name, life)
        problems: list[str] = []
        event = manifest = None
        try:
            event = self._catalog.event(row)
            manifest = self._catalog.manifest(event)
        except (IntegrityError, NotFound) as error:
            problems.append(str(error))
        evaluations = tuple(
            one for one in life if isinstance(one, ModelEvaluatedEvent) and one.version == row.version
        )
        last = self._ledger.port.last_checkpoint()
        return VersionDetail(
            row=row,
            event=event,
            manifest=manifest,
            gates=evaluations[-1].gates if evaluations else event.gates if event else (),
            evidence=evaluations[-1].evidence if evaluations else _registered_on(event),
            evaluations=evaluations,
            signed=last is not None and last.size > row.index,
            standing=standing(row, state, challenger(view, state)),
            incumbent=state.champion,
            problems=tuple(problems),
        )

    def attachment(self, name: str, version: int, sha256: Digest) -> tuple[AttachmentRef, bytes]:
        """A version's attachment, later evidence or report of drift, checked against the ledger.

        Raises:
            NotFound: the version has none with this digest, or it is not stored.
            IntegrityError: it was changed.
        """
        row = self._catalog.resolve(f"{name}@{version}")
        event = self._catalog.event(row)
        kept = next((one for one in event.attachments if one.sha256 == sha256), None)
        if kept is not None:
            return kept, self._catalog.attachment(event, kept)
        view = self._ledger.view()
        for one in view.lifecycle(row.name):
            later = one.event
            if (
                isinstance(later, ModelEvaluatedEvent)
                and later.version == row.version
                and later.evidence == sha256
            ):
                content = self._catalog.evidence(row.model_id, later)
                return AttachmentRef(EVIDENCE, "application/json", len(content), sha256), content
        for one in view.monitoring(row.name):
            watched = one.event
            if (
                isinstance(watched, DriftDetectedEvent)
                and watched.version == row.version
                and watched.report == sha256
            ):
                content = self._catalog.drift_report(row.model_id, watched)
                return AttachmentRef("drift.html", "text/html", len(content), sha256), content
        raise NotFound(f"{row.name}@{row.version} has no attachment {sha256}")


def _registered_on(event: ModelRegisteredEvent | None) -> Digest | None:
    kept = () if event is None else event.attachments
    return next((one.sha256 for one in kept if one.name == EVIDENCE), None)
