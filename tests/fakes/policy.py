"""A `PolicyPort` in plain Python: the rules of `deploy/policy` once more, written without looking at Rego.

Tests of what uses a policy need no engine with it, and both engines are compared with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from domain.registry.canonical import digest
from domain.registry.policy import Decision, PolicyAction, PolicyInput

ALONE = {
    "retire": ("risk_officer",),
    "reject": ("risk_officer",),
    "halt": ("model_validator", "risk_officer"),
    "resume": ("risk_officer",),
}
_FIELDS: dict[str, tuple[str, ...]] = {
    "": (
        "action", "name", "risk_tier", "owner", "automatic", "actor", "authors", "halted", "candidate",
        "incumbent", "latest_champion_as_of", "approvals",
    ),
    "actor.": ("name", "roles"),
    "candidate.": ("version", "as_of", "evidence", "gates", "barred"),
    "incumbent.": ("version", "as_of"),
    "gate": ("gate", "outcome"),
    "approval": ("approver", "role", "evidence"),
}  # fmt: skip


THE_FAKES_POLICY = digest(b"the fake's policy")


class FakePolicy:
    """Decides as the packaged policy does; its decisions name `THE_FAKES_POLICY`."""

    def decide(self, action: PolicyAction, question: PolicyInput) -> Decision:
        if question.action != action:
            reasons = {f"action is '{action}', but input.action is '{question.action}': ask about one action"}
        else:
            reasons = expected_reasons(question.to_json())
        return Decision(not reasons, tuple(sorted(reasons)), THE_FAKES_POLICY, question.digest)


def expected_reasons(asked: Mapping[str, Any]) -> set[str]:
    """What stands against an action, by the rules of `docs/policy.md`."""
    return set(_missing(asked)) or set(_objections(asked))


def _missing(asked: Mapping[str, Any]) -> Iterator[str]:
    """Fields that are not there, in objects of the right type."""
    parts = [("", "", asked)]
    parts += [
        (f"{name}.", f"{name}.", asked[name])
        for name in ("actor", "candidate", "incumbent")
        if asked.get(name)
    ]
    gates = (asked.get("candidate") or {}).get("gates", [])
    parts += [("gate", f"candidate.gates[{number}].", gate) for number, gate in enumerate(gates)]
    approvals = asked.get("approvals", [])
    parts += [("approval", f"approvals[{number}].", approval) for number, approval in enumerate(approvals)]
    for kind, place, part in parts:
        for name in _FIELDS[kind]:
            if name not in part:
                yield f"input.{place}{name} is missing: give it, null where nothing is"


def _objections(asked: Mapping[str, Any]) -> Iterator[str]:
    action, candidate = asked["action"], asked["candidate"]
    if action in ALONE:
        if not set(ALONE[action]) & set(asked["actor"]["roles"]):
            yield f"{asked['actor']['name']} may not {action}: it takes a {' or a '.join(ALONE[action])}"
        return
    if action == "promote" and asked["halted"]:
        yield f"promotions of {asked['name']} are halted: resume them first"
    if action == "rollback" and asked["automatic"]:
        yield "a rollback is a person's decision: no run makes one"
    if candidate is None:
        yield f"no version is named: name the one to {action}"
        return
    what = f"{asked['name']}@{candidate['version']}"
    if candidate["evidence"] is None:
        yield f"{what} has no evidence: evaluate it first"
    current = [given for given in asked["approvals"] if given["evidence"] == candidate["evidence"]]
    conflicts = {given["approver"]: _conflict(asked, given["approver"]) for given in current}
    yield from (f"{name} may not approve {what}: {why}" for name, why in conflicts.items() if why)
    counted = [given for given in current if not conflicts[given["approver"]]]
    officers = {given["approver"] for given in counted if given["role"] == "risk_officer"}
    validators = {given["approver"] for given in counted if given["role"] == "model_validator"}
    if action == "promote":
        yield from _of_gates_and_dates(candidate, asked["latest_champion_as_of"], what)
        yield from _of_approvals(asked, what, officers, validators)
    elif not officers:
        yield f"a rollback needs a risk_officer for {what}"


def _of_gates_and_dates(candidate: Mapping[str, Any], latest: str | None, what: str) -> Iterator[str]:
    if not candidate["gates"]:
        yield f"{what} was judged by no gate: evaluate it first"
    for gate in candidate["gates"]:
        if gate["outcome"] != "passed":
            yield f"gate {gate['gate']} of {what} is {gate['outcome']}"
    as_of = candidate["as_of"]
    if as_of and latest and as_of < latest:
        seen = f"{what} has seen data up to {as_of}, a champion up to {latest} already"
        yield f"{seen}: roll back or train anew"


def _of_approvals(
    asked: Mapping[str, Any], what: str, officers: set[str], validators: set[str]
) -> Iterator[str]:
    candidate, tier, as_of = asked["candidate"], asked["risk_tier"], asked["candidate"]["as_of"]
    if tier == 1 and not any(one != other for one, other in product(officers, validators)):
        yield f"tier 1 needs a model_validator and a risk_officer, two people, for {what}"
    if officers:
        return
    if tier == 2:
        yield f"tier 2 needs a risk_officer for {what}"
    never_by_itself = {
        "a rollback displaced it": candidate["barred"],
        "its as-of date is not known": as_of is None,
        f"a champion had its as-of date, {as_of}": as_of and as_of == asked["latest_champion_as_of"],
    }
    for why, holds in never_by_itself.items():
        if holds:
            yield f"{what} needs a risk_officer in every tier: {why}"


def _conflict(asked: Mapping[str, Any], name: str) -> str | None:
    if name == asked["owner"]:
        return "its owner"
    if name in asked["authors"]:
        return "its author"
    if asked["automatic"] and name == asked["actor"]["name"]:
        return "who triggered the run that asks"
    return None
