"""A card as one HTML page that needs nothing else: style and pictures are in it, nothing runs in it."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from html import escape

from domain.registry.card.blocks import (
    Block,
    Card,
    Cell,
    Code,
    Facts,
    Figure,
    Section,
    Table,
    Text,
    Verdict,
    is_number,
    printable,
    shown,
)
from domain.registry.card.html_style import STYLE

# A page that somebody changed, or that this module made wrong, still loads and runs nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def to_html(card: Card) -> str:
    """The card as an HTML document; the same card gives the same text."""
    return "\n".join([*_head(card), *_body(card), "</html>", ""])


def _head(card: Card) -> Iterator[str]:
    yield "<!DOCTYPE html>"
    yield '<html lang="en">'
    yield "<head>"
    yield '<meta charset="utf-8">'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield '<meta name="color-scheme" content="light dark">'
    yield f"<title>{_line(card.title)}</title>"
    yield f"<style>{STYLE}</style>"
    yield "</head>"


def _body(card: Card) -> Iterator[str]:
    yield "<body>"
    yield "<header>"
    yield f"<h1>{_line(card.title)}</h1>"
    yield from (f'<p class="lead">{line}</p>' for line in _lines(card.lead))
    yield _facts(card.summary, "summary")
    yield f'<p class="note">{_line(card.note)}</p>'
    yield "</header>"
    yield '<nav aria-label="Sections"><ol>'
    yield from (f'<li><a href="#{part.key}">{_line(part.title)}</a></li>' for part in card.sections)
    yield "</ol></nav>"
    yield "<main>"
    for section in card.sections:
        yield from _section(section)
    yield "</main>"
    yield "</body>"


def _section(section: Section) -> Iterator[str]:
    yield f'<section id="{section.key}">'
    yield f"<h2>{_line(section.title)}</h2>"
    yield from (_block(block) for block in section.blocks)
    if not section.blocks:
        yield f'<p class="empty">{_line(section.note)}</p>'
    yield "</section>"


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return _title(block.title) + "\n".join(f"<p>{line}</p>" for line in _lines(block.text))
    if isinstance(block, Facts):
        return _title(block.title) + _facts(block)
    if isinstance(block, Table):
        return _table(block)
    return _figure(block)


def _title(title: str) -> str:
    return f"<h3>{_line(title)}</h3>\n" if title else ""


def _facts(facts: Facts, kind: str = "facts") -> str:
    rows = "\n".join(
        f"<div><dt>{_line(name)}</dt><dd>{_cell(value)}</dd></div>" for name, value in facts.rows
    )
    return f'<dl class="{kind}">\n{rows}\n</dl>'


def _table(table: Table) -> str:
    columns = range(len(table.columns))
    numeric = [any(is_number(row[column]) for row in table.rows) for column in columns]
    longest = {column: _longest(table, column) for column in table.bars}
    kinds = [' class="number"' if right else "" for right in numeric]
    head = "".join(f"<th{kind}>{_line(name)}</th>" for kind, name in zip(kinds, table.columns, strict=True))
    body = "\n".join(
        "<tr>"
        + "".join(
            f"<td{kinds[column]}>{_cell(row[column])}{_bar(row[column], longest.get(column))}</td>"
            for column in columns
        )
        + "</tr>"
        for row in table.rows
    )
    parts = ('<div class="table"><table>', f"<thead><tr>{head}</tr></thead>", "<tbody>", body, "</tbody>")
    return "\n".join((*parts, "</table></div>"))


def _longest(table: Table, column: int) -> float:
    numbers = [cell for row in table.rows if isinstance(cell := row[column], int | float)]
    return max(numbers, default=0.0)


def _bar(cell: Cell, longest: float | None) -> str:
    """A bar whose length is the number's share of the column's largest; nothing for other cells."""
    if not longest or longest <= 0 or not isinstance(cell, int | float):
        return ""
    share = max(0.0, min(1.0, cell / longest))
    return f'<span class="bar" style="--share:{share:.1%}"></span>'


def _figure(figure: Figure) -> str:
    content = base64.b64encode(figure.content).decode("ascii")
    source = f"data:{escape(figure.media_type)};base64,{content}"
    caption = _line(figure.caption)
    return f'<figure><img src="{source}" alt="{caption}"><figcaption>{caption}</figcaption></figure>'


def _cell(cell: Cell) -> str:
    if isinstance(cell, Code):
        return f"<code>{_line(cell.text)}</code>"
    if isinstance(cell, Verdict):
        return f'<span class="{cell.meaning}">{_line(cell.text)}</span>'
    return _line(shown(cell))


def _lines(text: str) -> list[str]:
    return [line for line in (_line(line) for line in text.split("\n")) if line]


def _line(text: str) -> str:
    """A text on one line in which nothing is markup, in an element and in a quoted attribute."""
    return escape(" ".join(printable(text).split()))
