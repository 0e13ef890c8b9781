"""Where reports on reproductions are kept: a page and a text for each, beside the other reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domain.registry.card import to_html, to_markdown
from domain.registry.errors import Unavailable

if TYPE_CHECKING:
    from domain.risk.reproduction.service import Reproduction


def write_report(reproduction: Reproduction, reports: Path) -> Path:
    """Write the report below `reports`, and return the page; `report.md` beside it says the same.

    The name is that of the version and the number of its ledger entry, so nothing is replaced but by itself.

    Raises:
        Unavailable: the directory cannot be written.
    """
    from domain.risk.reproduction.report import report_of

    card = report_of(reproduction)
    directory = reports / reproduction.record.reference / str(reproduction.event.index)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "report.md").write_text(to_markdown(card), encoding="utf-8")
        (directory / "report.html").write_text(to_html(card), encoding="utf-8")
    except OSError as error:
        raise Unavailable(
            f"the report cannot be written to {directory} ({error.strerror}): make it writable; "
            f"the result is ledger entry {reproduction.event.index}"
        ) from error
    return directory / "report.html"
