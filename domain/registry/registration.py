"""Registration: one training result gives one version, whatever fails, repeats or races."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from domain.registry.artifact import StagedArtifact
from domain.registry.canonical import Digest, digest, encode
from domain.registry.collection.collector import Collector
from domain.registry.collection.mark import mark_if_new
from domain.registry.collection.state import condemned_since, require_still_stored
from domain.registry.errors import (
    CondemnedMeanwhile,
    DomainException,
    GateFailed,
    IntegrityError,
    InvalidInput,
)
from domain.registry.events import (
    DomainEvent,
    KeyRole,
    ModelRegisteredEvent,
    NotReproducedEvent,
    Provenance,
    RegistrationRefusedEvent,
    as_provenance,
    registered_key,
    retrained_key,
)
from domain.registry.evidence import EVIDENCE, Attachment, AttachmentRef, Evidence, GateResult
from domain.registry.gates import Gate, judge_all, unevaluated
from domain.registry.ledger.ledger import Ledger, LedgerView, Recorded
from domain.registry.ledger.receipt import Receipt
from domain.registry.lineage import Lineage
from domain.registry.manifest import Manifest, ModelId
from domain.registry.metadata import ModelMetadata
from domain.registry.ports import Clock, CollectablePort, PublicKey
from domain.registry.records import as_text
from domain.registry.security import SecurityService
from domain.registry.signing.key_ring import KeyRing
from domain.registry.signing.model_signature import BUNDLE_MEDIA_TYPE, SIGNATURE_NAME, SIGNING_KEY
from domain.registry.signing.public_keys import fingerprint
from domain.registry.staging import stage

Outcome = Literal["registered", "recognised", "not_reproduced"]

_STORINGS = 5
"""How often a model is stored in one call when gc condemns it each time before it is registered."""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A version, and the proof that it is in the ledger.

    Attributes:
        outcome: 'registered' by this call, 'recognised' as one there was already, or 'not_reproduced' when
            the recipe gave another artifact than this version's, which stays the recipe's version.
    """

    outcome: Outcome
    event: ModelRegisteredEvent
    index: int
    receipt: Receipt

    @property
    def name(self) -> str:
        return self.event.name

    @property
    def version(self) -> int:
        return self.event.version

    @property
    def model_id(self) -> ModelId:
        return self.event.model_id


@dataclass(frozen=True, slots=True)
class Submission:
    """A candidate as `decide_registration` sees it: all that its event will say.

    Attributes:
        signers: the keys that sign for it; those that the ledger does not know are introduced with it.
        stored_since: the number of the ledger's first event about a collection that came after storing began;
            None if nothing was stored.
    """

    manifest: Manifest
    gates: tuple[GateResult, ...]
    attachments: tuple[AttachmentRef, ...]
    provenance: Provenance
    retrain_reason: str | None
    at: dt.datetime
    signers: tuple[tuple[KeyRole, PublicKey], ...] = ()
    stored_since: int | None = None
    keys: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        name, recipe, model_id = self.name, self.manifest.recipe, self.manifest.model_id
        keys = [registered_key(name, recipe, model_id)]
        if recipe is not None:
            keys.append(retrained_key(name, recipe, model_id))
        object.__setattr__(self, "keys", tuple(keys))

    @property
    def name(self) -> str:
        return self.manifest.metadata.name

    @property
    def artifact_digest(self) -> Digest:
        return self.manifest.artifact.digest


@dataclass(frozen=True, slots=True)
class Registered:
    """A registration in the ledger, and its place there."""

    index: int
    event: ModelRegisteredEvent


def recognise(view: LedgerView, submission: Submission) -> Registered | None:
    """The version that answers the submission, if the ledger has it; its artifact may be another."""
    first, *retrained = (_registered(view, key) for key in submission.keys)
    if first is None or first.event.artifact_digest == submission.artifact_digest:
        return first
    again = next((other for other in retrained if other is not None), None)
    return again or (first if submission.retrain_reason is None else None)


def decide_registration(view: LedgerView, submission: Submission) -> Sequence[DomainEvent]:
    """Pure: the events that register the submission, given what the ledger holds.

    Raises:
        CondemnedMeanwhile: gc condemned what was stored, so that it may be gone already.
    """
    known = recognise(view, submission)
    if known is not None:
        same = known.event.artifact_digest == submission.artifact_digest
        return () if same else _not_reproduced(known.event, submission)
    if submission.stored_since is not None:
        require_still_stored(view, submission.stored_since, submission.manifest.model_id)
    lineage = submission.manifest.lineage
    differs = _registered(view, submission.keys[0]) is not None
    return (
        *_introductions(view, submission),
        ModelRegisteredEvent(
            name=submission.name,
            version=view.next_version(submission.name),
            model_id=submission.manifest.model_id,
            recipe=submission.manifest.recipe,
            as_of=None if lineage is None else lineage.as_of,
            artifact_digest=submission.artifact_digest,
            supersedes=_superseded(view, submission),
            retrain_reason=submission.retrain_reason if differs else None,
            gates=submission.gates,
            attachments=submission.attachments,
            provenance=_signed_provenance(submission),
            at=submission.at,
        ),
    )


def decide_refusal(view: LedgerView, submission: Submission, evidence: Digest) -> Sequence[DomainEvent]:
    """Pure: the event that keeps a refusal with its reasons; the ledger has it once for the same evidence."""
    return (
        *_introductions(view, submission),
        RegistrationRefusedEvent(
            name=submission.name,
            model_id=submission.manifest.model_id,
            recipe=submission.manifest.recipe,
            evidence=evidence,
            gates=submission.gates,
            provenance=submission.provenance,
            at=submission.at,
        ),
    )


class ModelRegistration:
    """The one service that registers models; every pipeline task and every command comes through here.

    The commit point is the ledger's append: a crash before it leaves an invisible object that a retry
    adopts, a crash after it is found by the retry, which also signs what was left unsigned.
    """

    def __init__(
        self,
        model_repository: CollectablePort,
        security_service: SecurityService,
        ledger: Ledger,
        *,
        staging: Path,
        clock: Clock,
        collector: Collector | None = None,
    ) -> None:
        """
        Args:
            staging: a directory for private copies, best on the repository's own file system.
            collector: finishes what a killed gc left of a model that comes again.
        """
        self._repository = model_repository
        self._security = security_service
        self._ledger = ledger
        self._staging = staging
        self._clock = clock
        self._collector = collector or Collector(model_repository, ledger, clock=clock)
        self._marked = False

    def register_model(
        self,
        model_metadata: ModelMetadata,
        model_artifact: Path,
        *,
        lineage: Lineage | None = None,
        evidence: Evidence | None = None,
        gates: Sequence[Gate] = (),
        attachments: Sequence[Attachment] = (),
        provenance: Provenance | None = None,
        retrain_reason: str | None = None,
    ) -> RegisteredModel:
        """Register a file or directory, exactly once however often it is called.

        Args:
            lineage: None for a model trained elsewhere, which is recognised by its model id.
            evidence: what the gates judge; None for a model trained elsewhere, whose gates stay unevaluated.
            retrain_reason: registers the artifact although its recipe gave another one before.

        Raises:
            UnsafeArtifact: a file is of no allowed format; nothing is stored.
            SigningKeyRevoked: the ledger revoked the key that would sign; nothing is registered.
            GateFailed: the refusal and its reasons are in the ledger; nothing is stored.
            InvalidInput: the metadata, lineage or provenance is not usable.
            IntegrityError: something else is stored under the model's keys.
            Unavailable: storage or ledger cannot be used now, or gc condemned the model again and again; the
                same call may succeed later.
        """
        if retrain_reason is not None:
            as_text("retrain_reason", retrain_reason)
        if lineage is not None and evidence is None:
            raise InvalidInput("evidence", None, "a model with a lineage is judged by its evidence, give it")
        with stage(model_artifact, self._staging) as staged:
            self._security.require_safe(staged)
            kept = _with_evidence(attachments, evidence)
            submission = Submission(
                manifest=Manifest(model_metadata, lineage, staged.artifact),
                gates=unevaluated(gates) if evidence is None else judge_all(gates, evidence),
                attachments=tuple(_reference(attachment) for attachment in kept),
                provenance=as_provenance("provenance", provenance or {}),
                retrain_reason=retrain_reason,
                at=self._clock.now(),
                signers=(("checkpoint", self._ledger.signer.public_keys()[0]),),
            )
            if recognise(self._ledger.view(), submission) is None:
                self._require_gates(submission, evidence)
                submission, signature = self._signed(submission, as_file=model_artifact.is_file())
                committed = self._store_and_commit(submission, staged, (*kept, signature))
                return self._answer(submission, committed)
        return self._answer(submission, self._commit(submission))

    def _require_gates(self, submission: Submission, evidence: Evidence | None) -> None:
        reasons = tuple(
            f"{gate.gate}: {gate.reason}" for gate in submission.gates if gate.outcome == "failed"
        )
        if evidence is None or not reasons:
            return
        self._ledger.commit(lambda view: decide_refusal(view, submission, evidence.digest))
        self._ledger.checkpoint()
        raise GateFailed(submission.name, reasons)

    def _signed(self, submission: Submission, *, as_file: bool) -> tuple[Submission, Attachment]:
        """The submission with its signature among the attachments, and the signature."""
        key = self._security.artifact_key()
        signature = self._security.sign(submission.manifest, as_file=as_file)
        attachment = Attachment(SIGNATURE_NAME, BUNDLE_MEDIA_TYPE, signature.to_bytes())
        signed = replace(
            submission,
            attachments=(*submission.attachments, _reference(attachment)),
            signers=(("artifact", key), *submission.signers),
        )
        return signed, attachment

    def _store_and_commit(
        self, submission: Submission, staged: StagedArtifact, attachments: Sequence[Attachment]
    ) -> tuple[Recorded, ...]:
        """Store and register, from storing on again whenever gc condemned the model in between.

        Whoever comes first in the ledger decides: a registered model is not condemned, a condemned one not
        registered. What goes wrong while the model vanishes under our hands has the same remedy.
        """
        if not self._marked:
            mark_if_new(self._repository, self._ledger)
            self._marked = True
        model_id = submission.manifest.model_id
        for _ in range(_STORINGS):
            settled = self._collector.settled(model_id, submission.provenance)
            try:
                self._store(submission.manifest, staged, attachments)
                return self._commit(replace(submission, stored_since=settled))
            except DomainException:
                if condemned_since(self._ledger.view(), settled, model_id) is None:
                    raise
        raise CondemnedMeanwhile(
            f"gc condemned model {model_id} {_STORINGS} times before it was registered: run it again, "
            "and gc with a longer --grace"
        )

    def _commit(self, submission: Submission) -> tuple[Recorded, ...]:
        return self._ledger.commit(lambda view: decide_registration(view, submission))

    def _store(self, manifest: Manifest, staged: StagedArtifact, attachments: Sequence[Attachment]) -> None:
        self._repository.store_model(manifest.model_id, staged, manifest.to_bytes())
        for attachment in attachments:
            self._repository.attach(manifest.model_id, attachment.content)

    def _answer(self, submission: Submission, committed: Sequence[Recorded]) -> RegisteredModel:
        known = recognise(self._ledger.view(), submission)
        if known is None:
            raise IntegrityError(f"the ledger has lost the registration of {submission.name} it had accepted")
        same = known.event.artifact_digest == submission.artifact_digest
        fresh = any(done.appended and done.index == known.index for done in committed)
        outcome: Outcome = ("registered" if fresh else "recognised") if same else "not_reproduced"
        return RegisteredModel(outcome, known.event, known.index, self._ledger.receipt(known.index))


def _introductions(view: LedgerView, submission: Submission) -> Sequence[DomainEvent]:
    """The events before a submission's own, so that keys are in the ledger before what they sign.

    Raises:
        SigningKeyRevoked: the ledger revoked one of them.
    """
    ring = KeyRing.of(view)
    for role, key in submission.signers:
        ring.require_usable(role, key)
    return ring.introductions(submission.signers, submission.provenance, submission.at)


def _signed_provenance(submission: Submission) -> Provenance:
    """Who and what produced the version, and which key signed its artifact."""
    signed = [(SIGNING_KEY, fingerprint(key)) for role, key in submission.signers if role == "artifact"]
    return {**submission.provenance, **dict(signed)}


def _registered(view: LedgerView, key: str) -> Registered | None:
    found = view.recorded(key)
    if found is None:
        return None
    if not isinstance(found.event, ModelRegisteredEvent):
        raise IntegrityError(
            f"ledger entry {found.index} is a {found.event.KIND}, its key says a registration"
        )
    return Registered(found.index, found.event)


def _superseded(view: LedgerView, submission: Submission) -> int | None:
    """The newest version of the same name and as-of date, which this one corrects."""
    lineage = submission.manifest.lineage
    if lineage is None:
        return None
    return next((row.version for row in view.versions(submission.name, as_of=lineage.as_of, limit=1)), None)


def _not_reproduced(known: ModelRegisteredEvent, submission: Submission) -> Sequence[NotReproducedEvent]:
    if known.recipe is None:
        return ()
    return (
        NotReproducedEvent(
            name=known.name,
            version=known.version,
            recipe=known.recipe,
            first_artifact=known.artifact_digest,
            other_artifact=submission.artifact_digest,
            provenance=submission.provenance,
            at=submission.at,
        ),
    )


def _with_evidence(attachments: Sequence[Attachment], evidence: Evidence | None) -> tuple[Attachment, ...]:
    if len({attachment.name for attachment in attachments}) != len(attachments):
        raise InvalidInput("attachments", [a.name for a in attachments], "give each attachment its own name")
    if SIGNATURE_NAME in {attachment.name for attachment in attachments}:
        raise InvalidInput("attachments", SIGNATURE_NAME, "choose another name, this one is the signature's")
    if evidence is None:
        return tuple(attachments)
    return (*attachments, Attachment(EVIDENCE, "application/json", encode(evidence.to_json())))


def _reference(attachment: Attachment) -> AttachmentRef:
    return AttachmentRef(
        attachment.name, attachment.media_type, len(attachment.content), digest(attachment.content)
    )
