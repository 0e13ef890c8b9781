"""What people are shown who decide on a promotion: plain Markdown, from evidence and gates alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from domain.registry.catalog import ModelVersion
from domain.registry.evidence import Evidence, GateResult
from domain.registry.lifecycle.rules import Proposal

CHALLENGER = "challenger"
TRAINED_BEFORE = "by its recipe, trained on what was known before"
AS_REGISTERED = "as it was registered; it may have been trained on some of them"
"""How forecasts of the sessions of a comparison were made."""


def describe(
    shown: ModelVersion, proposal: Proposal, evidence: Evidence, gates: Sequence[GateResult]
) -> tuple[str, str]:
    """The headline of a request for approval, and its Markdown."""
    reference = f"{shown.row.name}@{shown.row.version}"
    displaced = (
        "no champion yet" if proposal.incumbent is None else f"instead of version {proposal.incumbent}"
    )
    subject = f"Shall {reference} be the champion ({displaced})?"
    metadata = shown.manifest.metadata
    lines = [
        f"**Purpose.** {metadata.purpose}",
        f"**Owner.** {metadata.owner}, risk tier {int(metadata.risk_tier)}. "
        f"**As of.** {shown.event.as_of or 'unknown, trained elsewhere'}.",
        *_figures(evidence),
        "\n".join(f"- {_MARKS[gate.outcome]} {gate.gate}: {gate.reason}" for gate in gates),
        f"Read `veritas models card {reference}` before you decide. Your answer counts for this champion and "
        f"the evidence `{proposal.evidence}` alone.",
    ]
    return subject, "\n\n".join(lines)


_MARKS = {"passed": "✓", "failed": "✗", "unevaluated": "?"}


def _figures(evidence: Evidence) -> Iterator[str]:
    window = evidence.details.get("window")
    yield _table({CHALLENGER: evidence.metrics, **evidence.baselines})
    if isinstance(window, Mapping):
        made = evidence.details.get("forecasts", {})
        how = "; ".join(f"{model}: {text}" for model, text in made.items())
        yield f"All on the sessions from {window['test_start']} to {window['test_end']}. {how}."
    difference = evidence.details.get("difference")
    if isinstance(difference, Mapping):
        for metric, found in difference.items():
            yield (
                f"Mean difference in {metric} over {found['sessions']} sessions: {found['mean']:+.4g} "
                f"(below 0 the challenger is better; Diebold-Mariano p = {found['p_value']:.2g})."
            )


def _table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    names = sorted({name for values in metrics.values() for name in values})
    head = f"| | {' | '.join(names)} |\n|---|{'---|' * len(names)}"
    rows = (
        f"| {model} | " + " | ".join(f"{values[name]:.4g}" if name in values else "" for name in names) + " |"
        for model, values in metrics.items()
    )
    return "\n".join([head, *rows])
