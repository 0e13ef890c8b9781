"""The daily audit reads everything within its period, records what it found once, trusts no broken ledger."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path

import pytest

from domain.registry.audit import Audit
from domain.registry.canonical import digest
from domain.registry.daily_audit import DailyAudit, DailyAuditReport, audit_of, audits
from domain.registry.errors import IntegrityError, InvalidInput
from domain.registry.events import event_from_bytes, event_to_bytes
from domain.registry.events.audit import RegistryAuditedEvent
from domain.registry.ledger.remembered_witness import RememberedWitness
from domain.registry.ledger.witness import witness
from domain.registry.manifest import ModelId
from tests.registry.board import NAME, StoppedClock
from tests.registry.test_checkpoint import GOLDEN, REWRITE
from tests.registry.test_model_cards import Desk
from veritasvault.adapters.file_witness import FileWitness

DAY = dt.date(2022, 12, 29)
PERIOD = 4
WHO = {"actor": "airflow", "run_id": "scheduled__1"}
GOLDEN_EVENT = RegistryAuditedEvent(
    sequence=7,
    first=dt.date(2022, 12, 28),
    day=DAY,
    period=30,
    entries=12,
    versions=3,
    read=2,
    share=digest(b"share"),
    also=(ModelId(digest(b"champion")),),
    damaged=(ModelId(digest(b"damaged")),),
    problems=("file model.onnx of volatility@2",),
    witnessed=2,
    provenance=WHO,
    at=dt.datetime(2022, 12, 29, 0, 5, 15, 250000, tzinfo=dt.UTC),
)


class Registry(Desk):
    """Six registered versions, and audits of them."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.place = RememberedWitness(FileWitness(directory / "witness"), FileWitness(directory / "memory"))
        self.audit = DailyAudit(
            Audit(self.repository, self.ledger, self.catalog, [self.place]),
            self.ledger,
            period=PERIOD,
            witnesses=[self.place],
            clock=StoppedClock(),
        )
        for number in range(6):
            self.submit(number, 0.5)
        witness(self.ledger, self.place, new=True)

    def on(self, later: int) -> DailyAuditReport:
        """The audit so many days after the first."""
        return self.audit.run(DAY + dt.timedelta(days=later), WHO)

    @property
    def events(self) -> list[RegistryAuditedEvent]:
        """What is recorded of audits, the newest first."""
        return list(audits(self.ledger.view()))

    def id_of(self, version: int) -> ModelId:
        return self.catalog.resolve(f"{NAME}@{version}").model_id

    def artifact_of(self, version: int) -> str:
        """Key of a file of a version."""
        start = f"models/{self.id_of(version)}/artifact/"
        return next(key for key in self.repository.objects if key.startswith(start))

    def not_due(self, later: int) -> int:
        """A version whose turn it is not so many days after the first."""
        share = replace(self.on(0).share, first=DAY, day=DAY + dt.timedelta(days=later))
        return next(number for number in range(1, 7) if not share.has(self.id_of(number)))


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path)


def test_every_version_is_read_in_its_period_and_champions_every_day(registry: Registry) -> None:
    """Also one that is registered meanwhile; nothing is read twice but champions."""
    registry.promote(3)
    read = [registry.on(0).found.read]
    registry.submit(7, 0.5)
    read += [registry.on(later).found.read for later in range(1, PERIOD + 1)]
    champion = registry.id_of(3)
    assert all(champion in models for models in read)
    assert {model_id for models in read for model_id in models} == set(map(registry.id_of, range(1, 8)))
    others = [model_id for models in read[:PERIOD] for model_id in models if model_id != champion]
    assert len(others) == len(set(others))


def test_days_without_an_audit_are_made_up_for(registry: Registry) -> None:
    registry.on(0)
    assert set(registry.on(PERIOD).found.read) == set(map(registry.id_of, range(1, 7)))


def test_an_audit_is_recorded_signed_and_witnessed_once_for_a_day(registry: Registry) -> None:
    """Done again it reads the same and adds nothing, whatever was registered meanwhile."""
    first = registry.on(0)
    size = registry.port.size()
    assert first.index == size - 1
    assert max(registry.place.sizes()) == size
    again = registry.on(0)
    assert (again.index, again.share, registry.port.size()) == (first.index, first.share, size)
    registry.submit(8, 0.5)
    assert registry.on(0).index == first.index
    assert registry.on(1).index == registry.port.size() - 1
    assert [(event.sequence, event.day) for event in registry.events] == [
        (1, DAY + dt.timedelta(days=1)),
        (0, DAY),
    ]
    assert registry.audit._audit.everything().problems == ()


def test_what_is_damaged_is_named_and_read_every_day_until_it_is_mended(registry: Registry) -> None:
    """The ledger is in order, so that what is wrong is recorded, and that it was mended as well."""
    later = next(number for number in range(PERIOD) if registry.id_of(2) in registry.on(number).found.read)
    key = registry.artifact_of(2)
    good = registry.repository.objects[key]
    registry.repository.objects[key] = b"other" + good
    found = registry.on(later + PERIOD)
    with pytest.raises(IntegrityError, match=re.escape(f"of {NAME}@2 ({registry.id_of(2)})")):
        found.require_verified()
    assert registry.events[0].damaged == (registry.id_of(2),)
    assert not registry.events[0].verified
    next_day = registry.on(later + PERIOD + 1)
    assert next_day.found.damaged == (registry.id_of(2),)
    assert registry.events[0].also == (registry.id_of(2),)
    registry.repository.objects[key] = good
    mended = registry.on(later + PERIOD + 1)
    mended.require_verified()
    assert [event.verified for event in registry.events[:3]] == [True, False, False]


def test_a_model_that_is_gone_is_missed_on_the_same_day(registry: Registry) -> None:
    """Whether it is there is looked at every day, whosever turn it is."""
    version = registry.not_due(1)
    del registry.repository.objects[f"models/{registry.id_of(version)}/metadata.json"]
    found = registry.on(1)
    assert registry.id_of(version) not in found.found.read
    with pytest.raises(IntegrityError, match=rf"manifest of {NAME}@{version} .*: it is not stored"):
        found.require_verified()


def test_a_damaged_ledger_is_not_appended_to(registry: Registry) -> None:
    entry = registry.port._entries[3]
    registry.port._entries[3] = replace(entry, data=entry.data.replace(b"0.5", b"0.1"))
    before = (registry.port.size(), registry.port.last_checkpoint(), list(registry.place.sizes()))
    found = registry.on(0)
    assert found.index is None
    assert (registry.port.size(), registry.port.last_checkpoint(), list(registry.place.sizes())) == before
    with pytest.raises(IntegrityError, match="ledger entry 3: its bytes do not have its leaf hash"):
        found.require_verified()


def test_a_ledger_that_a_witness_contradicts_is_not_appended_to(registry: Registry, tmp_path: Path) -> None:
    """It verifies by itself, but it is not the one that was witnessed."""
    (tmp_path / "other").mkdir()
    other = Registry(tmp_path / "other")
    for note in other.place.all():
        registry.place._place.put(replace(note, size=note.size + 1))
    size = registry.port.size()
    found = registry.on(0)
    assert (found.index, registry.port.size()) == (None, size)
    with pytest.raises(IntegrityError, match="witnessed checkpoint of size"):
        found.require_verified()


def test_nothing_is_recorded_of_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    audit = DailyAudit(
        Audit(desk.repository, desk.ledger, desk.catalog), desk.ledger, period=1, clock=StoppedClock()
    )
    found = audit.run(DAY, WHO)
    found.require_verified()
    assert (found.index, desk.port.size()) == (None, 0)


def test_the_audit_of_a_version_is_the_newest_that_read_it(registry: Registry) -> None:
    """None for one that was registered after the last audit, though its turn was then."""
    for later in range(2 * PERIOD):
        registry.on(later)
    view = registry.ledger.view()
    newest = [audit_of(view, registry.catalog.resolve(f"{NAME}@{number}")) for number in range(1, 7)]
    assert all(event is not None and event.day >= DAY + dt.timedelta(days=PERIOD) for event in newest)
    for number in range(9, 9 + 3 * PERIOD):
        registry.submit(number, 0.5)
        row = registry.catalog.resolve(f"{NAME}@latest")
        assert audit_of(registry.ledger.view(), row) is None


def test_a_stray_file_of_any_name_can_be_recorded(registry: Registry) -> None:
    """What others name files is not what an event takes as a text."""
    registry.repository.objects[f"{registry.artifact_of(1)}\n\x1b[31m \udcff"] = b""
    for later in range(PERIOD):
        registry.on(later)
    (name,) = next(event.problems for event in registry.events if event.damaged)
    assert "\\x1b[31m \\udcff" in name


def test_a_period_of_no_days_is_refused(registry: Registry) -> None:
    with pytest.raises(InvalidInput, match="period is 0: give a whole number of days, at least 1"):
        DailyAudit(registry.audit._audit, registry.ledger, period=0, clock=StoppedClock())


def test_audits_have_the_golden_bytes() -> None:
    """An event written today reads forever; REWRITE_GOLDEN=1 rewrites the file on purpose."""
    file = GOLDEN / "event-registry-audited.json"
    if REWRITE:
        file.write_bytes(event_to_bytes(GOLDEN_EVENT))
    assert event_to_bytes(GOLDEN_EVENT) == file.read_bytes()
    assert event_from_bytes(file.read_bytes(), "event") == GOLDEN_EVENT
    assert GOLDEN_EVENT.key == "audit:7"
