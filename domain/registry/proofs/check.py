"""Checking a proof bundle with nothing but the bundle and the fingerprints that somebody trusts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from domain.registry.canonical import Digest, digest
from domain.registry.errors import DomainException, IntegrityError, NotVerified
from domain.registry.events import (
    KeyIntroducedEvent,
    KeyRevokedEvent,
    ModelRegisteredEvent,
    event_from_bytes,
)
from domain.registry.events.lifecycle import ModelEvaluatedEvent
from domain.registry.ledger.checkpoint import Checkpoint, Verify, open_checkpoint, parse_vkey
from domain.registry.ledger.history import concerns, evaluations
from domain.registry.ledger.merkle import Frontier, leaf_hash, root_from_inclusion
from domain.registry.ledger.verification import Problem
from domain.registry.ledger.view import Recorded, project
from domain.registry.manifest import Manifest, as_model_id
from domain.registry.ports import PublicKey
from domain.registry.proofs.bundle import BundledEntry, ProofBundle
from domain.registry.signing.key_ring import KeyRing
from domain.registry.signing.model_signature import SIGNATURE_NAME, SIGNING_KEY, ModelSignature, verify_model
from domain.registry.signing.public_keys import fingerprint


@dataclass(frozen=True, slots=True)
class ProofReport:
    """What a bundle proves.

    Attributes:
        problems: what does not hold; if there are any, nothing else of the report may be relied on.
        trusted: whether a fingerprint that the reader trusts is that of the key that signed the checkpoint.
        complete: whether no later event of the version can be missing, up to the checkpoint.
        signer: fingerprint of the key that signed the checkpoint; None if the bundle holds none.
        artifact_key: fingerprint of the key that signed the artifact; None if nobody signed it.
        checkpoint, event, manifest: None if they could not be read.
        later: what happened to the version after its registration, as far as the bundle says.
    """

    problems: tuple[Problem, ...]
    trusted: bool
    complete: bool
    signer: Digest | None
    artifact_key: Digest | None
    checkpoint: Checkpoint | None
    event: ModelRegisteredEvent | None
    manifest: Manifest | None
    later: tuple[Recorded, ...]

    @property
    def consistent(self) -> bool:
        """Whether the bundle holds together, whoever signed it."""
        return not self.problems

    @property
    def verified(self) -> bool:
        return self.consistent and self.trusted


def verify_proof(bundle: ProofBundle, verify: Verify, trusted: Collection[Digest] = ()) -> ProofReport:
    """Check everything in a bundle and name each object that does not hold; raises nothing.

    The checkpoint is vouched for by its key, which is trusted by its fingerprint; entries are vouched for by
    the checkpoint, manifest and attachments by the entry that registers the version, and the key that signed
    the artifact by the entry that introduced it.
    """
    return _ProofCheck(bundle, verify).run(trusted)


class _ProofCheck:
    """One pass over a bundle, gathering problems."""

    def __init__(self, bundle: ProofBundle, verify: Verify) -> None:
        self._bundle = bundle
        self._verify = verify
        self._problems: list[Problem] = []

    def run(self, trusted: Collection[Digest]) -> ProofReport:
        bundle = self._bundle
        key = self._key()
        head = None if key is None else self._checkpoint(key)
        if head is not None:
            self._check_inclusion(head)
        events = list(self._events())
        ring = self._ring(events)
        if key is not None and head is not None and ring is not None:
            self._check_not_revoked(fingerprint(key), head, ring)
        event = self._registration(events)
        manifest = None if event is None else self._manifest(event)
        artifact_key = None
        if event is not None and manifest is not None and ring is not None:
            artifact_key = self._signature(event, manifest, ring)
        signer = None if key is None else fingerprint(key)
        row = None if event is None else project(event, bundle.index)
        later = [found for found in events if row is not None and found.index > bundle.index]
        if event is not None and row is not None:
            self._check_attachments(event, evaluations(later, row))
        return ProofReport(
            problems=tuple(self._problems),
            trusted=signer in trusted,
            complete=bundle.scope == "full",
            signer=signer,
            artifact_key=artifact_key,
            checkpoint=head,
            event=event,
            manifest=manifest,
            later=tuple(found for found in later if row is not None and concerns(found.event, row)),
        )

    def _report(self, what: str, reason: object) -> None:
        self._problems.append(Problem(what, str(reason)))

    def _key(self) -> PublicKey | None:
        try:
            return parse_vkey(self._bundle.key)
        except DomainException as error:
            self._report("key", error)
            return None

    def _checkpoint(self, key: PublicKey) -> Checkpoint | None:
        try:
            return open_checkpoint(self._bundle.checkpoint, [key], self._verify)
        except NotVerified as error:
            self._report("checkpoint", error)
            return None

    def _check_inclusion(self, head: Checkpoint) -> None:
        """Whether all entries are under the root of the checkpoint."""
        if self._bundle.scope == "full":
            self._check_all(head)
            return
        for entry in self._bundle.entries:
            try:
                root = root_from_inclusion(entry.index, head.size, leaf_hash(entry.data), entry.proof)
            except NotVerified as error:
                self._report(_name(entry), error)
                continue
            if root != head.root:
                reason = f"it is not under the root of the checkpoint of size {head.size}"
                self._report(_name(entry), f"{reason}: entry, place or proof was changed")

    def _check_all(self, head: Checkpoint) -> None:
        tree = Frontier()
        for entry in self._bundle.entries:
            if entry.index != tree.size:
                self._report(f"ledger entry {tree.size}", "missing, a full bundle carries every entry")
                return
            if entry.proof:
                self._report(_name(entry), "it has an inclusion proof, which a full bundle does not need")
            tree.append(leaf_hash(entry.data))
        if tree.size != head.size:
            self._report("entries", f"there are {tree.size}, the checkpoint was signed at {head.size}")
        elif tree.root() != head.root:
            self._report("entries", f"they do not give the root of the checkpoint of size {head.size}")

    def _events(self) -> Iterator[Recorded]:
        for entry in self._bundle.entries:
            try:
                yield Recorded(entry.index, event_from_bytes(entry.data, _name(entry)))
            except DomainException as error:
                self._report(_name(entry), str(error).removeprefix(f"{_name(entry)} "))

    def _ring(self, events: list[Recorded]) -> KeyRing | None:
        """The keys that the ledger knows; its events about keys are numbered, so that a gap shows."""
        about = [found for found in events if isinstance(found.event, KeyIntroducedEvent | KeyRevokedEvent)]
        for expected, found in enumerate(about):
            if getattr(found.event, "sequence", None) != expected:
                self._report(f"ledger entry {found.index}", f"it is not event {expected} about keys")
                return None
        try:
            return KeyRing.from_events(about)
        except IntegrityError as error:
            self._report("events about keys", error)
            return None

    def _check_not_revoked(self, signer: Digest, head: Checkpoint, ring: KeyRing) -> None:
        known = ring.keys.get(signer)
        if known is not None and known.revoked is not None and known.revoked < head.size:
            self._report("checkpoint", f"its key {signer} is revoked since ledger entry {known.revoked}")

    def _registration(self, events: list[Recorded]) -> ModelRegisteredEvent | None:
        bundle = self._bundle
        event = next((found.event for found in events if found.index == bundle.index), None)
        if isinstance(event, ModelRegisteredEvent):
            if (event.name, event.version) == (bundle.name, bundle.version):
                return event
            self._report("subject", f"ledger entry {bundle.index} registers {event.name}@{event.version}")
        else:
            self._report("subject", f"no entry {bundle.index} registers {bundle.reference}")
        return None

    def _manifest(self, event: ModelRegisteredEvent) -> Manifest | None:
        if as_model_id("manifest", digest(self._bundle.manifest)) != event.model_id:
            self._report("manifest", f"its SHA-256 is not the model id {event.model_id}")
            return None
        try:
            manifest = Manifest.from_bytes(self._bundle.manifest)
        except IntegrityError as error:
            self._report("manifest", error)
            return None
        registered = (event.name, event.recipe, event.artifact_digest)
        if registered != (manifest.metadata.name, manifest.recipe, manifest.artifact.digest):
            self._report("manifest", "name, recipe or artifact digest differ from the registration's")
        return manifest

    def _check_attachments(
        self, event: ModelRegisteredEvent, evaluated: Sequence[ModelEvaluatedEvent]
    ) -> None:
        unnamed = dict(self._bundle.attachments)
        for attachment in event.attachments:
            content = self._bundle.attachments.get(attachment.sha256)
            unnamed.pop(attachment.sha256, None)
            if content is None:
                self._report(f"attachment {attachment.name}", f"missing, its SHA-256 is {attachment.sha256}")
            elif (len(content), digest(content)) != (attachment.size, attachment.sha256):
                self._report(f"attachment {attachment.name}", "its bytes are not those that the entry names")
        for sha256 in {later.evidence for later in evaluated}:
            content = self._bundle.attachments.get(sha256)
            unnamed.pop(sha256, None)
            if content is None:
                self._report(f"evidence {sha256}", "missing, the version was judged on it later")
            elif digest(content) != sha256:
                self._report(f"evidence {sha256}", "its bytes are not those that the entry names")
        for sha256 in unnamed:
            self._report(f"attachment {sha256}", "no entry about the version names it")

    def _signature(self, event: ModelRegisteredEvent, manifest: Manifest, ring: KeyRing) -> Digest | None:
        """The fingerprint of the key that signed the artifact, once the signature holds."""
        named = event.provenance.get(SIGNING_KEY)
        kept = next((each for each in event.attachments if each.name == SIGNATURE_NAME), None)
        content = None if kept is None else self._bundle.attachments.get(kept.sha256)
        if content is None:
            if named is not None and kept is None:
                self._report("signature", f"there is none by the key {named} that the entry names")
            return None
        try:
            signature = ModelSignature.from_bytes(content)
            if signature.key != named:
                raise NotVerified(f"it names the key {signature.key}, the ledger entry names {named}")
            key = ring.require("artifact", signature.key, self._bundle.index)
            verify_model(signature, manifest, key, self._verify)
        except NotVerified as error:
            self._report("signature", error)
            return None
        return signature.key


def _name(entry: BundledEntry) -> str:
    return f"ledger entry {entry.index}"
