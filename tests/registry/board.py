"""A registry on the fakes whose versions are promoted, approved and rolled back."""

from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path

from domain.registry.artifact import Artifact, ArtifactFile
from domain.registry.canonical import digest
from domain.registry.catalog import ModelCatalog
from domain.registry.events import ModelRegisteredEvent
from domain.registry.events.lifecycle import Action
from domain.registry.evidence import EVIDENCE, AttachmentRef, GateResult
from domain.registry.ledger.ledger import Ledger
from domain.registry.lifecycle.rules import Proposal
from domain.registry.lifecycle.service import ModelLifecycle, Outcome
from domain.registry.manifest import Manifest
from domain.registry.metadata import RiskTier
from domain.registry.policy import Decision, PolicyAction, PolicyInput
from tests.exactly_once.candidates import lineage, metadata
from tests.fakes.ledger import FakeLedger
from tests.fakes.registry import FakeModelRegistry
from veritasvault.adapters.local_signer import LocalSigner

NAME = "volatility"
NOON = dt.datetime(2022, 12, 29, 12, tzinfo=dt.UTC)
ROLES = {
    "olga": ("risk_officer",),
    "vera": ("model_validator",),
    "both": ("risk_officer", "model_validator"),
    "quant-research": ("risk_officer", "model_validator"),
    "carl": ("risk_officer",),
    "tim": ("risk_officer",),
}


class StoppedClock:
    """It is always noon."""

    def now(self) -> dt.datetime:
        return NOON


class Permissive:
    """A policy that allows everything, so that what the domain refuses is the domain's doing."""

    def __init__(self) -> None:
        self.asked: list[PolicyInput] = []
        self.reasons: tuple[str, ...] = ()

    def decide(self, action: PolicyAction, question: PolicyInput) -> Decision:
        self.asked.append(question)
        return Decision(not self.reasons, self.reasons, digest(b"a policy"), question.digest)


class Board:
    """Registers versions and decides on them."""

    def __init__(self, directory: Path, tier: RiskTier = RiskTier.LOW) -> None:
        self.tier = tier
        self.port = FakeLedger()
        self.repository = FakeModelRegistry()
        self.ledger = Ledger(self.port, LocalSigner(directory / "keys"), sleep=lambda _: None)
        self.catalog = ModelCatalog(self.repository, self.ledger)
        self.policy = Permissive()
        self.lifecycle = ModelLifecycle(
            self.catalog, self.ledger, self.policy, roles=ROLES, clock=StoppedClock()
        )

    def register(self, day: int | None = 1, tier: RiskTier | None = None) -> int:
        """A version with the as-of date 2022-12-`day`, or a model from outside without one; its number."""
        version = self.ledger.view().next_version(NAME)
        about = dataclasses.replace(metadata(NAME), risk_tier=tier or self.tier)
        made = None if day is None else dataclasses.replace(lineage(version), as_of=dt.date(2022, 12, day))
        weights = f"weights {version}".encode()
        manifest = Manifest(
            about, made, Artifact((ArtifactFile("model.txt", len(weights), digest(weights)),))
        )
        self.repository.objects[f"models/{manifest.model_id}/metadata.json"] = manifest.to_bytes()
        evidence = AttachmentRef(EVIDENCE, "application/json", 10, digest(b"evidence"))
        event = ModelRegisteredEvent(
            name=NAME,
            version=version,
            model_id=manifest.model_id,
            recipe=manifest.recipe,
            as_of=None if made is None else made.as_of,
            artifact_digest=manifest.artifact.digest,
            supersedes=None,
            retrain_reason=None,
            gates=(GateResult("data validated", "passed" if made else "unevaluated", "as it is", {}),),
            attachments=(evidence,) if made else (),
            provenance={"author": "carl", "triggered_by": "tim"},
            at=NOON,
        )
        self.ledger.commit(lambda _: (event,))
        return version

    def propose(
        self, version: int, actor: str = "olga", action: Action = "promote", *, automatic: bool = False
    ) -> Proposal:
        return self.lifecycle.propose(action, NAME, version, "because", actor, automatic=automatic)

    def approve(self, version: int, *people: tuple[str, str], action: Action = "promote") -> None:
        for name, role in people:
            self.lifecycle.approve(NAME, self.propose(version, name, action), role)

    def promote(self, version: int, *people: tuple[str, str]) -> Outcome:
        """Approve by these people in these roles, and promote."""
        self.approve(version, *people)
        return self.lifecycle.carry_out(NAME, self.propose(version, automatic=not people))

    def roll_back(self, version: int, *people: tuple[str, str]) -> Outcome:
        self.approve(version, *people, action="rollback")
        return self.lifecycle.carry_out(NAME, self.propose(version, action="rollback"))

    @property
    def champion(self) -> int | None:
        return self.lifecycle.state(NAME).champion
