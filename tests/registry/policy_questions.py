"""Questions to a policy: one that nothing stands against, and random ones."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from domain.registry.canonical import digest
from domain.registry.evidence import OUTCOMES
from domain.registry.metadata import RiskTier
from domain.registry.policy import (
    POLICY_ACTIONS,
    PolicyActor,
    PolicyApproval,
    PolicyCandidate,
    PolicyGate,
    PolicyIncumbent,
    PolicyInput,
)

EVIDENCE, OLD_EVIDENCE = digest(b"evidence"), digest(b"evidence of last month")
OFFICER = PolicyApproval("olga", "risk_officer", EVIDENCE)
VALIDATOR = PolicyApproval("vera", "model_validator", EVIDENCE)
_DAYS = st.sampled_from([dt.date(2022, 3, 31), dt.date(2022, 6, 30), dt.date(2022, 10, 1)])
# Few names, so that authors, actors and approvers often are the same; one with what quotes are made of.
_NAMES = st.sampled_from(["ann", "olga", "vera", "market risk", 'o"tto \\ %s'])
_ROLES = st.sampled_from(["risk_officer", "model_validator", "quant"])


def question(**changes: Any) -> PolicyInput:
    """A promotion of tier 3 by a run, newer than every champion, with fields changed."""
    asked = PolicyInput(
        action="promote",
        name="vol",
        risk_tier=RiskTier.LOW,
        owner="market risk",
        automatic=True,
        actor=PolicyActor("scheduler", ()),
        authors=("ann",),
        halted=False,
        candidate=candidate(),
        incumbent=PolicyIncumbent(1, dt.date(2022, 3, 31)),
        latest_champion_as_of=dt.date(2022, 3, 31),
        approvals=(),
    )
    return replace(asked, **changes)


def candidate(**changes: Any) -> PolicyCandidate:
    """Version 2 of 30 June, judged and not barred, with fields changed."""
    made = PolicyCandidate(2, dt.date(2022, 6, 30), EVIDENCE, (PolicyGate("qlike", "passed"),), False)
    return replace(made, **changes)


def _candidates() -> st.SearchStrategy[PolicyCandidate]:
    outcomes = st.sampled_from([*OUTCOMES, "passed", "passed"])
    gates = st.lists(st.builds(PolicyGate, st.sampled_from(["qlike", "data"]), outcomes), max_size=2)
    return st.builds(
        PolicyCandidate,
        version=st.integers(1, 3),
        as_of=st.none() | _DAYS,
        evidence=st.sampled_from([EVIDENCE, EVIDENCE, EVIDENCE, None]),
        gates=gates.map(tuple),
        barred=st.booleans(),
    )


def questions() -> st.SearchStrategy[PolicyInput]:
    """Any question, biased towards those that are nearly allowed."""
    approvals = st.builds(PolicyApproval, _NAMES, _ROLES, st.sampled_from([EVIDENCE, EVIDENCE, OLD_EVIDENCE]))
    return st.builds(
        PolicyInput,
        action=st.sampled_from([*POLICY_ACTIONS, "promote", "promote", "rollback"]),
        name=st.sampled_from(["vol", "vendor_vol"]),
        risk_tier=st.sampled_from(RiskTier),
        owner=_NAMES,
        automatic=st.booleans(),
        actor=st.builds(PolicyActor, _NAMES, st.lists(_ROLES, max_size=2).map(tuple)),
        authors=st.lists(_NAMES, max_size=1).map(tuple),
        halted=st.sampled_from([False, False, True]),
        candidate=st.just(candidate()) | _candidates() | st.none(),
        incumbent=st.none() | st.builds(PolicyIncumbent, st.integers(1, 3), st.none() | _DAYS),
        latest_champion_as_of=st.none() | _DAYS,
        approvals=st.lists(approvals, max_size=4).map(tuple),
    )


_ANYTHING: st.SearchStrategy[Any] = (
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=4) | st.just([]) | st.just({})
)


@st.composite
def broken_documents(draw: st.DrawFn) -> Any:
    """The document of a question in which fields were left out or replaced by anything."""
    document = draw(questions()).to_json()
    for _ in range(draw(st.integers(1, 3))):
        _break(draw, document)
    return document


def _break(draw: st.DrawFn, whole: dict[str, Any]) -> None:
    parts = [whole, *(part for part in whole.values() if isinstance(part, dict))]
    parts += [
        item for part in whole.values() if isinstance(part, list) for item in part if isinstance(item, dict)
    ]
    part = draw(st.sampled_from(parts))
    if not part:
        return
    name = draw(st.sampled_from(sorted(part)))
    if draw(st.booleans()):
        del part[name]
    else:
        part[name] = draw(_ANYTHING)
