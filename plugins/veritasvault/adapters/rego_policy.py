"""Asks the policy in this process, without a server."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from domain.registry.canonical import Digest, Json
from domain.registry.errors import DomainException
from domain.registry.policy import Decision, PolicyAction, PolicyInput
from veritasvault.adapters.policy_answer import decision_of, denial, mismatch
from veritasvault.adapters.policy_files import DECISION, PolicyFiles
from veritasvault.adapters.rego_engine import RegoEngine


class RegoPolicy:
    """Decides by the `*.rego` files of a directory, which are read and compiled at the first question.

    Changed files hold for processes that start afterwards. A running one goes on by those that it read, and
    its decisions name them.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def decide(self, action: PolicyAction, question: PolicyInput) -> Decision:
        document = question.to_json()
        if reason := mismatch(action, question):
            return denial(document, reason)
        return self.ask(document)

    def ask(self, document: Json) -> Decision:
        """The decision on an input of any form; raises nothing, as `decide`."""
        try:
            policy = self.source.digest
        except DomainException as error:
            return denial(document, str(error))
        try:
            answer = self._engine.evaluate(DECISION, document)
        except DomainException as error:
            return denial(document, str(error), policy=policy)
        return decision_of(answer, document, policy)

    def files(self) -> dict[str, Digest]:
        """Name and SHA-256 of each file that decides.

        Raises:
            InvalidInput: the directory cannot be read, or holds no rule.
        """
        return self.source.digests

    @cached_property
    def source(self) -> PolicyFiles:
        """The files, as they were at the first question. Raises InvalidInput."""
        return PolicyFiles.read(self._directory)

    @cached_property
    def _engine(self) -> RegoEngine:
        return RegoEngine(self.source.rules, self.source.data, [DECISION])
