"""A card as Markdown: CommonMark with the tables of GitHub Flavored Markdown, readable as it stands.

Texts of people are escaped where CommonMark 0.31 or GFM would read markup into them, and nowhere else.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from domain.registry.card.blocks import (
    Block,
    Card,
    Cell,
    Code,
    Facts,
    Figure,
    Table,
    Text,
    Verdict,
    is_number,
    printable,
    shown,
)

_MARKS = re.compile(r"[\\`*\[\]<|~$]|&(?=[#A-Za-z])|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")
_LINKS = re.compile(r"(?<=[A-Za-z]):(?=//)|(?<=[Ww]{3})\.|@(?=[0-9A-Za-z_-]+\.)|(?<=mailto):|(?<=xmpp):")
_LINE_STARTS = re.compile(r"^(?:[#>+=-]|(\d+)(?=[.)]))")
_PLAIN_CODE = re.compile(r"[!-_a-{}~](?:[ -_a-{}~]*[!-_a-{}~])?")
"""What a code span shows as it is: printable ASCII without backquotes and pipes, no space at its ends."""


def to_markdown(card: Card) -> str:
    """The card as Markdown; pictures are links to the attachments of the same name."""
    parts = [f"# {escaped(card.title)}", _paragraphs(card.lead), _facts(card.summary), line(card.note)]
    for section in card.sections:
        parts.append(f"## {section.title}")
        parts += [_block(block) for block in section.blocks] or [line(section.note)]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    """A text on one line, not at its start, in which nothing is markup."""
    line = " ".join(printable(text).split())
    return _LINKS.sub(r"\\\g<0>", _MARKS.sub(r"\\\g<0>", line))


def line(text: str) -> str:
    """A text that begins a line, in which nothing is markup."""
    return _LINE_STARTS.sub(_without_list, escaped(text))


def _without_list(start: re.Match[str]) -> str:
    # A number begins a list only with the mark after it, which is what has to be escaped.
    return f"{start[1]}\\" if start[1] else f"\\{start[0]}"


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return _titled(block.title, _paragraphs(block.text))
    if isinstance(block, Facts):
        return _titled(block.title, _facts(block))
    if isinstance(block, Table):
        return _table(block)
    return _figure(block)


def _titled(title: str, content: str) -> str:
    heading = f"### {escaped(title)}" if title else ""
    return "\n\n".join(part for part in (heading, content) if part)


def _paragraphs(text: str) -> str:
    lines = (line(part) for part in text.split("\n"))
    return "\n\n".join(part for part in lines if part)


def _facts(facts: Facts) -> str:
    return "\n".join(f"- {line(name)}: {_cell(value)}" for name, value in facts.rows)


def _table(table: Table) -> str:
    numeric = [any(is_number(row[column]) for row in table.rows) for column in range(len(table.columns))]
    lines = [
        [escaped(name) for name in table.columns],
        ["---:" if right else "---" for right in numeric],
        *([_cell(cell) for cell in row] for row in table.rows),
    ]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _cell(cell: Cell) -> str:
    if isinstance(cell, Code) and _PLAIN_CODE.fullmatch(cell.text):
        return f"`{cell.text}`"
    if isinstance(cell, Verdict):
        return f"**{escaped(cell.text)}**" if cell.meaning == "bad" else escaped(cell.text)
    return escaped(shown(cell))


def _figure(figure: Figure) -> str:
    return f"![{escaped(figure.caption)}]({quote(figure.name, safe='')})"
