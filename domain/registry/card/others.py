"""What a card says of a model beside others: whether it is better by chance, and what else was tried."""

from __future__ import annotations

from collections.abc import Sequence

from domain.registry.card import details
from domain.registry.card.blocks import Blocks, Code, Table, Text, Verdict
from domain.registry.evidence import Evidence


def comparisons(evidence: Evidence) -> Blocks:
    """Whether the differences to baselines could be chance."""
    listed = details.table(evidence, "comparisons")
    if not listed:
        return ()
    numbers = ("mean", "statistic", "p_value")
    return (
        Text(
            "The difference is this model's loss less the other one's: below 0, this model is better. The "
            "p-value is the probability of so large a difference, of any sign, between equally good ones.",
            "Could the differences be chance?",
        ),
        Table(
            ("metric", "against", "test", "mean difference", "statistic", "p-value"),
            tuple(
                (
                    *(details.text(row, name) for name in ("metric", "against", "test")),
                    *(details.number(row, name) for name in numbers),
                )
                for row in listed
            ),
        ),
    )


def rivals(evidence: Evidence, metrics: Sequence[str]) -> Blocks:
    """What else was tried on the same sessions, with these metrics, and which gates it failed."""
    listed = details.table(evidence, "rivals")
    if not listed:
        return ()
    rows = []
    for row in listed:
        found = row.get("metrics")
        figures = found if isinstance(found, dict) else {}
        rows.append(
            (
                Code(details.text(row, "trainer")),
                details.text(row, "framework"),
                *(details.number(figures, metric) for metric in metrics),
                details.cell(row.get("gates_failed")) or "none",
                Verdict("yes", "good") if row.get("chosen") is True else "no",
            )
        )
    return (
        Text("Each was tested on the same sessions; the best whose gates pass is this model.", "Rivals"),
        Table(("trainer", "framework", *metrics, "gates failed", "chosen"), tuple(rows)),
    )
