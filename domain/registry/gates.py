"""Gates: pure judgements over the evidence of a candidate, each with its figures and a sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from domain.registry.card.sections import empty_sections, required_sections
from domain.registry.errors import InvalidInput
from domain.registry.evidence import Evidence, GateResult, Outcome
from domain.registry.metadata import RiskTier, as_risk_tier
from domain.registry.records import as_text

CHAMPION = "champion"
"""The name of the champion among the baselines of a comparison."""


class Gate(Protocol):
    """One condition that a candidate has to meet."""

    @property
    def label(self) -> str:
        """The gate's name in events and reports."""

    def judge(self, evidence: Evidence) -> GateResult:
        """Decide from the evidence alone; what the evidence lacks fails the gate."""


def _number(field: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(field, value, "give a number")
    return float(value)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A metric lies between `minimum` and `maximum`, where given."""

    KIND: ClassVar[str] = "threshold"

    metric: str
    minimum: float | None = None
    maximum: float | None = None

    def __post_init__(self) -> None:
        as_text("gates.metric", self.metric)
        if self.minimum is None and self.maximum is None:
            raise InvalidInput("gates.minimum", None, f"give a minimum or a maximum for {self.metric}")
        for bound in ("minimum", "maximum"):
            if getattr(self, bound) is not None:
                object.__setattr__(self, bound, _number(f"gates.{bound}", getattr(self, bound)))

    @property
    def label(self) -> str:
        return f"{self.metric} within bounds"

    def judge(self, evidence: Evidence) -> GateResult:
        value = evidence.metrics.get(self.metric)
        if value is None:
            return _missing(self.label, f"metric {self.metric}")
        low, high = self.minimum, self.maximum
        good = (low is None or value >= low) and (high is None or value <= high)
        bounds = {"at least": low, "at most": high}
        limits = " and ".join(f"{words} {bound:g}" for words, bound in bounds.items() if bound is not None)
        figures = {self.metric: value} | {
            name: bound for name, bound in (("minimum", low), ("maximum", high)) if bound is not None
        }
        return _result(self.label, good, f"{self.metric} is {value:.4g}, has to be {limits}", figures)


@dataclass(frozen=True, slots=True)
class BetterThanBaseline:
    """A metric where less is better is below the baseline's by at least `margin`, a fraction of it.

    With a `p_value`, two equally good models may not differ so much with a greater probability, by the test
    that the evidence names.
    """

    KIND: ClassVar[str] = "better_than_baseline"

    metric: str
    baseline: str
    margin: float = 0.0
    p_value: float | None = None

    def __post_init__(self) -> None:
        as_text("gates.metric", self.metric)
        as_text("gates.baseline", self.baseline)
        margin = _number("gates.margin", self.margin)
        if not 0 <= margin < 1:
            raise InvalidInput("gates.margin", margin, "give a fraction from 0 up to 1, such as 0.02")
        object.__setattr__(self, "margin", margin)
        if self.p_value is not None:
            p_value = _number("gates.p_value", self.p_value)
            if not 0 < p_value < 1:
                raise InvalidInput("gates.p_value", p_value, "give a probability above 0, such as 0.05")
            object.__setattr__(self, "p_value", p_value)

    @property
    def label(self) -> str:
        return f"{self.metric} better than {self.baseline}"

    def judge(self, evidence: Evidence) -> GateResult:
        value = evidence.metrics.get(self.metric)
        baseline = evidence.baselines.get(self.baseline, {}).get(self.metric)
        if value is None or baseline is None:
            return _missing(self.label, f"metric {self.metric} of the candidate and of {self.baseline}")
        limit = baseline * (1 - self.margin)
        figures = {self.metric: value, self.baseline: baseline, "limit": limit}
        reason = f"{self.metric} is {value:.4g}, has to be below {limit:.4g} ({self.baseline} {baseline:.4g}"
        reason = f"{reason}, margin {self.margin:.0%})"
        if self.p_value is None:
            return _result(self.label, value < limit, reason, figures)
        found = evidence.p_value(self.metric, self.baseline)
        if found is None:
            return _missing(self.label, f"a test of {self.metric} against {self.baseline}")
        reason = f"{reason}; the p-value is {found:.3g}, has to be at most {self.p_value:g}"
        good = value < limit and found <= self.p_value
        return _result(self.label, good, reason, {**figures, "p_value": found})


@dataclass(frozen=True, slots=True)
class NoWorseThanChampion:
    """A metric where less is better exceeds the champion's by at most `tolerance`, a fraction of it.

    Judges the evidence of a comparison, in which the champion stands among the baselines.
    """

    metric: str
    tolerance: float

    @property
    def label(self) -> str:
        return f"{self.metric} no worse than the champion's"

    def judge(self, evidence: Evidence) -> GateResult:
        value = evidence.metrics.get(self.metric)
        champion = evidence.baselines.get(CHAMPION, {}).get(self.metric)
        if value is None or champion is None:
            return _missing(self.label, f"metric {self.metric} of the candidate and of the champion")
        limit = champion * (1 + self.tolerance)
        figures = {self.metric: value, CHAMPION: champion, "limit": limit}
        reason = f"{self.metric} is {value:.4g}, has to be at most {limit:.4g} (champion {champion:.4g}"
        return _result(self.label, value <= limit, f"{reason}, tolerance {self.tolerance:.0%})", figures)


@dataclass(frozen=True, slots=True)
class DataValidated:
    """The data validation ran and met every expectation."""

    KIND: ClassVar[str] = "data_validated"
    label: ClassVar[str] = "data validated"

    def judge(self, evidence: Evidence) -> GateResult:
        validation = evidence.data_validation
        if validation is None or not validation.checked:
            return _missing(self.label, "a data validation")
        figures = {"checked": float(validation.checked), "unmet": float(len(validation.failures))}
        if validation.failures:
            return _result(self.label, False, _listed("unmet", validation.failures), figures)
        return _result(self.label, True, f"all {validation.checked} expectations met", figures)


@dataclass(frozen=True, slots=True)
class Coverage:
    """At least the fraction `minimum` of the expected assets has forecasts."""

    KIND: ClassVar[str] = "coverage"
    label: ClassVar[str] = "coverage of assets"

    minimum: float = 1.0

    def __post_init__(self) -> None:
        minimum = _number("gates.minimum", self.minimum)
        if not 0 < minimum <= 1:
            raise InvalidInput("gates.minimum", minimum, "give a fraction above 0, at most 1")
        object.__setattr__(self, "minimum", minimum)

    def judge(self, evidence: Evidence) -> GateResult:
        expected = set(evidence.assets_expected)
        if not expected:
            return _missing(self.label, "the expected assets")
        missing = sorted(expected - set(evidence.assets_covered))
        share = 1 - len(missing) / len(expected)
        figures = {"covered": float(len(expected) - len(missing)), "expected": float(len(expected))}
        reason = (
            f"{share:.0%} of {len(expected)} assets have forecasts, has to be at least {self.minimum:.0%}"
        )
        if missing:
            reason += f"; missing {', '.join(missing[:10])}"
        return _result(self.label, share >= self.minimum, reason, figures)


@dataclass(frozen=True, slots=True)
class NoLookAhead:
    """Perturbing later rows changed no feature, and no fold's label window reaches its test period."""

    KIND: ClassVar[str] = "no_look_ahead"
    label: ClassVar[str] = "no look-ahead"

    def judge(self, evidence: Evidence) -> GateResult:
        found = evidence.look_ahead
        if found is None or not found.probes or not found.folds:
            return _missing(self.label, "a probe for look-ahead")
        figures = {"probes": float(len(found.probes)), "folds": float(found.folds)}
        if found.violations:
            return _result(self.label, False, _listed("look-ahead found", found.violations), figures)
        reason = f"{len(found.probes)} probes changed no earlier feature, {found.folds} folds are purged"
        return _result(self.label, True, reason, figures)


@dataclass(frozen=True, slots=True)
class AgreesWithOnnx:
    """The ONNX file that services run answers as the trained model does, but for the fraction `tolerance`.

    Both compute in float64; what is left is the order of sums.
    """

    KIND: ClassVar[str] = "onnx_agreement"
    label: ClassVar[str] = "agreement of the ONNX file"

    tolerance: float = 1e-9

    def __post_init__(self) -> None:
        tolerance = _number("gates.tolerance", self.tolerance)
        if not 0 < tolerance < 1:
            raise InvalidInput("gates.tolerance", tolerance, "give a fraction above 0, such as 1e-9")
        object.__setattr__(self, "tolerance", tolerance)

    def judge(self, evidence: Evidence) -> GateResult:
        found = evidence.onnx_agreement()
        if found is None or not found.rows:
            return _missing(self.label, "an ONNX form of the model")
        figures = {"rows": float(found.rows), "difference": found.difference, "tolerance": self.tolerance}
        reason = (
            f"on {found.rows} rows ONNX Runtime differs from the trained model by at most"
            f" {found.difference:.2g} of its answer, {self.tolerance:g} is allowed"
        )
        return _result(self.label, found.difference <= self.tolerance, reason, figures)


@dataclass(frozen=True, slots=True)
class CompleteCard:
    """The evidence fills every section of the model card that the risk tier requires.

    A specification does not set the tier: it is the model's own.
    """

    KIND: ClassVar[str] = "complete_card"
    label: ClassVar[str] = "complete model card"

    risk_tier: RiskTier

    def __post_init__(self) -> None:
        object.__setattr__(self, "risk_tier", as_risk_tier("gates.risk_tier", self.risk_tier))

    def judge(self, evidence: Evidence) -> GateResult:
        required = required_sections(self.risk_tier)
        empty = empty_sections(self.risk_tier, evidence)
        figures = {"required": float(len(required)), "empty": float(len(empty))}
        tier = int(self.risk_tier)
        if empty:
            reason = f"tier {tier} requires sections that nothing fills: {', '.join(empty)}"
            return _result(self.label, False, reason, figures)
        reason = f"all {len(required)} sections that tier {tier} requires are filled"
        return _result(self.label, True, reason, figures)


GATES: Mapping[str, Callable[..., Gate]] = {
    gate.KIND: gate
    for gate in (
        Threshold,
        BetterThanBaseline,
        DataValidated,
        Coverage,
        NoLookAhead,
        AgreesWithOnnx,
        CompleteCard,
    )
}


def judge_all(gates: Sequence[Gate], evidence: Evidence) -> tuple[GateResult, ...]:
    """Every gate's result, in order; all are judged so that all reasons are known at once."""
    return tuple(gate.judge(evidence) for gate in gates)


def unevaluated(gates: Sequence[Gate]) -> tuple[GateResult, ...]:
    """Results of a model trained elsewhere: no gate has looked at it yet."""
    reason = "the model was trained elsewhere and is not evaluated yet"
    labels = [gate.label for gate in gates] or ["evaluation"]
    return tuple(GateResult(label, "unevaluated", reason) for label in labels)


def build_gate(field: str, gate: Callable[..., Gate], settings: Mapping[str, Any]) -> Gate:
    """Build a gate from the settings of a specification.

    Raises:
        InvalidInput: naming the setting that is missing, unknown or wrong.
    """
    try:
        return gate(**settings)
    except TypeError as error:
        raise InvalidInput(field, dict(settings), f"give the gate's own settings ({error})") from error


def _result(label: str, good: bool, reason: str, figures: Mapping[str, float]) -> GateResult:
    outcome: Outcome = "passed" if good else "failed"
    return GateResult(label, outcome, reason, figures)


def _missing(label: str, what: str) -> GateResult:
    return GateResult(label, "failed", f"the evidence has no figures for {what}")


def _listed(what: str, sentences: Sequence[str], most: int = 5) -> str:
    shown = "; ".join(sentences[:most])
    more = f" and {len(sentences) - most} more" if len(sentences) > most else ""
    return f"{what}: {shown}{more}"
