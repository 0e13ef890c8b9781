"""Which version of a name is in use, as the ledger says now."""

from __future__ import annotations

from domain.registry.ledger.ledger import Ledger
from domain.registry.lifecycle.state import Lifecycle


def champion_of(ledger: Ledger, name: str) -> str | None:
    """The reference of the version in use; None if there is none, or nothing of the name."""
    view = ledger.view()
    if next(view.versions(name, limit=1), None) is None:
        return None
    version = Lifecycle.of(view, name).champion
    return None if version is None else f"{name}@{version}"
