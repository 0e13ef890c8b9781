"""What an engine's answer means: every answer that is not exactly an allowance is a denial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.registry.canonical import Digest, Json, as_digest, digest_of
from domain.registry.errors import InvalidInput
from domain.registry.policy import NO_POLICY, Decision, PolicyAction, PolicyInput, policy_digest

_LONGEST = 500


def denial(asked: Json, *reasons: str, policy: Digest = NO_POLICY) -> Decision:
    """A denial for reasons of any form; each becomes one line of text."""
    sentences = sorted({_sentence(reason) for reason in reasons})
    return Decision(False, tuple(sentences), policy, digest_of(asked))


def mismatch(action: PolicyAction, question: PolicyInput) -> str | None:
    """Why nothing can be asked: the question is about another action than the one to be decided."""
    if question.action == action:
        return None
    return f"action is '{action}', but input.action is '{question.action}': ask about one action"


def decision_of(answer: object, asked: Json, known: Digest | None = None) -> Decision:
    """Read the value of the rule `decision`: `{"allowed", "reasons", "files"}`.

    An answer that is undefined (None), has another form, or does not name the files that gave it is a denial
    that says so.

    Args:
        asked: the input.
        known: digest of the policy that was asked; None takes the answer's word for it.
    """
    policy = known or NO_POLICY
    if answer is None:
        undefined = "the rule data.veritas.lifecycle.decision is undefined: check the policy"
        return denial(asked, undefined, policy=policy)
    try:
        allowed, reasons, files = _parts(answer)
    except InvalidInput as error:
        return denial(asked, f"the policy answered in another form: {error}", policy=policy)
    if not files or known not in (None, policy_digest(files)):
        nameless = (
            "the policy does not name the files that it is made of: load it as veritas policy bundle does"
        )
        return denial(asked, *reasons, nameless, policy=policy)
    policy = policy_digest(files)
    if allowed and not reasons:
        return Decision(True, (), policy, digest_of(asked))
    if allowed:
        reasons = [*reasons, "the policy allows it and has reasons against it: mend the policy"]
    return denial(asked, *(reasons or ["the policy gives no reason"]), policy=policy)


def files_of(value: object) -> dict[str, Digest]:
    """Read names and SHA-256 digests of files. Raises InvalidInput."""
    if not isinstance(value, Mapping):
        raise InvalidInput("decision.files", value, "give an object of file names and SHA-256 digests")
    return {str(name): as_digest(f"decision.files.{name}", sha256) for name, sha256 in value.items()}


def _parts(answer: object) -> tuple[bool, list[str], dict[str, Digest]]:
    if not isinstance(answer, Mapping) or set(answer) != {"allowed", "reasons", "files"}:
        raise InvalidInput("decision", answer, "give allowed, reasons and files")
    allowed: Any = answer["allowed"]
    reasons: Any = answer["reasons"]
    if not isinstance(allowed, bool):
        raise InvalidInput("decision.allowed", allowed, "give true or false")
    if not isinstance(reasons, list) or not all(isinstance(reason, str) for reason in reasons):
        raise InvalidInput("decision.reasons", reasons, "give a list of texts")
    return allowed, reasons, files_of(answer["files"])


def _sentence(reason: str) -> str:
    """One line without control characters, as long as an event can hold well."""
    printable = "".join(c if c.isprintable() else " " for c in reason)
    line = " ".join(printable.split())[:_LONGEST].rstrip()
    return line or "the policy gives an empty reason"
