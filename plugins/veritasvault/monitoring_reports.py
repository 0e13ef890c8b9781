"""Where reports on monitorings are kept: a page for each version and session, beside the other reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domain.registry.errors import Unavailable

if TYPE_CHECKING:
    from domain.risk.monitoring.service import Monitored


def write_report(monitored: Monitored, reports: Path) -> Path:
    """Write the report below `reports`, and return the page; a report on drift is in the registry as well.

    Raises:
        Unavailable: the directory cannot be written.
    """
    directory = reports / monitored.reference
    page = directory / f"{monitored.outcome.as_of.isoformat()}.html"
    write_page(monitored, page)
    return page


def write_page(monitored: Monitored, page: Path) -> None:
    """Write the report to a file. Raises Unavailable if it cannot be written."""
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_bytes(monitored.report)
    except OSError as error:
        raise Unavailable(
            f"the report cannot be written to {page} ({error.strerror}): make it writable; "
            f"the result is ledger entry {monitored.event.index}"
        ) from error
