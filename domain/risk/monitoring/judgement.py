"""Which of the differences are so unusual that the version is not to be relied on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from domain.registry.events.monitoring import DriftFinding
from domain.risk.monitoring.calibration import Calibration
from domain.risk.monitoring.measures import Measures, Subject
from domain.risk.training_set import Flags, Floats

_DIGITS = 6
"""Figures are recorded to so many digits, so that another processor's last bit is no other result."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Measures, and how probable each is without drift.

    Attributes:
        rate: the probability that 250 sessions without drift have any breach; higher than what was asked for
            where the history has too few years to tell.
        years: of the history, each of 250 sessions.
        p_values: of each subject's statistics on each session, the least of them, shape (s, subjects).
    """

    measures: Measures
    rate: float
    years: int
    p_values: Floats = field(repr=False)

    @classmethod
    def of(cls, measures: Measures, rate: float) -> Self:
        """Calibrate on the sessions that the version was trained on, and judge all sessions.

        Raises:
            InvalidInput: they are too few.
        """
        statistics = measures.statistics
        calibration = Calibration.of(statistics[: measures.history])
        p_values = calibration.p_values(statistics)
        # What was not measured is no drift.
        p_values = np.where(np.isfinite(statistics), p_values, 1.0)
        edges = np.cumsum([0, *(subject.statistics.shape[1] for subject in measures.subjects)])[:-1]
        least = np.minimum.reduceat(p_values, edges, axis=1)
        return cls(measures, calibration.rate(rate), calibration.years, least)

    @property
    def breaches(self) -> Flags:
        """On which session which subject is breached, shape (s, subjects)."""
        material = np.column_stack([subject.material for subject in self.measures.subjects])
        # A rate of 1 / (n + 1) is one that floats may miss by their last bit.
        found: Flags = (self.p_values <= self.rate * (1.0 + 1e-9)) & material
        return found

    def findings(self, session: int = -1) -> tuple[DriftFinding, ...]:
        """What there is to say of each subject on a session, by its index."""
        breached = self.breaches[session]
        return tuple(
            DriftFinding(
                subject.kind,
                subject.name,
                bool(breached[place]),
                _figures(subject, session, float(self.p_values[session, place])),
            )
            for place, subject in enumerate(self.measures.subjects)
        )


def sentence(findings: tuple[DriftFinding, ...]) -> str:
    """What is breached, on one line; empty if nothing is."""
    said = [_said(one.subject, one.kind, one.figures) for one in findings if one.breached]
    return "; ".join(said)


def _said(subject: str, kind: str, figures: Mapping[str, float]) -> str:
    if kind == "performance":
        against = f" against {figures['baseline_loss']:.3g}" if "baseline_loss" in figures else ""
        return f"{subject} is {figures['loss']:.3g}{against} (p = {figures['p_value']:.2g})"
    return (
        f"{kind} drift of {subject}: PSI {figures['psi']:.2f}, KS {figures['ks']:.2f}, "
        f"mean moved by {figures['shift']:.2g} standard deviations (p = {figures['p_value']:.2g})"
    )


def _figures(subject: Subject, session: int, p_value: float) -> dict[str, float]:
    found = {name: float(values[session]) for name, values in subject.figures.items()}
    rounded = {name: float(f"{value:.{_DIGITS}g}") for name, value in found.items() if np.isfinite(value)}
    return {**rounded, "p_value": float(f"{p_value:.{_DIGITS}g}")}
