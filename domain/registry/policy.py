"""What the policy is asked about a model's lifecycle, and what it answers.

The policy is rules that people change without changing the program (`docs/policy.md`). `PolicyInput` is all
that it sees; `Decision` is what an event keeps of its answer.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

from domain.registry.canonical import Digest, as_digest, digest_of
from domain.registry.errors import InvalidInput
from domain.registry.evidence import OUTCOMES, GateResult, Outcome
from domain.registry.metadata import RiskTier, as_model_name, as_risk_tier
from domain.registry.records import Fields, as_text

PolicyAction = Literal["promote", "rollback", "retire", "reject", "halt", "resume"]
POLICY_ACTIONS: tuple[PolicyAction, ...] = get_args(PolicyAction)
ABOUT_EVERY_MODEL: tuple[PolicyAction, ...] = ("halt", "resume")
"""Actions whose name may be '*'."""
NO_POLICY = digest_of({})
"""What a decision names as its policy when no policy could be asked: the digest of no files."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy answered.

    Attributes:
        reasons: a sentence for each rule that denies, in alphabetical order; empty if it is allowed.
        policy: digest of the policy that decided, see `policy_digest`; `NO_POLICY` if none could be asked.
        input: digest of what was asked, `PolicyInput.digest`.
    """

    allowed: bool
    reasons: tuple[str, ...]
    policy: Digest
    input: Digest

    def __post_init__(self) -> None:
        _require_boolean("decision.allowed", self.allowed)
        for reason in self.reasons:
            as_text("decision.reasons", reason)
        if self.allowed == bool(self.reasons):
            raise InvalidInput(
                "decision.reasons", self.reasons, "give reasons for a denial, and only for one"
            )
        as_digest("decision.policy", self.policy)
        as_digest("decision.input", self.input)
        if self.allowed and self.policy == NO_POLICY:
            raise InvalidInput(
                "decision.policy", self.policy, "name the policy that allows it, none does not"
            )

    def to_json(self) -> dict[str, Any]:
        return {
            "allowed": self.allowed,
            "reasons": list(self.reasons),
            "policy": self.policy,
            "input": self.input,
        }

    @classmethod
    def from_json(cls, value: object) -> Decision:
        """Read what `to_json` writes.

        Raises:
            InvalidInput: naming the field that is missing, unknown or wrong.
        """
        fields = Fields.of("decision", value, tuple(cls.__slots__))
        return cls(
            allowed=fields.values["allowed"],
            reasons=tuple(fields.items("reasons")),
            policy=fields.values["policy"],
            input=fields.values["input"],
        )


@dataclass(frozen=True, slots=True)
class PolicyActor:
    """Who wants the action, and the roles that the configuration gives to that name."""

    name: str
    roles: tuple[str, ...]

    def __post_init__(self) -> None:
        as_text("input.actor.name", self.name)
        object.__setattr__(self, "roles", _names("input.actor.roles", self.roles))


@dataclass(frozen=True, slots=True)
class PolicyGate:
    """How a gate judged the candidate."""

    gate: str
    outcome: Outcome

    def __post_init__(self) -> None:
        as_text("input.candidate.gates.gate", self.gate)
        if self.outcome not in OUTCOMES:
            raise InvalidInput(
                "input.candidate.gates.outcome", self.outcome, f"use one of {', '.join(OUTCOMES)}"
            )

    @classmethod
    def of(cls, result: GateResult) -> PolicyGate:
        """What the policy sees of a gate's result."""
        return cls(result.gate, result.outcome)


@dataclass(frozen=True, slots=True)
class PolicyCandidate:
    """The version that the action is about.

    Attributes:
        as_of: None for a model trained elsewhere.
        evidence: digest of what its gates judged and approvers were shown; None if there is none.
        barred: whether a rollback displaced it, so that it may not promote itself again.
    """

    version: int
    as_of: dt.date | None
    evidence: Digest | None
    gates: tuple[PolicyGate, ...]
    barred: bool

    def __post_init__(self) -> None:
        _require_version("input.candidate.version", self.version)
        _require_date("input.candidate.as_of", self.as_of)
        if self.evidence is not None:
            as_digest("input.candidate.evidence", self.evidence)
        _require_boolean("input.candidate.barred", self.barred)


@dataclass(frozen=True, slots=True)
class PolicyIncumbent:
    """The version in use now."""

    version: int
    as_of: dt.date | None

    def __post_init__(self) -> None:
        _require_version("input.incumbent.version", self.version)
        _require_date("input.incumbent.as_of", self.as_of)


@dataclass(frozen=True, slots=True)
class PolicyApproval:
    """Somebody's approval of the action, in a role, on evidence with this digest."""

    approver: str
    role: str
    evidence: Digest

    def __post_init__(self) -> None:
        as_text("input.approvals.approver", self.approver)
        as_text("input.approvals.role", self.role)
        as_digest("input.approvals.evidence", self.evidence)


@dataclass(frozen=True, slots=True)
class PolicyInput:
    """Everything that a decision rests on: the same input and the same policy give the same decision.

    Attributes:
        name: of the model; '*' where promotions of all are halted or resumed.
        risk_tier, owner: the candidate's, or the newest version's where there is none; 1 and '*' for '*'.
        automatic: whether a run asks and not a person; `actor` is then whoever triggered it.
        authors: who made the candidate: who committed its code, who triggered its training.
        halted: whether promotions of this name, or of all, are frozen.
        candidate: None for actions that are about no version.
        incumbent: None while there is no champion.
        latest_champion_as_of: the latest as-of date that any champion of this name ever had.
        approvals: all that were given for the action and the candidate; the policy says which count.
    """

    action: PolicyAction
    name: str
    risk_tier: RiskTier
    owner: str
    automatic: bool
    actor: PolicyActor
    authors: tuple[str, ...]
    halted: bool
    candidate: PolicyCandidate | None
    incumbent: PolicyIncumbent | None
    latest_champion_as_of: dt.date | None
    approvals: tuple[PolicyApproval, ...]

    def __post_init__(self) -> None:
        if self.action not in POLICY_ACTIONS:
            raise InvalidInput("input.action", self.action, f"use one of {', '.join(POLICY_ACTIONS)}")
        if self.name != "*" or self.action not in ABOUT_EVERY_MODEL:
            as_model_name("input.name", self.name)
        object.__setattr__(self, "risk_tier", as_risk_tier("input.risk_tier", self.risk_tier))
        as_text("input.owner", self.owner)
        _require_boolean("input.automatic", self.automatic)
        object.__setattr__(self, "authors", _names("input.authors", self.authors))
        _require_boolean("input.halted", self.halted)
        _require_date("input.latest_champion_as_of", self.latest_champion_as_of)
        # Half a character fits into a text and into no JSON: that is said here, not when somebody asks.
        digest_of(self.to_json())

    @property
    def digest(self) -> Digest:
        """SHA-256 of the canonical bytes of `to_json`."""
        return digest_of(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The document that the policy sees as `input`: dates as YYYY-MM-DD, all else under its own name."""
        return cast(dict[str, Any], _plain(asdict(self)))


def policy_digest(files: Mapping[str, Digest]) -> Digest:
    """Digest of a policy: SHA-256 of the canonical JSON of its files' names and SHA-256 digests."""
    return digest_of(dict(files))


def _names(field: str, values: Iterable[str]) -> tuple[str, ...]:
    """Names in one order, each once, so that sets of the same names have the same digest."""
    return tuple(sorted({as_text(field, value) for value in values}))


def _require_version(field: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidInput(field, value, "give the number of a version, 1 or more")


def _require_date(field: str, value: object) -> None:
    if value is not None and (not isinstance(value, dt.date) or isinstance(value, dt.datetime)):
        raise InvalidInput(field, value, "give a calendar date, or None if there is none")


def _require_boolean(field: str, value: object) -> None:
    if not isinstance(value, bool):
        raise InvalidInput(field, value, "give true or false")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dt.date):
        return value.isoformat()
    return int(value) if isinstance(value, RiskTier) else value
