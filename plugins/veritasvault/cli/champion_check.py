"""The check of the champions: whether one is older than its risk tier allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from veritasvault.cli.checks import Check, sqlite_file
from veritasvault.cli.output import count

if TYPE_CHECKING:
    from veritasvault.bootstrap import Application


def champions(application: Application) -> Check:
    """Names the champions that are overdue."""
    file = sqlite_file(application.settings.ledger)
    if file is not None and not file.exists():
        return Check("champions", "ok", "nothing is registered yet")
    today = application.clock.now().date()
    late = [
        f"{one.reference} by {count(one.deadline.overdue(today), 'day')}"
        for one in application.champions.overdue(today)
    ]
    if late:
        remedy = "promote a newer version, or retire the champion"
        return Check("champions", "warn", f"overdue: {', '.join(late)}", remedy)
    return Check("champions", "ok", "none is older than its risk tier allows")
