"""What a policy answers, so that an event can say which policy decided on what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain.registry.canonical import Digest, as_digest
from domain.registry.errors import InvalidInput
from domain.registry.records import Fields, as_text


@dataclass(frozen=True, slots=True)
class Decision:
    """A policy's answer.

    Attributes:
        reasons: why not, one sentence each; empty if it is allowed.
        policy: digest of the policy's files.
        input: digest of the canonical bytes of what it was asked.
    """

    allowed: bool
    reasons: tuple[str, ...]
    policy: Digest
    input: Digest

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
        fields = Fields.of("decision", value, ("allowed", "reasons", "policy", "input"))
        allowed = fields.values["allowed"]
        if not isinstance(allowed, bool):
            raise InvalidInput("decision.allowed", allowed, "give true or false")
        return cls(
            allowed=allowed,
            reasons=tuple(as_text("decision.reasons", reason) for reason in fields.items("reasons")),
            policy=as_digest("decision.policy", fields.values["policy"]),
            input=as_digest("decision.input", fields.values["input"]),
        )
