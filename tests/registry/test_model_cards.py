"""Cards of registered versions: what the ledger said later is on them, and nothing of other versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.registry.card import Card, to_markdown
from domain.registry.card.blocks import Table
from domain.registry.card.model_cards import ModelCards
from domain.registry.errors import IntegrityError, NotFound
from domain.registry.evidence import EVIDENCE, Attachment, Evidence
from domain.registry.gates import Threshold
from domain.registry.ledger.history import later_events
from domain.registry.registration import ModelRegistration
from domain.registry.security import SecurityService
from tests.exactly_once.candidates import lineage, metadata, write_artifact
from tests.fakes.signer import FakeSigner
from tests.registry.board import NAME, Board, StoppedClock
from tests.registry.card_examples import PIXEL
from veritasvault.adapters.format_scanner import FormatScanner


class Desk(Board):
    """A board whose versions are registered for real, with evidence and a plot."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.directory = directory
        self.cards = ModelCards(self.catalog, self.ledger)
        self.registration = ModelRegistration(
            self.repository,
            SecurityService(FormatScanner(), FakeSigner()),
            self.ledger,
            staging=directory / "staging",
            clock=StoppedClock(),
        )

    def submit(self, candidate: int, qlike: float, name: str = NAME) -> int:
        """Register a candidate with its own out-of-sample figure."""
        return self.registration.register_model(
            metadata(name),
            write_artifact(self.directory, candidate),
            lineage=lineage(candidate),
            evidence=Evidence(metrics={"qlike": qlike}),
            gates=(Threshold("qlike", maximum=1.0),),
            attachments=(Attachment("calibration.png", "image/png", PIXEL),),
        ).version


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def events(card: Card) -> list[str]:
    """What the card says happened later, in order."""
    section = next(part for part in card.sections if part.key == "approvals")
    return [str(row[2]) for block in section.blocks if isinstance(block, Table) for row in block.rows]


def test_later_events_of_a_version_are_on_its_card_alone(desk: Desk) -> None:
    """Promotion, what displaced it, and the version that supersedes it; other names' events are not."""
    first = desk.submit(1, 0.5)
    desk.submit(9, 0.5, "other")
    desk.promote(first)
    second = desk.submit(2, 0.4)
    assert events(desk.cards.card(f"{NAME}@{first}")) == ["promoted to champion", "superseded"]
    assert events(desk.cards.card(f"{NAME}@{second}")) == []
    assert events(desk.cards.card("other@1")) == []


def test_a_champion_says_so_and_others_are_compared_with_it(desk: Desk) -> None:
    champion = desk.submit(1, 0.5125)
    desk.promote(champion)
    other = desk.submit(2, 0.4)
    assert "- in use: champion" in to_markdown(desk.cards.card(f"{NAME}@champion"))
    text = to_markdown(desk.cards.card(f"{NAME}@{other}"))
    assert f"- in use: no, the champion is {NAME}@{champion}" in text
    assert f"| {NAME}@{champion} | 0.5125 |" in text


def test_looking_at_a_card_signs_nothing(desk: Desk) -> None:
    """A version behind the last checkpoint is shown as not signed, and stays so."""
    version = desk.register(day=None)
    assert "not signed yet" in to_markdown(desk.cards.card(f"{NAME}@{version}"))
    assert desk.port.last_checkpoint() is None
    desk.ledger.checkpoint()
    assert "not signed yet" not in to_markdown(desk.cards.card(f"{NAME}@{version}"))


def test_plots_are_on_the_card(desk: Desk) -> None:
    desk.submit(1, 0.5)
    assert "![Calibration](calibration.png)" in to_markdown(desk.cards.card(f"{NAME}@1"))


@pytest.mark.parametrize("name", [EVIDENCE, "calibration.png"])
def test_a_changed_attachment_is_never_shown(desk: Desk, name: str) -> None:
    """The card is refused, with the attachment's name."""
    desk.submit(1, 0.5)
    event = desk.catalog.show(f"{NAME}@1").event
    sha256 = next(item.sha256 for item in event.attachments if item.name == name)
    key = next(key for key in desk.repository.objects if key.endswith(sha256))
    desk.repository.objects[key] = b"{}"
    with pytest.raises(IntegrityError, match=name):
        desk.cards.card(f"{NAME}@1")


def test_an_unknown_version_has_no_card(desk: Desk) -> None:
    with pytest.raises(NotFound, match=NAME):
        desk.cards.card(f"{NAME}@1")


def test_history_is_in_the_order_of_the_ledger(desk: Desk) -> None:
    version = desk.submit(1, 0.5)
    desk.promote(version)
    row = desk.catalog.resolve(f"{NAME}@1")
    found = list(later_events(desk.ledger, row))
    assert [item.event.KIND for item in found] == ["ModelPromoted"]
    assert [item.index for item in found] == sorted(item.index for item in found)
    assert all(item.index > row.index for item in found)
