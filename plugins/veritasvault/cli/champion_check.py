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
    models = list(application.inventory.all())
    late = [
        f"{champion.reference} by {count(champion.overdue_days, 'day')}"
        for champion in (model.champion for model in models)
        if champion is not None and champion.overdue
    ]
    unread = [problem for model in models for problem in model.problems]
    if unread:
        return Check("champions", "fail", unread[0], "run veritas verify --all")
    if late:
        remedy = "promote a newer version, or retire the champion"
        return Check("champions", "warn", f"overdue: {', '.join(late)}", remedy)
    return Check("champions", "ok", "none is older than its risk tier allows")
