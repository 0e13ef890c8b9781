"""Specifications: what people state for the model card, and the tier that its gate judges by."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from domain.registry.errors import InvalidInput
from domain.registry.gates import CompleteCard
from domain.risk.spec import ModelSpec, MonitoringSpec

SPEC = Path(__file__).parents[2] / "dags" / "volatility_forecast.toml"


@pytest.fixture
def tables() -> dict[str, Any]:
    return tomllib.loads(SPEC.read_text())


def test_a_specification_need_not_state_anything(tables: dict[str, Any]) -> None:
    del tables["card"]
    assert ModelSpec.parse(tables).statements == {}


def test_what_is_stated_is_kept_as_it_is(tables: dict[str, Any]) -> None:
    tables["card"] = {
        "assumptions": "None.",
        "alternatives": "None.",
        "monitoring": "Daily.",
        "oversight": "Us.",
    }
    assert ModelSpec.parse(tables).statements == tables["card"]


@pytest.mark.parametrize(
    ("card", "field"),
    [
        ({"monitorign": "Daily."}, "card.monitorign"),
        ({"monitoring": ""}, "card.monitoring"),
        ({"monitoring": 7}, "card.monitoring"),
        ("Daily.", "card"),
    ],
)
def test_a_wrong_statement_is_named(tables: dict[str, Any], card: object, field: str) -> None:
    tables["card"] = card
    with pytest.raises(InvalidInput) as caught:
        ModelSpec.parse(tables)
    assert caught.value.field == field


@pytest.mark.parametrize("tier", [1, 2, 3])
def test_the_card_is_judged_by_the_models_own_tier(tables: dict[str, Any], tier: int) -> None:
    tables["model"]["risk_tier"] = tier
    gates = [gate for gate in ModelSpec.parse(tables).gates if isinstance(gate, CompleteCard)]
    assert gates == [CompleteCard(tier)]  # type: ignore[arg-type]


def test_a_specification_cannot_ask_for_another_tiers_card(tables: dict[str, Any]) -> None:
    """Otherwise a line in the list of gates would undo what the tier requires."""
    next(gate for gate in tables["gates"] if gate["kind"] == "complete_card")["risk_tier"] = 3
    with pytest.raises(InvalidInput, match="remove it"):
        ModelSpec.parse(tables)


def test_a_wrong_tier_is_named_where_it_stands(tables: dict[str, Any]) -> None:
    tables["model"]["risk_tier"] = 4
    with pytest.raises(InvalidInput) as caught:
        ModelSpec.parse(tables)
    assert caught.value.field == "model.risk_tier"


def test_tables_that_are_none_are_one_sentence() -> None:
    with pytest.raises(InvalidInput, match="spec is"):
        ModelSpec.parse(["not", "tables"])


def test_monitoring_has_defaults_and_takes_what_is_given(tables: dict[str, Any]) -> None:
    assert ModelSpec.parse(tables).monitoring == MonitoringSpec()
    tables["monitoring"] = {
        "window_sessions": 63,
        "false_alarm_rate": 0.1,
        "least_psi": 0,
        "cooldown_days": 5,
    }
    assert ModelSpec.parse(tables).monitoring == MonitoringSpec(63, 0.1, 0, 5)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"window_sessions": 4}, "monitoring.window_sessions"),
        ({"window_sessions": 21.5}, "monitoring.window_sessions"),
        ({"false_alarm_rate": 0}, "monitoring.false_alarm_rate"),
        ({"least_psi": "much"}, "monitoring.least_psi"),
        ({"cooldown_days": True}, "monitoring.cooldown_days"),
        ({"windows": 3}, "monitoring.windows"),
        ([], "monitoring"),
    ],
)
def test_a_wrong_setting_of_monitoring_is_named(tables: dict[str, Any], given: object, field: str) -> None:
    tables["monitoring"] = given
    with pytest.raises(InvalidInput) as caught:
        ModelSpec.parse(tables)
    assert caught.value.field == field
