"""Publishes Data Docs: one self-contained, offline report per run, and an index of all of them."""

from __future__ import annotations

import hashlib
import html
import re
import shutil
import uuid
from pathlib import Path

from veritasvault.adapters.file_lock import file_lock

# Pages load style sheets, scripts and a logo, with an id of the project in its address, from other hosts.
_OUTSIDE = re.compile(
    r"<script\b[^>]*\bsrc\s*=\s*[\"']?https?:[^>]*>\s*</script>"
    r"|<(?:link|img|iframe)\b[^>]*\b(?:href|src)\s*=\s*[\"']?https?:[^>]*>"
    r"|url\(\s*[\"']?https?:[^)]*\)",
    re.IGNORECASE | re.DOTALL,
)
_STYLE = """<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
table { border-collapse: collapse; margin: 0.5rem 0; }
td, th { border: 1px solid #ccc; padding: 0.25rem 0.6rem; }
.modal, .cooltip { display: none; }
.fa-check-circle::before { content: "✓"; } .fa-times::before { content: "✗"; }
</style>
"""


def publish(site: Path, directory: Path, run: str) -> Path:
    """Move a built site to the run's place below `directory`, replacing an earlier one, and return its page.

    Safe for processes at once: places and index change under a lock, and reports appear complete.
    """
    for page in site.rglob("*.html"):
        page.write_text(_offline(page.read_text(encoding="utf-8")), encoding="utf-8")
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
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Data validation</title>'
        f"{_STYLE}</head>"
        f"<body><h1>Data validation</h1><ul>\n{items}\n</ul></body></html>\n",
        encoding="utf-8",
    )
    temporary.replace(directory / "index.html")
