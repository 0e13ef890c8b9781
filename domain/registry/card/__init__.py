"""Model cards: what is known of a version, for people, as Markdown and as one HTML page."""

from domain.registry.card.blocks import Card, Figure
from domain.registry.card.build import build_card
from domain.registry.card.html_page import to_html
from domain.registry.card.markdown import to_markdown
from domain.registry.card.sections import SECTIONS, empty_sections, required_sections
from domain.registry.card.subject import LedgerRecord, Rival, Subject, figures

__all__ = [
    "SECTIONS",
    "Card",
    "Figure",
    "LedgerRecord",
    "Rival",
    "Subject",
    "build_card",
    "empty_sections",
    "figures",
    "required_sections",
    "to_html",
    "to_markdown",
]
