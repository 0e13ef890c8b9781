"""A ledger in a database with as many models and versions as are wanted, made in a moment."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from domain.registry.artifact import Artifact, ArtifactFile
from domain.registry.canonical import digest, encode
from domain.registry.catalog import ModelCatalog
from domain.registry.events import DomainEvent
from domain.registry.events.lifecycle import ModelPromotedEvent
from domain.registry.evidence import EVIDENCE, AttachmentRef, Evidence, GateResult
from domain.registry.inventory.deadlines import DAYS
from domain.registry.inventory.models import ModelInventory
from domain.registry.inventory.versions import VersionInventory
from domain.registry.ledger.ledger import Ledger
from domain.registry.manifest import Manifest, ModelId
from domain.registry.policy import Decision
from tests.contracts.test_ledger_contract import append
from tests.exactly_once.candidates import lineage, metadata
from tests.fakes.events import AT, registered
from tests.fakes.registry import FakeModelRegistry
from veritasvault.adapters.local_signer import LocalSigner
from veritasvault.adapters.sql_ledger import SqlLedger

_BATCH, _STORED = 500, 25
_FIRST = dt.date(2000, 1, 1)
_EVIDENCE = encode(Evidence(metrics={"qlike": 0.5}).to_json())


class StoppedClock:
    """It is always the last moment of 2022."""

    def now(self) -> dt.datetime:
        return dt.datetime(2022, 12, 31, 23, 59, tzinfo=dt.UTC)


class ManyModels:
    """Models in a SQLite ledger, and the inventory that reads them."""

    def __init__(self, directory: Path, names: int, versions: int) -> None:
        """Each of `names` models has `versions` versions, of one day each; the first is its champion."""
        self.port = SqlLedger(f"sqlite:///{directory}/ledger.db")
        self.repository = FakeModelRegistry()
        self.ledger = Ledger(self.port, LocalSigner(directory / "keys"))
        self.catalog = ModelCatalog(self.repository, self.ledger)
        self.models = ModelInventory(self.catalog, self.ledger, DAYS, StoppedClock())
        self.versions = VersionInventory(self.catalog, self.ledger)
        events = list(self._events([f"model{number:04}" for number in range(names)], versions))
        for start in range(0, len(events), _BATCH):
            append(self.port, *events[start : start + _BATCH])

    def _events(self, names: list[str], versions: int) -> Iterator[DomainEvent]:
        for version in range(1, versions + 1):
            for name in names:
                stored = version == 1 or version > versions - _STORED
                yield self._stored(name, version) if stored else _bare(name, version)
                if version == 1:
                    yield _promoted(name)

    def _stored(self, name: str, version: int) -> DomainEvent:
        made = dataclasses.replace(lineage(version), as_of=_day(version))
        artifact = Artifact((ArtifactFile("model.txt", 1, digest(b"1")),))
        manifest = Manifest(metadata(name), made, artifact).to_bytes()
        model_id = ModelId(digest(manifest))
        home = f"models/{model_id}"
        self.repository.objects[f"{home}/metadata.json"] = manifest
        self.repository.objects[f"{home}/attachments/{digest(_EVIDENCE)}"] = _EVIDENCE
        kept = AttachmentRef(EVIDENCE, "application/json", len(_EVIDENCE), digest(_EVIDENCE))
        return registered(
            version, version, name,
            model_id=model_id, recipe=made.recipe, as_of=made.as_of,
            artifact_digest=artifact.digest, attachments=(kept,),
            gates=(GateResult("data validated", "passed", "all met", {}),),
        )  # fmt: skip

    @contextmanager
    def counted(self) -> Iterator[list[str]]:
        """The statements that are sent to the database meanwhile."""
        sent: list[str] = []

        def note(_c: object, _u: object, statement: str, *_: object) -> None:
            sent.append(statement)

        engine = self.port._engine()
        sa.event.listen(engine, "before_cursor_execute", note)
        try:
            yield sent
        finally:
            sa.event.remove(engine, "before_cursor_execute", note)


def _bare(name: str, version: int) -> DomainEvent:
    """A version in the middle, of which nothing is stored; no page looks at it."""
    return registered(version, version, name, as_of=_day(version))


def _day(version: int) -> dt.date:
    return _FIRST + dt.timedelta(days=version)


def _promoted(name: str) -> ModelPromotedEvent:
    allowed = Decision(True, (), digest(b"policy"), digest(b"input"))
    return ModelPromotedEvent(name, 0, 1, _day(1), None, digest(_EVIDENCE), (), allowed, "first", "olga", AT)
