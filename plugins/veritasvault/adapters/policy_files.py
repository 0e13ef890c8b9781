"""The files of a policy: what decides, what is expected of it, and the digests that decisions name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.registry.canonical import Digest, digest
from domain.registry.errors import InvalidInput
from domain.registry.policy import policy_digest

DECISION = "veritas/lifecycle/decision"
"""The rule that answers, as a path below `data`."""
FILES = "veritas/lifecycle/files"
"""The rule that says which files decide."""
_CASES = "_cases.rego"
_TESTS = "_test.rego"
_LARGEST = 1 << 20


@dataclass(frozen=True, slots=True)
class PolicyFiles:
    """Rego sources by file name: the rules that decide, and the cases that say what they are expected to.

    The digest is of the rules alone: whoever adds a case has not changed the policy.
    """

    rules: Mapping[str, str]
    cases: Mapping[str, str]

    @classmethod
    def read(cls, directory: Path) -> PolicyFiles:
        """Read every `*.rego` of a directory; `*_cases.rego` are cases, `*_test.rego` are for `opa test`.

        Raises:
            InvalidInput: there is no such directory, no rule in it, or a file that cannot be read.
        """
        found = {path.name: _text(path) for path in sorted(_listed(directory))}
        rules = {name: text for name, text in found.items() if not name.endswith((_CASES, _TESTS))}
        if not rules:
            raise InvalidInput(
                "policy", str(directory), "name a directory with the *.rego files of the policy"
            )
        return cls(rules, {name: text for name, text in found.items() if name.endswith(_CASES)})

    @property
    def digests(self) -> dict[str, Digest]:
        """SHA-256 of each file that decides, by its name."""
        return {name: digest(text.encode()) for name, text in self.rules.items()}

    @property
    def digest(self) -> Digest:
        """What decisions by these files name as their policy."""
        return policy_digest(self.digests)

    @property
    def data(self) -> dict[str, Any]:
        """The data document that is loaded with the rules, from which a decision takes what made it."""
        return {"veritas": {"policy": {"files": self.digests}}}


def _listed(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if path.suffix == ".rego"]
    except OSError as error:
        raise InvalidInput("policy", str(directory), f"it cannot be read ({error.strerror})") from error


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInput("policy", str(path), f"it cannot be read ({error.strerror})") from error
    if len(content) > _LARGEST:
        raise InvalidInput("policy", str(path), f"it has {len(content)} bytes, keep rules below 1 MiB")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("policy", str(path), "write it in UTF-8") from error
