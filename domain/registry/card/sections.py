"""The sections of a card, in order, and which of them a risk tier requires."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from domain.registry.card import measured, recorded
from domain.registry.card.blocks import Blocks, Section
from domain.registry.card.subject import Subject
from domain.registry.evidence import Evidence
from domain.registry.metadata import RiskTier


@dataclass(frozen=True, slots=True)
class SectionKind:
    """A section of every card.

    Attributes:
        required_to: the least harmful tier that requires it; None if no tier does.
        recorded: what the manifest, the gates and the ledger put in it.
        measured: what the evidence puts in it. If it puts nothing in it, the section is empty.
        compared: what follows that: plots, and the champion beside the model.
    """

    key: str
    title: str
    required_to: RiskTier | None
    recorded: Callable[[Subject], Blocks] | None = None
    measured: Callable[[Evidence], Blocks] | None = None
    compared: Callable[[Subject], Blocks] | None = None

    def required_in(self, tier: RiskTier) -> bool:
        """Whether a model of the tier needs it."""
        return self.required_to is not None and tier <= self.required_to

    def is_empty(self, evidence: Evidence) -> bool:
        """Whether evidence should fill it and does not; what the manifest alone fills is never empty."""
        return self.measured is not None and not self.measured(evidence)

    def of(self, subject: Subject) -> Section:
        """The section of a card."""
        blocks: Blocks = () if self.recorded is None else self.recorded(subject)
        if self.measured is not None and subject.evidence is not None:
            blocks += self.measured(subject.evidence)
        if self.compared is not None:
            blocks += self.compared(subject)
        tier = subject.manifest.metadata.risk_tier
        requires = "requires it" if self.required_in(tier) else "does not require it"
        return Section(self.key, self.title, blocks, f"Nothing is known; tier {int(tier)} {requires}.")


_ALL, _MEDIUM, _HIGH = RiskTier.LOW, RiskTier.MEDIUM, RiskTier.HIGH

SECTIONS: tuple[SectionKind, ...] = (
    SectionKind("purpose", "Purpose and intended use", _ALL, recorded.purpose),
    SectionKind("data", "Data and lineage", _ALL, recorded.data, measured.data),
    SectionKind("features", "Features and target", _ALL, None, measured.features),
    SectionKind("design", "Design and assumptions", _HIGH, None, measured.design),
    SectionKind("training", "Training", _ALL, recorded.training, measured.training),
    SectionKind(
        "performance", "Performance out of sample", _ALL, None, measured.performance, recorded.compared
    ),
    SectionKind("stability", "Stability over time", _MEDIUM, None, measured.stability),
    SectionKind("importance", "Importance of features", _MEDIUM, None, measured.importance),
    SectionKind("assets", "Error by asset", _MEDIUM, None, measured.assets, recorded.asset_plots),
    SectionKind("regimes", "Error by market regime", _MEDIUM, None, measured.regimes),
    SectionKind("limitations", "Limitations", _ALL, recorded.limitations),
    SectionKind("monitoring", "Monitoring and human oversight", _MEDIUM, None, measured.monitoring),
    SectionKind("gates", "Gates", _ALL, recorded.gates),
    SectionKind("approvals", "Approvals and later events", None, recorded.approvals),
    SectionKind("proof", "Signatures and proof", _ALL, recorded.proof),
)
"""Every card has all of them, in this order; `docs/model-cards.md` says which guidance asks for which."""


def required_sections(tier: RiskTier) -> tuple[SectionKind, ...]:
    """The sections that a model of the tier needs, in the order of the card."""
    return tuple(kind for kind in SECTIONS if kind.required_in(tier))


def empty_sections(tier: RiskTier, evidence: Evidence) -> tuple[str, ...]:
    """The keys of the required sections that the evidence leaves empty, in the order of the card."""
    return tuple(kind.key for kind in required_sections(tier) if kind.is_empty(evidence))
