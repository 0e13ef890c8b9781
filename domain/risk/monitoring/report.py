"""The report on a monitoring, for people: what was compared, what is unusual, and how it looks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from domain.registry.card.blocks import Card, Cell, Facts, Figure, Section, Table, Text, Verdict
from domain.registry.events.monitoring import DriftFinding
from domain.registry.evidence import Attachment
from domain.risk.monitoring.calibration import YEAR
from domain.risk.monitoring.judgement import Judgement, sentence
from domain.risk.training_set import as_day


def report_of(
    reference: str, trained_until: dt.date, judgement: Judgement, plots: Sequence[Attachment]
) -> Card:
    """The report, which renders as one HTML page like a model card; the same findings give the same one."""
    measures, findings = judgement.measures, judgement.findings()
    as_of, drift = as_day(measures.days[-1]), sentence(findings)
    summary: tuple[tuple[str, Cell], ...] = (
        ("outcome", Verdict("drift", "bad") if drift else Verdict("no drift", "good")),
        ("as of", as_of.isoformat()),
        ("trained on data until", trained_until.isoformat()),
        ("sessions looked at", measures.window),
        ("false alarms", f"in {judgement.rate:.1%} of all periods of {YEAR} sessions"),
    )
    lead = (
        f"{drift[:1].upper()}{drift[1:]}." if drift else "What it sees, forecasts and is worth is as usual."
    )
    note = (
        f"Compared with {measures.history:,} sessions that it was trained on. p is the probability that "
        f"{YEAR} sessions without drift have anything so unusual, by {judgement.years} such periods of them."
    )
    sections = (
        Section("distributions", "Features and forecasts", (_distributions(findings), Text(_ABOUT))),
        Section("performance", "Performance", (_performance(findings),)),
        Section("plots", "Plots", tuple(Figure(one.name, one.media_type, one.content) for one in plots)),
    )
    return Card(f"Monitoring of {reference} on {as_of}", lead, Facts(summary), note, sections)


_ABOUT = (
    "KS is the largest distance of the two distribution functions, shift the difference of the means in "
    "standard deviations of the training, PSI the population stability index over deciles of the training: "
    "0.25 is a major change for what does not move much, and usual for volatilities, which is why p decides."
)


def _distributions(findings: Sequence[DriftFinding]) -> Table:
    rows = [
        (
            one.subject,
            _verdict(one),
            *(one.figures.get(name) for name in ("psi", "ks", "shift", "p_value")),
        )
        for one in findings
        if one.kind != "performance"
    ]
    return Table(("of", "is", "PSI", "KS", "shift", "p"), tuple(rows), bars=(2,))


def _performance(findings: Sequence[DriftFinding]) -> Table:
    rows = [
        (
            one.subject,
            _verdict(one),
            *(one.figures.get(name) for name in ("loss", "baseline_loss", "p_value")),
        )
        for one in findings
        if one.kind == "performance"
    ]
    return Table(("loss", "is", "mean of the version", "mean of the baseline", "p"), tuple(rows))


def _verdict(finding: DriftFinding) -> Verdict:
    return Verdict("drifted", "bad") if finding.breached else Verdict("as usual", "good")
