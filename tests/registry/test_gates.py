"""Gates judge evidence; what the evidence lacks fails."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domain.registry.errors import InvalidInput
from domain.registry.evidence import DataValidation, Evidence, LookAhead, OnnxAgreement
from domain.registry.gates import (
    GATES,
    AgreesWithOnnx,
    BetterThanBaseline,
    CompleteCard,
    Coverage,
    DataValidated,
    Gate,
    NoLookAhead,
    Threshold,
    build_gate,
    judge_all,
    unevaluated,
)
from domain.registry.metadata import RiskTier
from tests.registry import card_examples

GOOD = Evidence(
    metrics={"qlike": 0.54, "rmse": 0.16},
    baselines={"ewma": {"qlike": 0.586}},
    assets_expected=("A", "B"),
    assets_covered=("A", "B"),
    data_validation=DataValidation(12),
    look_ahead=LookAhead(("2020-01-02",), 8),
    details=card_examples.DETAILS,
).with_onnx(OnnxAgreement(65, 2e-15))
ALL: list[Gate] = [
    Threshold("qlike", maximum=1.0),
    Threshold("rmse", minimum=0.0, maximum=0.4),
    BetterThanBaseline("qlike", "ewma", 0.02),
    DataValidated(),
    Coverage(),
    NoLookAhead(),
    AgreesWithOnnx(),
    CompleteCard(RiskTier.HIGH),
]


def test_good_evidence_passes_every_gate() -> None:
    """Each kind of gate passes on evidence that meets it."""
    assert [result.outcome for result in judge_all(ALL, GOOD)] == ["passed"] * len(ALL)


def test_no_evidence_fails_every_gate() -> None:
    """Nothing passes because nothing was measured."""
    assert [result.outcome for result in judge_all(ALL, Evidence())] == ["failed"] * len(ALL)


@pytest.mark.parametrize(
    ("gate", "evidence", "reason"),
    [
        (Threshold("qlike", maximum=0.5), GOOD, "qlike is 0.54, has to be at most 0.5"),
        (Threshold("qlike", minimum=0.6), GOOD, "qlike is 0.54, has to be at least 0.6"),
        (BetterThanBaseline("qlike", "ewma", 0.1), GOOD, "has to be below 0.5274"),
        (
            BetterThanBaseline("qlike", "garch"),
            GOOD,
            "no figures for metric qlike of the candidate and of garch",
        ),
        (
            DataValidated(),
            Evidence(data_validation=DataValidation(3, ("close of A is null",))),
            "close of A is null",
        ),
        (Coverage(), Evidence(assets_expected=("A", "B"), assets_covered=("A",)), "missing B"),
        (NoLookAhead(), Evidence(look_ahead=LookAhead(("2020-01-02",), 8, ("rv_5 of A",))), "rv_5 of A"),
        (NoLookAhead(), Evidence(look_ahead=LookAhead((), 8)), "no figures for a probe"),
        (NoLookAhead(), Evidence(look_ahead=LookAhead(("2020-01-02",), 0)), "no figures for a probe"),
        (DataValidated(), Evidence(data_validation=DataValidation(0)), "no figures for a data validation"),
        (AgreesWithOnnx(1e-15), GOOD, "by at most 2e-15 of its answer, 1e-15 is allowed"),
        (AgreesWithOnnx(), GOOD.with_onnx(OnnxAgreement(65, float("nan"))), "by at most nan"),
        (AgreesWithOnnx(), GOOD.with_onnx(OnnxAgreement(0, 0.0)), "no figures for an ONNX form"),
        (AgreesWithOnnx(), GOOD.with_onnx(None), "no figures for an ONNX form of the model"),
        (
            CompleteCard(RiskTier.LOW),
            replace(GOOD, details={**GOOD.details, "target": None}),
            "tier 3 requires sections that nothing fills: features",
        ),
        (
            CompleteCard(RiskTier.MEDIUM),
            replace(GOOD, details={**GOOD.details, "importance": [], "statements": {}}),
            "tier 2 requires sections that nothing fills: importance, monitoring",
        ),
    ],
)
def test_a_failed_gate_says_why(gate: Gate, evidence: Evidence, reason: str) -> None:
    """A refusal's sentence has the figure, the limit or the thing that is missing."""
    result = gate.judge(evidence)
    assert result.outcome == "failed"
    assert reason in result.reason


@pytest.mark.parametrize("missing", ["importance", "by_regime", "by_year", "by_asset"])
def test_a_laxer_tier_requires_less_of_the_card(missing: str) -> None:
    """What fails a stricter tier may pass a laxer one, and figures say how many sections are empty."""
    evidence = replace(GOOD, details={**GOOD.details, missing: []})
    assert CompleteCard(RiskTier.LOW).judge(evidence).outcome == "passed"
    strict = CompleteCard(RiskTier.MEDIUM).judge(evidence)
    assert (strict.outcome, strict.figures["empty"]) == ("failed", 1.0)


def test_equal_to_the_baseline_is_not_better() -> None:
    """A candidate has to beat its baseline, a tie is not enough."""
    evidence = Evidence(metrics={"qlike": 0.5}, baselines={"ewma": {"qlike": 0.5}})
    assert BetterThanBaseline("qlike", "ewma").judge(evidence).outcome == "failed"


@pytest.mark.parametrize(
    ("kind", "settings", "field"),
    [
        ("threshold", {"metric": "qlike"}, "gates.minimum"),
        ("threshold", {"metric": "qlike", "maximum": "low"}, "gates.maximum"),
        ("better_than_baseline", {"metric": "qlike", "baseline": "ewma", "margin": 1.5}, "gates.margin"),
        ("better_than_baseline", {"metric": "qlike"}, "gates[0]"),
        ("better_than_baseline", {"metric": "qlike", "baseline": "ewma", "p_value": 0}, "gates.p_value"),
        ("coverage", {"minimum": 0}, "gates.minimum"),
        ("coverage", {"most": 1}, "gates[0]"),
        ("onnx_agreement", {"tolerance": 0}, "gates.tolerance"),
        ("complete_card", {"risk_tier": 4}, "gates.risk_tier"),
    ],
)
def test_a_wrong_setting_is_named(kind: str, settings: dict[str, object], field: str) -> None:
    """A gate that cannot be built names the setting."""
    with pytest.raises(InvalidInput) as caught:
        build_gate("gates[0]", GATES[kind], settings)
    assert caught.value.field == field


def compared(p_value: object) -> Evidence:
    """Good evidence with a test against the baseline, which spoilt rows stand before."""
    rows = ["text", {"metric": "rmse", "against": "ewma", "p_value": 0.9}]
    rows.append({"metric": "qlike", "against": "ewma", "p_value": p_value})
    return replace(GOOD, details={**GOOD.details, "comparisons": rows})


def test_a_gate_may_ask_that_the_difference_is_no_chance() -> None:
    """With a p-value the test of this metric against this baseline counts too; one that is missing fails."""
    gate = BetterThanBaseline("qlike", "ewma", p_value=0.05)
    passed, chance = gate.judge(compared(0.05)), gate.judge(compared(0.2))
    assert (passed.outcome, passed.figures["p_value"]) == ("passed", 0.05)
    assert chance.outcome == "failed"
    assert "the p-value is 0.2, has to be at most 0.05" in chance.reason
    assert BetterThanBaseline("qlike", "ewma", 0.1, 0.05).judge(compared(0.01)).outcome == "failed"
    for lacking in (GOOD, compared(None), compared("0.01")):
        assert gate.judge(lacking).reason.endswith("no figures for a test of qlike against ewma")


def test_without_a_p_value_a_gate_says_what_it_always_said() -> None:
    """What old specifications ask for gives the results that the ledger has of them."""
    without = BetterThanBaseline("qlike", "ewma").judge(GOOD)
    assert without == BetterThanBaseline("qlike", "ewma").judge(compared(0.2))
    assert set(without.figures) == {"qlike", "ewma", "limit"}


def test_models_from_outside_are_unevaluated() -> None:
    """No gate passes and none fails before it has looked."""
    assert {result.outcome for result in unevaluated(ALL)} == {"unevaluated"}
    assert {result.outcome for result in unevaluated([])} == {"unevaluated"}
