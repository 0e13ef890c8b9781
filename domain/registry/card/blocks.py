"""What a card is made of: values without any markup, which each renderer writes in its own way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Code:
    """A name or a digest that people compare or copy letter by letter."""

    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A word that says whether something is good."""

    text: str
    meaning: Literal["good", "bad", "unsure"]


Cell = str | int | float | Code | Verdict | None
"""Numbers are shown by `shown`, None as a dash."""


@dataclass(frozen=True, slots=True)
class Text:
    """Paragraphs, one for each line that is not blank; `title` stands before the first one."""

    text: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with their values; `title` stands before them."""

    rows: tuple[tuple[str, Cell], ...]
    title: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings.

    Attributes:
        bars: columns whose numbers are also drawn, where the medium can draw.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    bars: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture: the name of the attachment it is, and its bytes."""

    name: str
    media_type: str
    content: bytes = field(repr=False)

    @property
    def caption(self) -> str:
        """The file's name in words."""
        words = self.name.rpartition(".")[0].replace("_", " ")
        return words[:1].upper() + words[1:]


Block = Text | Facts | Table | Figure
Blocks = tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a card.

    Attributes:
        key: by which requirements name it.
        note: what stands in it if it has no blocks.
    """

    key: str
    title: str
    blocks: Blocks
    note: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A card: what it is of, in one sentence and in figures, and its sections.

    Attributes:
        lead: the model's purpose.
        note: what the card knows: everything before the registration, or what came later too.
    """

    title: str
    lead: str
    summary: Facts
    note: str
    sections: tuple[Section, ...]


def shown(cell: Cell) -> str:
    """A cell's text: whole numbers in groups of three digits, others with four significant places."""
    if cell is None:
        return "-"
    if isinstance(cell, Code | Verdict):
        return printable(cell.text)
    if isinstance(cell, str):
        return printable(cell)
    if isinstance(cell, int) or (cell == int(cell) and abs(cell) < 1e15):
        return f"{int(cell):,}"
    return (
        f"{cell:.4f}"
        if 0.00005 <= abs(cell) < 10
        else f"{cell:,.1f}"
        if 10 <= abs(cell) < 1e9
        else f"{cell:.3g}"
    )


def printable(text: str) -> str:
    """The text with an escape for each character that shows nothing, or that reorders what is beside it.

    Line breaks stay; whoever has no place for them replaces them.
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def is_number(cell: Cell) -> bool:
    """Whether the cell is a number, so that its column is aligned to the right."""
    return isinstance(cell, int | float) and not isinstance(cell, bool)
