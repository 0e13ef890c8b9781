"""What a detector found of each kind of unusual rows."""

from __future__ import annotations

from domain.registry.card import details
from domain.registry.card.blocks import Blocks, Table, Text
from domain.registry.evidence import Evidence


def kinds(evidence: Evidence) -> Blocks:
    """A line for each kind: how many rows and episodes are known, and on how many there was an alarm."""
    listed = details.table(evidence, "by_kind")
    if not listed:
        return ()
    names = ("rows", "rows_found", "episodes", "episodes_found")
    return (
        Text(
            "An episode is an asset's consecutive rows of one kind; it is found if there is an alarm on any "
            "of them. Nothing of this was known to the model.",
            "What was found of each kind",
        ),
        Table(
            ("kind", "rows", "with an alarm", "episodes", "found"),
            tuple(
                (
                    details.text(row, "kind").replace("_", " "),
                    *(details.number(row, name) for name in names),
                )
                for row in listed
            ),
        ),
    )
