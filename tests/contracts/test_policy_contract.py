"""What every policy has to do: the same suite for the engine in process, an OPA server and the fake."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, cast

import pytest

from domain.registry.canonical import Digest, digest
from domain.registry.policy import (
    Decision,
    PolicyActor,
    PolicyApproval,
    PolicyGate,
    PolicyInput,
)
from domain.registry.ports import PolicyPort
from tests.fakes.policy import THE_FAKES_POLICY, FakePolicy
from tests.registry.policy_questions import (
    EVIDENCE,
    OFFICER,
    OLD_EVIDENCE,
    VALIDATOR,
    candidate,
    question,
)
from tests.servers.opa_like import opa_like
from veritasvault.adapters.opa_bundle import bundle
from veritasvault.adapters.opa_policy import OpaPolicy
from veritasvault.adapters.policy_files import PolicyFiles
from veritasvault.adapters.rego_policy import RegoPolicy
from veritasvault.settings import packaged_policy

FILES = PolicyFiles.read(packaged_policy())
TIE, OLDER = dt.date(2022, 6, 30), dt.date(2022, 7, 1)

# A new policy engine is one line here: the packaged policy in it, until the suite has ended.
BACKENDS: dict[str, Callable[[], AbstractContextManager[PolicyPort]]] = {
    "fake": lambda: nullcontext(FakePolicy()),
    "rego": lambda: nullcontext(RegoPolicy(packaged_policy())),
    "opa": lambda: _served(),
}


@contextmanager
def _served() -> Iterator[PolicyPort]:
    with opa_like(bundle(FILES)) as url:
        yield OpaPolicy(url)


@pytest.fixture(params=sorted(BACKENDS), scope="module")
def policy(request: pytest.FixtureRequest) -> Iterator[PolicyPort]:
    with BACKENDS[request.param]() as port:
        yield port


def ask(policy: PolicyPort, asked: PolicyInput) -> Decision:
    return policy.decide(asked.action, asked)


def test_what_nothing_stands_against_is_allowed(policy: PolicyPort) -> None:
    decision = ask(policy, question())
    assert decision.allowed, decision
    assert decision.reasons == ()


def test_a_decision_names_the_policy_and_the_question_that_it_is_of(policy: PolicyPort) -> None:
    expected = THE_FAKES_POLICY if isinstance(policy, FakePolicy) else FILES.digest
    for asked in (question(), question(halted=True)):
        decision = ask(policy, asked)
        assert decision.policy == expected
        assert decision.input == asked.digest == digest_of_document(asked)


def test_another_question_has_another_digest(policy: PolicyPort) -> None:
    assert ask(policy, question()).input != ask(policy, question(authors=("ann", "bob"))).input


def test_a_decision_can_be_kept_in_an_event(policy: PolicyPort) -> None:
    for decision in (ask(policy, question()), ask(policy, question(halted=True))):
        assert Decision.from_json(decision.to_json()) == decision


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (question(halted=True), "promotions of vol are halted"),
        (question(candidate=None), "no version is named"),
        (question(candidate=candidate(gates=())), "vol@2 was judged by no gate"),
        (
            question(candidate=candidate(gates=(PolicyGate("data", "failed"),))),
            "gate data of vol@2 is failed",
        ),
        (question(candidate=candidate(evidence=None)), "vol@2 has no evidence"),
        (question(risk_tier=2), "tier 2 needs a risk_officer"),
        (question(risk_tier=2, approvals=(VALIDATOR,)), "tier 2 needs a risk_officer"),
        (question(risk_tier=2, approvals=(replace(OFFICER, evidence=OLD_EVIDENCE),)), "tier 2 needs"),
        (question(risk_tier=1, approvals=(OFFICER,)), "tier 1 needs a model_validator and a risk_officer"),
        (question(risk_tier=1, approvals=(OFFICER, replace(VALIDATOR, approver="olga"))), "tier 1 needs"),
        (question(approvals=(replace(OFFICER, approver="ann"),)), "ann may not approve vol@2: its author"),
        (question(approvals=(replace(OFFICER, approver="market risk"),)), "may not approve vol@2: its owner"),
        (question(approvals=(replace(OFFICER, approver="scheduler"),)), "scheduler may not approve vol@2"),
        (question(latest_champion_as_of=TIE), "needs a risk_officer in every tier: a champion had"),
        (question(candidate=candidate(barred=True)), "in every tier: a rollback displaced it"),
        (question(candidate=candidate(as_of=None)), "in every tier: its as-of date is not known"),
        (question(latest_champion_as_of=OLDER, approvals=(OFFICER, VALIDATOR)), "has seen data up to"),
        (question(action="rollback", automatic=False), "a rollback needs a risk_officer"),
        (question(action="rollback", approvals=(OFFICER,)), "a rollback is a person's decision"),
        (question(action="retire"), "scheduler may not retire: it takes a risk_officer"),
        (question(action="reject"), "scheduler may not reject: it takes a risk_officer"),
        (question(action="halt"), "scheduler may not halt: it takes a model_validator or a risk_officer"),
        (question(action="resume", name="*"), "scheduler may not resume: it takes a risk_officer"),
    ],
)
def test_a_denial_says_what_stands_against_it(policy: PolicyPort, asked: PolicyInput, reason: str) -> None:
    decision = ask(policy, asked)
    assert not decision.allowed
    assert len(decision.reasons) == 1, decision
    assert reason in decision.reasons[0]


@pytest.mark.parametrize(
    "asked",
    [
        question(incumbent=None, latest_champion_as_of=None),
        question(risk_tier=2, approvals=(OFFICER,)),
        question(risk_tier=1, approvals=(OFFICER, VALIDATOR)),
        question(latest_champion_as_of=TIE, approvals=(OFFICER,)),
        question(action="rollback", automatic=False, halted=True, risk_tier=1, approvals=(OFFICER,)),
        question(action="halt", name="*", actor=PolicyActor("vera", ("model_validator",))),
        question(action="resume", name="*", actor=PolicyActor("olga", ("risk_officer",))),
    ],
)
def test_what_was_approved_by_whom_it_needs_is_allowed(policy: PolicyPort, asked: PolicyInput) -> None:
    assert ask(policy, asked).allowed, ask(policy, asked)


def test_all_reasons_are_given_at_once_in_alphabetical_order(policy: PolicyPort) -> None:
    decision = ask(policy, question(halted=True, risk_tier=1, candidate=candidate(gates=(), barred=True)))
    assert [reason.split()[0] for reason in decision.reasons] == ["promotions", "tier", "vol@2", "vol@2"]
    assert list(decision.reasons) == sorted(decision.reasons)


def test_a_question_about_another_action_is_denied(policy: PolicyPort) -> None:
    decision = policy.decide("halt", question())
    assert decision.reasons == ("action is 'halt', but input.action is 'promote': ask about one action",)


@pytest.mark.parametrize("field", sorted(question().to_json()))
def test_a_missing_field_is_denied_and_named(policy: PolicyPort, field: str) -> None:
    document = {name: value for name, value in question().to_json().items() if name != field}
    decision = ask(policy, cast(PolicyInput, _Document(document, question())))
    assert not decision.allowed
    assert decision.reasons == (f"input.{field} is missing: give it, null where nothing is",)


@pytest.mark.parametrize("name", ['a"b', "a\\b", 'a", "b', "a\nb", "%s %d", "{}", "Øyvind 漢 😀", "\\u0041"])
def test_names_are_compared_and_shown_as_they_are(policy: PolicyPort, name: str) -> None:
    """No character of a name ends a text early, or makes two names one."""
    approval = PolicyApproval(name, "risk_officer", EVIDENCE)
    denied = ask(policy, question(authors=(name,), approvals=(approval,)))
    shown = name if isinstance(policy, FakePolicy) else name.replace("\n", " ")
    assert denied.reasons == (f"{shown} may not approve vol@2: its author",)
    assert ask(policy, question(risk_tier=2, authors=(f"{name}x",), approvals=(approval,))).allowed


def test_threads_that_ask_at_once_get_their_own_answers(policy: PolicyPort) -> None:
    asked = [question(halted=bool(number % 2), name=f"vol{number}") for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        decisions = list(pool.map(lambda one: ask(policy, one), asked))
    assert [decision.allowed for decision in decisions] == [not one.halted for one in asked]
    assert [decision.input for decision in decisions] == [one.digest for one in asked]


def test_a_process_that_is_forked_after_the_first_question_can_ask(policy: PolicyPort) -> None:
    """Tasks are forked from processes that may have asked already."""
    assert ask(policy, question()).allowed
    context = multiprocessing.get_context("fork")
    answers: Any = context.SimpleQueue()
    child = context.Process(target=lambda: answers.put(ask(policy, question(halted=True)).reasons))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    assert answers.get() == ("promotions of vol are halted: resume them first",)


def digest_of_document(asked: PolicyInput) -> Digest:
    """The digest as somebody else would compute it, from nothing but the documented format."""
    ordered = json.dumps(asked.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return digest(ordered.encode())


class _Document:
    """A question whose document is another than its own."""

    def __init__(self, document: dict[str, Any], asked: PolicyInput) -> None:
        self._document = document
        self.action = asked.action
        self.digest = asked.digest

    def to_json(self) -> dict[str, Any]:
        return self._document
