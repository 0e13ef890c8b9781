"""What a card says of a model beside others: whether it is better by chance, and what else was tried."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from domain.registry.card import details
from domain.registry.card.blocks import Blocks, Code, Table, Text, Verdict
from domain.registry.evidence import Evidence

_SHOWN = 20
"""Trials on a card; the evidence has all."""


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


def tuning(evidence: Evidence) -> Blocks:
    """What a search for parameters tried, the best first."""
    told = details.facts(evidence, "tuning")
    trials = [one for one in told.get("trials", ()) if isinstance(one, dict)]
    if not trials:
        return ()
    rows = []
    for one in sorted(trials, key=_rank)[:_SHOWN]:
        values = [value for value in one.get("values", ()) if isinstance(value, float)]
        parameters = one.get("parameters")
        rows.append(
            (
                details.number(one, "number"),
                Code(", ".join(f"{name} {value}" for name, value in dict(parameters or {}).items())),
                sum(values) / len(values) if values else None,
                len(values),
                Verdict("yes", "good") if one.get("number") == told.get("chosen") else "no",
            )
        )
    by = f", proposed by {told['by']}," if isinstance(told.get("by"), str) else ""
    said = (
        f"{len(trials)} combinations{by} were tried on the years before {details.text(told, 'before')}, which"
        " the model is not judged on; each year the worse half of a batch stopped."
    )
    return (
        Text(said, "Search for parameters"),
        Table(("trial", "parameters", "mean", "years", "chosen"), tuple(rows)),
    )


def _rank(trial: dict[str, Any]) -> tuple[bool, float]:
    """Those that came to the end first, the best of them before the others."""
    values = [value for value in trial.get("values", ()) if isinstance(value, float)]
    return trial.get("stopped") is True, sum(values) / len(values) if values else math.inf


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
