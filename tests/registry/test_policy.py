"""Questions and decisions are what they say, and are refused where they cannot be."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from domain.registry.canonical import decode, digest, encode
from domain.registry.errors import InvalidInput
from domain.registry.evidence import GateResult
from domain.registry.policy import (
    NO_POLICY,
    Decision,
    PolicyActor,
    PolicyApproval,
    PolicyGate,
    PolicyIncumbent,
    PolicyInput,
    policy_digest,
)
from tests.registry.policy_questions import candidate, question, questions

POLICY, ASKED = digest(b"policy"), digest(b"question")


def test_a_decision_is_read_as_it_was_written() -> None:
    for decision in (Decision(True, (), POLICY, ASKED), Decision(False, ("no",), NO_POLICY, ASKED)):
        assert Decision.from_json(decode(encode(decision.to_json()), "decision")) == decision


@pytest.mark.parametrize(
    "values",
    [
        (True, ("but",), POLICY, ASKED),
        (False, (), POLICY, ASKED),
        (True, (), NO_POLICY, ASKED),
        ("true", (), POLICY, ASKED),
        (1, (), POLICY, ASKED),
        (False, ("",), POLICY, ASKED),
        (False, ("no",), "policy", ASKED),
        (False, ("no",), POLICY, None),
    ],
)
def test_a_decision_that_contradicts_itself_is_refused(values: Any) -> None:
    """Allowed with reasons, denied without, allowed by nobody: none of it gets into the ledger."""
    with pytest.raises(InvalidInput, match=r"^decision\."):
        Decision(*values)
    with pytest.raises(InvalidInput, match=r"^decision\."):
        Decision.from_json(dict(zip(("allowed", "reasons", "policy", "input"), values, strict=True)))


def test_the_document_has_exactly_the_documented_fields() -> None:
    asked = question(approvals=(PolicyApproval("olga", "risk_officer", ASKED),))
    assert asked.to_json() == {
        "action": "promote",
        "name": "vol",
        "risk_tier": 3,
        "owner": "market risk",
        "automatic": True,
        "actor": {"name": "scheduler", "roles": []},
        "authors": ["ann"],
        "halted": False,
        "candidate": {
            "version": 2,
            "as_of": "2022-06-30",
            "evidence": digest(b"evidence"),
            "gates": [{"gate": "qlike", "outcome": "passed"}],
            "barred": False,
        },
        "incumbent": {"version": 1, "as_of": "2022-03-31"},
        "latest_champion_as_of": "2022-03-31",
        "approvals": [{"approver": "olga", "role": "risk_officer", "evidence": ASKED}],
    }


@given(asked=questions())
def test_the_document_of_any_question_is_canonical_json(asked: PolicyInput) -> None:
    assert decode(encode(asked.to_json()), "question") == asked.to_json()
    assert asked.digest == digest(encode(asked.to_json()))


def test_the_order_of_names_changes_no_digest() -> None:
    """They come from sets, whose order differs between processes."""
    one, other = (
        question(authors=names, actor=PolicyActor("s", names)) for names in (("a", "b"), ("b", "a", "b"))
    )
    assert one == other
    assert one.digest == other.digest


def test_a_policy_is_known_by_names_and_contents_of_its_files() -> None:
    files = {"a.rego": POLICY, "b.rego": ASKED}
    assert policy_digest(files) == policy_digest(dict(reversed(files.items())))
    assert policy_digest(files) == digest(f'{{"a.rego":"{POLICY}","b.rego":"{ASKED}"}}'.encode())
    assert policy_digest(files) != policy_digest({"a.rego": ASKED, "b.rego": POLICY})
    assert policy_digest({}) == NO_POLICY


def test_a_gate_is_seen_without_its_figures() -> None:
    result = GateResult("qlike", "failed", "worse than the baseline", {"qlike": 0.7})
    assert PolicyGate.of(result) == PolicyGate("qlike", "failed")


def test_halting_every_model_has_a_name_and_nothing_else_does() -> None:
    assert question(action="halt", name="*").name == "*"
    with pytest.raises(InvalidInput, match=r"input\.name"):
        question(name="*")


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("input.action", lambda: question(action="delete")),
        ("input.name", lambda: question(name="Vol")),
        ("input.risk_tier", lambda: question(risk_tier=4)),
        ("input.owner", lambda: question(owner="")),
        ("input.automatic", lambda: question(automatic=None)),
        ("input.actor.name", lambda: PolicyActor(" ann", ())),
        ("input.actor.roles", lambda: PolicyActor("ann", ("",))),
        ("input.authors", lambda: question(authors=("",))),
        ("input.halted", lambda: question(halted="no")),
        ("input.latest_champion_as_of", lambda: question(latest_champion_as_of="2022-06-30")),
        ("input.latest_champion_as_of", lambda: question(latest_champion_as_of=dt.datetime.now(dt.UTC))),
        ("input.candidate.version", lambda: candidate(version=0)),
        ("input.candidate.version", lambda: candidate(version=True)),
        ("input.candidate.as_of", lambda: candidate(as_of="2022-06-30")),
        ("input.candidate.evidence", lambda: candidate(evidence="e2")),
        ("input.candidate.barred", lambda: candidate(barred=0)),
        ("input.candidate.gates.gate", lambda: PolicyGate("", "passed")),
        ("input.candidate.gates.outcome", lambda: PolicyGate("qlike", "fine")),  # type: ignore[arg-type]
        ("input.incumbent.version", lambda: PolicyIncumbent(0, None)),
        ("input.approvals.approver", lambda: PolicyApproval("", "risk_officer", ASKED)),
        ("input.approvals.role", lambda: PolicyApproval("olga", "", ASKED)),
        ("input.approvals.evidence", lambda: PolicyApproval("olga", "risk_officer", "e2")),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_asked_is_refused_by_its_field(field: str, make: Any) -> None:
    with pytest.raises(InvalidInput) as refused:
        make()
    assert refused.value.field == field


def test_half_a_character_is_refused_before_anybody_is_asked() -> None:
    with pytest.raises(InvalidInput, match="plain JSON"):
        replace(question(), owner="\ud800")
