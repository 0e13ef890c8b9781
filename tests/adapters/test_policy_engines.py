"""Two Rego engines read the packaged policy alike, and as it is meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings

from domain.registry.policy import PolicyInput
from tests.fakes.policy import expected_reasons
from tests.registry.policy_questions import broken_documents, question, questions
from tests.servers.opa_like import engine_of, opa_like, value_of
from veritasvault.adapters.opa_bundle import bundle
from veritasvault.adapters.opa_policy import OpaPolicy
from veritasvault.adapters.policy_cases import PolicyCase, cases_of, failures
from veritasvault.adapters.policy_files import PolicyFiles
from veritasvault.adapters.rego_policy import RegoPolicy
from veritasvault.settings import packaged_policy

FILES = PolicyFiles.read(packaged_policy())
CASES = cases_of(FILES)
IN_PROCESS = RegoPolicy(packaged_policy())


@pytest.fixture(scope="module")
def server() -> Iterator[OpaPolicy]:
    with opa_like(bundle(FILES)) as url:
        yield OpaPolicy(url)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_each_case_of_the_policy_holds_in_both_engines(case: PolicyCase, server: OpaPolicy) -> None:
    assert failures([case], IN_PROCESS.ask) == ()
    assert failures([case], server.ask) == ()


def test_there_are_cases_for_every_file_of_them() -> None:
    """A file whose cases are not found would test nothing."""
    assert len(FILES.cases) == 2
    assert {"what no rule names is denied", "a complete question has no problem"} <= {c.name for c in CASES}
    assert len(CASES) > 75


def test_the_rules_for_opa_test_are_true() -> None:
    """`opa test deploy/policy` runs the rules named test_; here the second engine does."""
    sources = {path.name: path.read_text() for path in packaged_policy().glob("*.rego")}
    engine = engine_of(sources, FILES.data)
    packages = {name: value_of(engine, f"data.veritas.{name}_test") for name in ("lifecycle", "question")}
    found = {
        f"{package}.{name}": value
        for package, rules in packages.items()
        for name, value in rules.items()
        if name.startswith("test_")
    }
    assert len(found) == sum(text.count("\ntest_") for text in sources.values()) == 4
    assert set(found.values()) == {True}
    assert [rules["wrong"] for rules in packages.values()] == [[], []]


@given(asked=questions())
@settings(max_examples=1000)
def test_both_engines_decide_every_question_as_the_rules_are_meant(
    server: OpaPolicy, asked: PolicyInput
) -> None:
    """The rules are written a second time in Python, and all three give the same reasons."""
    expected = expected_reasons(asked.to_json())
    for policy in (IN_PROCESS, server):
        decision = policy.decide(asked.action, asked)
        assert set(decision.reasons) == expected
        assert decision.allowed == (not expected)
        assert decision.policy == FILES.digest


@given(document=broken_documents())
@settings(max_examples=1000)
def test_both_engines_give_the_same_answer_to_a_broken_question(server: OpaPolicy, document: Any) -> None:
    """Whatever was left out or replaced: the same reasons, and nothing allowed that a rule did not see."""
    decision = IN_PROCESS.ask(document)
    assert decision == server.ask(document)
    if decision.allowed:
        assert set(document) >= set(question().to_json())
