"""What commands print: JSON documents, tables and fields; coloured on a terminal, plain text elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

Cell = object
"""Shown by `str`, None as a dash."""

_STYLES = {"good": "green", "bad": "bold red", "unsure": "yellow", "strong": "bold", "faint": "dim"}


@dataclass(frozen=True, slots=True)
class Styled:
    """A text with what it means: 'good', 'bad', 'unsure', 'strong' or 'faint'."""

    text: str
    meaning: str

    def __str__(self) -> str:
        return self.text


def print_json(document: Mapping[str, Any]) -> None:
    """Write a JSON document to standard output, in ASCII, so that no terminal or locale changes it."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


class Printer:
    """Writes for people. Rich is imported only if the stream is a terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._console = _console(self._stream) if self._stream.isatty() else None

    def line(self, *parts: Cell) -> None:
        """One line of text; parts are joined by spaces."""
        if self._console is None:
            self._stream.write(" ".join(_shown(part) for part in parts) + "\n")
        else:
            from rich.text import Text

            self._console.print(Text(" ").join(_text(part) for part in parts), soft_wrap=True)

    def heading(self, text: str) -> None:
        """A line that begins a section."""
        self.line()
        self.line(Styled(text, "strong"))

    def fields(self, fields: Iterable[tuple[str, Cell]]) -> None:
        """Names and values, one a line; values keep their line breaks."""
        rows = [(f"{name}:", value) for name, value in fields]
        width = max((len(name) for name, _ in rows), default=0)
        for name, value in rows:
            first, *more = _shown(value).split("\n")
            meaning = value.meaning if isinstance(value, Styled) else ""
            self.line(Styled(name.ljust(width), "faint"), Styled(first, meaning))
            for text in more:
                self.line(" " * width, text)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """A table; on a terminal it fits the width, elsewhere nothing is cut and columns are aligned."""
        if self._console is None:
            self._plain_table(columns, rows)
            return
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(_text(cell) for cell in row))
        self._console.print(table)

    def _plain_table(self, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        cells = [list(columns), *([_shown(cell).replace("\n", " ") for cell in row] for row in rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(columns))]
        for row in cells:
            padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self._stream.write("  ".join(padded).rstrip() + "\n")


class Progress:
    """A line on standard error that is written over; silent if that is no terminal."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()

    def show(self, text: str) -> None:
        self._write(f"\r\x1b[K{_printable(text)}")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        if self._live:
            self._stream.write(text)
            self._stream.flush()


def figure(value: float) -> str:
    """A number as people read it: four significant digits, no exponent for ordinary sizes."""
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"


def size(count: int) -> str:
    """A number of bytes with a unit of 1024."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{count} bytes" if unit == "bytes" else f"{amount:.1f} {unit}"


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _console(stream: TextIO) -> Console:
    from rich.console import Console

    return Console(file=stream, highlight=False, emoji=False, markup=False)


def _text(cell: Cell) -> Any:
    from rich.text import Text

    return Text(_shown(cell), style=_STYLES.get(cell.meaning, "") if isinstance(cell, Styled) else "")


def _shown(cell: Cell) -> str:
    return "-" if cell is None else _printable(str(cell))


def _printable(text: str) -> str:
    """The text without characters that would steer a terminal; they come from files and other people."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
