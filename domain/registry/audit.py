"""Verifying stored models against the ledger: every manifest, file and attachment, byte by byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from domain.registry.artifact import ArtifactFile
from domain.registry.catalog import ModelCatalog
from domain.registry.errors import IntegrityError, NotFound, NotVerified
from domain.registry.events import ModelRegisteredEvent
from domain.registry.events.lifecycle import ModelEvaluatedEvent
from domain.registry.evidence import AttachmentRef
from domain.registry.ledger.ledger import Ledger, LedgerView, project
from domain.registry.ledger.receipt import Proven, Receipt
from domain.registry.ledger.remembered_witness import RememberedWitness
from domain.registry.ledger.verification import LedgerReport, Problem, verify_ledger, verify_receipt_against
from domain.registry.ledger.witness import WitnessReport, losses, verify_witnessed
from domain.registry.manifest import Manifest, ModelId
from domain.registry.ports import ModelRegistryPort, StoredCheckpoint, VersionRow
from domain.registry.signing.key_ring import KeyRing
from domain.registry.signing.model_signature import SIGNATURE_NAME, SIGNING_KEY, ModelSignature, verify_model

Progress = Callable[[VersionRow], None]
Choose = Callable[[LedgerView], Callable[[VersionRow], bool]]
"""From what the ledger holds to whether a version's stored objects are read."""


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a verification found.

    Attributes:
        problems: empty when everything verifies.
        versions: how many versions were verified.
        entries: how many ledger entries were verified.
        pending: how many of them stand behind the last checkpoint: hashed, but no signature vouches for them.
        witnessed: how many checkpoints of witnesses were compared with the ledger.
        unlisted: stored models that no ledger entry lists; leftovers of crashed registrations.
        read: the models of which every byte was read.
        damaged: the models of which something stored is missing or differs.
        ledger_verified: whether ledger, keys and witnesses agree, whatever the stored models are.
    """

    problems: tuple[Problem, ...]
    versions: int
    entries: int
    pending: int
    unlisted: tuple[str, ...] = ()
    witnessed: int = 0
    read: tuple[ModelId, ...] = ()
    damaged: tuple[ModelId, ...] = ()
    ledger_verified: bool = True

    @property
    def verified(self) -> bool:
        return not self.problems


class Audit:
    """Recomputes what the registry claims."""

    def __init__(
        self,
        model_repository: ModelRegistryPort,
        ledger: Ledger,
        catalog: ModelCatalog,
        witnesses: Sequence[RememberedWitness] = (),
    ) -> None:
        self._repository = model_repository
        self._ledger = ledger
        self._catalog = catalog
        self._witnesses = witnesses

    def everything(self, progress: Progress | None = None) -> AuditReport:
        """Verify the whole ledger, also against its witnesses, and every version it lists.

        Raises:
            Unavailable: ledger, registry or a witness cannot be read now.
        """
        return self.partly(lambda _view: lambda _row: True, progress)

    def partly(self, choose: Choose, progress: Progress | None = None) -> AuditReport:
        """Verify the whole ledger, also against its witnesses, and the versions that are chosen.

        Of the other versions it is only looked whether they are stored at all.

        Raises:
            Unavailable: ledger, registry or a witness cannot be read now.
        """
        found = verify_ledger(self._ledger.port, self._ledger.signer)
        try:
            report = self._versions(found, choose, progress)
        except IntegrityError as error:
            # The ledger is too damaged to say what it lists.
            problems = found.problems or (Problem("ledger", str(error)),)
            report = AuditReport(problems, 0, found.entries, found.pending, ledger_verified=False)
        return self._with(report, self._against_witnesses())

    def version(self, reference: str) -> AuditReport:
        """Verify one version: its stored objects, and its proof in the ledger, also to witnesses.

        Raises:
            InvalidInput, NotFound: as `ModelCatalog.resolve`.
            Unavailable: ledger, registry or a witness cannot be read now.
        """
        row = self._catalog.resolve(reference)
        try:
            event = self._catalog.event(row)
            self._ledger.verify_entry(row.index)
            signed = self._ledger.port.last_checkpoint()
        except (IntegrityError, NotFound) as error:
            return AuditReport((Problem(entry_label(row.index), str(error)),), 1, 1, 0)
        pending = signed is None or signed.size <= row.index
        problems: list[Problem] = []
        ring = self._ring(self._ledger.view(), problems)
        problems.extend(self._model(event, row.index, ring))
        for later in self._ledger.view().lifecycle(row.name):
            if isinstance(later.event, ModelEvaluatedEvent) and later.event.version == row.version:
                problems.extend(self._evaluated(row, later.event))
        report = AuditReport(tuple(problems), 1, 1, int(pending))
        return self._with(report, self._proved_by_witnesses(row.index))

    def receipt(self, receipt: Receipt) -> tuple[Proven, AuditReport]:
        """Verify a receipt, that the ledger continues what it proves, and the stored objects of its version.

        Raises:
            NotVerified: the receipt does not hold, is another ledger's, or the ledger was changed since.
            IntegrityError: what the ledger stores cannot be read or is missing.
        """
        proven = verify_receipt_against(self._ledger.port, self._ledger.signer, receipt)
        if not isinstance(proven.event, ModelRegisteredEvent):
            raise NotVerified(f"the receipt's entry {proven.index} registers no version")
        problems: list[Problem] = []
        ring = self._ring(self._ledger.view(), problems)
        note = StoredCheckpoint(proven.checkpoint.size, receipt.checkpoint)
        problems.extend(self._revoked(note, ring))
        problems.extend(self._model(proven.event, proven.index, ring))
        return proven, AuditReport(tuple(problems), 1, 1, 0)

    def _against_witnesses(self) -> WitnessReport:
        """All that witnesses have, and what they lack."""
        try:
            seen = verify_witnessed(self._ledger.port, self._ledger.signer, self._witnesses)
            if self._ledger.port.last_checkpoint() is None:
                return seen
            lost = tuple(problem for each in self._witnesses for problem in losses(each))
            return replace(seen, problems=seen.problems + lost)
        except IntegrityError as error:
            return WitnessReport(0, (Problem("witnesses", str(error)),))

    def _proved_by_witnesses(self, index: int) -> WitnessReport:
        """One entry, under the first checkpoint of each witness that covers it."""
        problems: list[Problem] = []
        count = 0
        for each in self._witnesses:
            try:
                size = next((size for size in each.sizes() if size > index), None)
                if size is not None:
                    count += 1
                    self._ledger.prove(index, each.read(size))
            except (IntegrityError, NotFound) as error:
                problems.append(Problem(f"witness {each}", str(error)))
        return WitnessReport(count, tuple(problems))

    def _with(self, report: AuditReport, seen: WitnessReport) -> AuditReport:
        return replace(
            report,
            problems=report.problems + seen.problems,
            witnessed=seen.checkpoints,
            ledger_verified=report.ledger_verified and not seen.problems,
        )

    def _versions(self, found: LedgerReport, choose: Choose, progress: Progress | None) -> AuditReport:
        of_ledger = list(found.problems)
        # Keys are read up to where events are, so that no registration seems to precede its key.
        view = self._ledger.view()
        ring = self._ring(view, of_ledger)
        for checkpoint in self._ledger.port.checkpoints():
            of_ledger.extend(self._revoked(checkpoint, ring))
        chosen = choose(view)
        # Listed after the view was taken: what that lists was stored before.
        stored = set(self._repository.list())
        read: dict[ModelId, list[Problem]] = {}
        absent: dict[ModelId, list[Problem]] = {}
        listed: set[ModelId] = set()
        versions = 0
        for index, event in self._ledger.events(stop=view.size, skip_unreadable=True):
            if isinstance(event, ModelEvaluatedEvent):
                row = view.version(event.name, event.version)
                if row is None:
                    of_ledger.extend(self._evaluated(row, event))
                elif chosen(row):
                    read.setdefault(row.model_id, []).extend(self._evaluated(row, event))
            row = project(event, index)
            if row is None or not isinstance(event, ModelRegisteredEvent):
                continue
            versions += 1
            listed.add(event.model_id)
            if chosen(row):
                if progress is not None:
                    progress(row)
                read.setdefault(event.model_id, []).extend(self._model(event, index, ring))
            elif event.model_id not in stored:
                what = f"manifest of {event.name}@{event.version} ({event.model_id})"
                absent[event.model_id] = [Problem(what, "it is not stored")]
        differing = {model_id: found for model_id, found in (read | absent).items() if found}
        return AuditReport(
            (*of_ledger, *chain.from_iterable(differing.values())),
            versions,
            found.entries,
            found.pending,
            tuple(sorted(stored - listed)),
            read=tuple(read),
            damaged=tuple(differing),
            ledger_verified=not of_ledger,
        )

    def _evaluated(self, row: VersionRow | None, event: ModelEvaluatedEvent) -> Iterator[Problem]:
        """Whether the evidence of a later evaluation is there, as it was."""
        what = evidence_label(event)
        if row is None:
            yield Problem(what, "the ledger has no such version")
            return
        try:
            self._catalog.evidence(row.model_id, event)
        except (IntegrityError, NotFound) as error:
            yield Problem(what, str(error))

    def _ring(self, view: LedgerView, problems: list[Problem]) -> KeyRing | None:
        """The ledger's keys; None, and a problem, if the events about them cannot be read."""
        try:
            return KeyRing.of(view)
        except IntegrityError as error:
            problems.append(Problem("signing keys in the ledger", str(error)))
            return None

    def _revoked(self, checkpoint: StoredCheckpoint, ring: KeyRing | None) -> Iterator[Problem]:
        """Whether a key signed a checkpoint that covers the entry by which it is revoked."""
        if ring is None:
            return
        signer = self._ledger.signer
        for known in ring.revoked_signers(checkpoint, signer.public_keys(), signer.verify):
            yield Problem(
                f"checkpoint of size {checkpoint.size}",
                f"it is by the key {known.fingerprint}, revoked since ledger entry {known.revoked}",
            )

    def _model(self, event: ModelRegisteredEvent, index: int, ring: KeyRing | None) -> Iterator[Problem]:
        try:
            manifest = self._catalog.manifest(event)
        except (IntegrityError, NotFound) as error:
            yield Problem(manifest_label(event), str(error))
            return
        yield from self._files(event, manifest)
        for attachment in event.attachments:
            try:
                content = self._catalog.attachment(event, attachment)
                if attachment.name == SIGNATURE_NAME and ring is not None:
                    self._require_signed(content, event, manifest, index, ring)
            except (IntegrityError, NotFound, NotVerified) as error:
                yield Problem(attachment_label(event, attachment), str(error))
        signed = any(attachment.name == SIGNATURE_NAME for attachment in event.attachments)
        if not signed and ring is not None and ring.signs_artifacts(before=index):
            what = f"signature of {_labelled(event)}"
            yield Problem(what, "missing, though artifacts were signed by then")

    def _require_signed(
        self, bundle: bytes, event: ModelRegisteredEvent, manifest: Manifest, index: int, ring: KeyRing
    ) -> None:
        """Check a version's signature, by a key that was good when the version's entry was appended.

        Raises:
            NotVerified: it does not hold, or its key was unknown or revoked by then.
        """
        signature = ModelSignature.from_bytes(bundle)
        if event.provenance.get(SIGNING_KEY) != signature.key:
            raise NotVerified(f"it names the key {signature.key}, which is not the one in its ledger entry")
        key = ring.require("artifact", signature.key, index)
        verify_model(signature, manifest, key, self._ledger.signer.verify)

    def _files(self, event: ModelRegisteredEvent, manifest: Manifest) -> Iterator[Problem]:
        try:
            stored = {file.path for file in self._repository.contents(event.model_id)}
        except (IntegrityError, NotFound) as error:
            yield Problem(f"artifact of {_labelled(event)}", str(error))
            return
        for file in manifest.artifact.files:
            reason = self._difference(event, file) if file.path in stored else "it is missing"
            if reason is not None:
                yield Problem(file_label(event, file.path), reason)
        for path in sorted(stored - {file.path for file in manifest.artifact.files}):
            yield Problem(file_label(event, path), "the manifest does not list it")

    def _difference(self, event: ModelRegisteredEvent, file: ArtifactFile) -> str | None:
        """What is wrong with a stored file; None if it is the one in the manifest."""
        hasher = hashlib.sha256()
        size = 0
        try:
            for chunk in self._repository.read_file(event.model_id, file.path):
                hasher.update(chunk)
                size += len(chunk)
        except (IntegrityError, NotFound) as error:
            return str(error)
        if size != file.size:
            return f"it has {size} bytes, the manifest says {file.size}"
        return None if hasher.hexdigest() == file.sha256 else "its SHA-256 is not the one in the manifest"


def entry_label(index: int) -> str:
    """How problems name an entry of the ledger."""
    return f"ledger entry {index}"


def manifest_label(event: ModelRegisteredEvent) -> str:
    """How problems name a version's manifest."""
    return f"manifest of {_labelled(event)}"


def file_label(event: ModelRegisteredEvent, path: str) -> str:
    """How problems name a file of a version's artifact."""
    return f"file {path} of {_labelled(event)}"


def attachment_label(event: ModelRegisteredEvent, attachment: AttachmentRef) -> str:
    """How problems name a version's attachment."""
    what = f"{event.model_id}, {attachment.sha256}"
    return f"attachment {attachment.name} of {event.name}@{event.version} ({what})"


def evidence_label(event: ModelEvaluatedEvent) -> str:
    """How problems name the evidence of an evaluation after the registration."""
    return f"evidence {event.evidence} of {event.name}@{event.version}"


def _labelled(event: ModelRegisteredEvent) -> str:
    return f"{event.name}@{event.version} ({event.model_id})"
