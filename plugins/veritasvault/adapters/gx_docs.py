"""Publishes Data Docs: one self-contained, offline report per run, and an index of all of them."""

from __future__ import annotations

import hashlib
import html
import re
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veritasvault.adapters.file_lock import file_lock

# Pages load style sheets, scripts and a logo, with an id of the project in its address, from other hosts.
_OUTSIDE = re.compile(
    r"<script\b[^>]*\bsrc\s*=\s*[\"']?https?:[^>]*>\s*</script>"
    r"|<(?:link|img|iframe)\b[^>]*\b(?:href|src)\s*=\s*[\"']?https?:[^>]*>"
    r"|url\(\s*[\"']?https?:[^)]*\)",
    re.IGNORECASE | re.DOTALL,
)
_BODY = re.compile(r"<body\b[^>]*>")
_HEAD = '<!doctype html><html lang="en"><head><meta charset="utf-8">'
_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0.5rem 0; }
td, th { border: 1px solid #ccc; padding: 0.25rem 0.6rem; }
.modal, .cooltip { display: none; }
.fa-check-circle::before { content: "✓"; } .fa-times::before { content: "✗"; }
</style>
"""


@dataclass(frozen=True, slots=True)
class Judged:
    """A table with its rows, its blocks, and how many of them earlier runs had judged."""

    name: str
    rows: int
    blocks: int
    known: int


def publish(
    site: Path, directory: Path, run: str, judged: Sequence[Judged], results: Sequence[Mapping[str, Any]]
) -> Path:
    """Move a built site to the run's place below `directory`, replacing an earlier one, and return its page.

    The page begins with all results, those of blocks that earlier runs judged among them; Data Docs, if
    something was judged, follow. Safe for processes at once: places and index change under a lock, and
    reports appear complete.
    """
    site.mkdir(exist_ok=True)
    for page in site.rglob("*.html"):
        page.write_text(_offline(page.read_text(encoding="utf-8")), encoding="utf-8")
    front = site / "index.html"
    whole = _whole(run, judged, results)
    if front.is_file():
        page_text = _BODY.sub(lambda body: f"{body[0]}{whole}", front.read_text(encoding="utf-8"), count=1)
    else:
        page_text = f"{_HEAD}<title>{html.escape(run)}</title>{_STYLE}</head><body>{whole}</body></html>\n"
    front.write_text(page_text, encoding="utf-8")
    (site / "run.txt").write_text(run, encoding="utf-8")
    place = directory / place_of(run)
    with file_lock(directory / ".lock", f"the reports in {directory}"):
        old = directory / f".old-{uuid.uuid4().hex}"
        if place.exists():
            place.rename(old)
        site.rename(place)
        shutil.rmtree(old, ignore_errors=True)
        _write_index(directory)
    return place / "index.html"


def _whole(run: str, judged: Sequence[Judged], results: Sequence[Mapping[str, Any]]) -> str:
    """All that was found of the whole tables, and how much of them was judged in this run."""
    tables = "".join(
        f"<li>{table.name}: {table.rows:,} rows in {table.blocks} blocks of days, of which this run judged "
        f"{table.blocks - table.known} and an earlier one {table.known}, unchanged since</li>"
        for table in judged
    )
    rows = "".join(
        f"<tr><td>{result['table']}</td><td>{result['expectation']}</td>"
        f"<td>{html.escape(str(result.get('column', '')))}</td>"
        f"<td>{'met' if result['met'] else html.escape(str(result['sentence']))}</td></tr>"
        for result in results
    )
    failed = sum(not result["met"] for result in results)
    return (
        f"<section><h1>{html.escape(run)}</h1><p>{len(results)} expectations of the whole tables, "
        f"{failed or 'none'} not met.</p><ul>{tables}</ul><table><tr><th>table</th><th>expectation</th>"
        f"<th>column</th><th>found</th></tr>{rows}</table>"
        "<p>Data Docs of what this run judged follow, if it judged anything.</p></section>"
    )


def place_of(run: str) -> str:
    """A directory name that people recognise and that no two runs share."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "-", run).strip(".-")[:80] or "run"
    return f"{readable}-{hashlib.sha256(run.encode()).hexdigest()[:8]}"


def _offline(page: str) -> str:
    return _OUTSIDE.sub("", page).replace("</head>", f"{_STYLE}</head>", 1)


def _write_index(directory: Path) -> None:
    runs = sorted(
        (path.parent.name, path.read_text(encoding="utf-8")) for path in directory.glob("*/run.txt")
    )
    items = "\n".join(f'<li><a href="{place}/index.html">{html.escape(run)}</a></li>' for place, run in runs)
    temporary = directory / f".index-{uuid.uuid4().hex}"
    temporary.write_text(
        f"{_HEAD}<title>Data validation</title>"
        f"{_STYLE}</head>"
        f"<body><h1>Data validation</h1><ul>\n{items}\n</ul></body></html>\n",
        encoding="utf-8",
    )
    temporary.replace(directory / "index.html")
