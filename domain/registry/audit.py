"""Verifying stored models against the ledger: every manifest, file and attachment, byte by byte."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from domain.registry.canonical import digest
from domain.registry.catalog import ModelCatalog
from domain.registry.errors import IntegrityError, NotFound
from domain.registry.events import ModelRegisteredEvent
from domain.registry.ledger import Ledger
from domain.registry.manifest import Manifest
from domain.registry.ports import ModelRegistryPort, VersionRow
from domain.registry.verification import Problem, verify_ledger

Progress = Callable[[VersionRow], None]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What a verification found.

    Attributes:
        problems: empty when everything verifies.
        versions: how many versions were verified.
        entries: size of the ledger.
        pending: entries behind the last checkpoint: hashed, but not yet signed for.
        unlisted: stored models that no ledger entry lists; leftovers of crashed registrations.
    """

    problems: tuple[Problem, ...]
    versions: int
    entries: int
    pending: int
    unlisted: tuple[str, ...]

    @property
    def verified(self) -> bool:
        return not self.problems


class Audit:
    """Recomputes what the registry claims."""

    def __init__(self, model_repository: ModelRegistryPort, ledger: Ledger, catalog: ModelCatalog) -> None:
        self._repository = model_repository
        self._ledger = ledger
        self._catalog = catalog

    def everything(self, progress: Progress | None = None) -> AuditReport:
        """Verify the whole ledger and every version it lists."""
        found = verify_ledger(self._ledger.port, self._ledger.signer)
        problems = list(found.problems)
        listed: set[str] = set()
        versions = 0
        for index, event in self._ledger.events(skip_unreadable=True):
            if isinstance(event, ModelRegisteredEvent):
                versions += 1
                listed.add(event.model_id)
                if progress is not None:
                    progress(_row(index, event))
                problems.extend(self._model(event))
        unlisted = tuple(model_id for model_id in self._repository.list() if model_id not in listed)
        return AuditReport(tuple(problems), versions, found.entries, found.pending, unlisted)

    def version(self, reference: str) -> AuditReport:
        """Verify one version: its proof in the ledger, and its stored objects."""
        row = self._catalog.resolve(reference)
        problems: list[Problem] = []
        try:
            self._ledger.verify_entry(row.index)
            problems.extend(self._model(self._catalog.event(row)))
        except (IntegrityError, NotFound) as error:
            problems.append(Problem(f"ledger entry {row.index}", str(error)))
        return AuditReport(tuple(problems), 1, self._ledger.port.size(), self._ledger.pending(), ())

    def _model(self, event: ModelRegisteredEvent) -> Iterator[Problem]:
        label = f"{event.name}@{event.version}"
        try:
            manifest = self._manifest(event, label)
        except (IntegrityError, NotFound) as error:
            yield Problem(f"manifest of {label} ({event.model_id})", str(error))
            return
        yield from self._files(event, manifest, label)
        for attachment in event.attachments:
            what = f"attachment {attachment.name} of {label} ({attachment.sha256})"
            try:
                content = self._repository.read_attachment(event.model_id, attachment.sha256)
            except (IntegrityError, NotFound) as error:
                yield Problem(what, str(error))
                continue
            if digest(content) != attachment.sha256 or len(content) != attachment.size:
                yield Problem(what, "its bytes are not those the ledger names")

    def _manifest(self, event: ModelRegisteredEvent, label: str) -> Manifest:
        data = self._repository.read_manifest(event.model_id)
        if digest(data) != event.model_id:
            raise IntegrityError("its SHA-256 is not the model id")
        manifest = Manifest.from_bytes(data, f"manifest of {label}")
        said = (event.name, event.recipe, event.artifact_digest)
        if said != (manifest.metadata.name, manifest.recipe, manifest.artifact.digest):
            raise IntegrityError("name, recipe or artifact digest differ from the ledger's")
        return manifest

    def _files(self, event: ModelRegisteredEvent, manifest: Manifest, label: str) -> Iterator[Problem]:
        stored = {file.path: file.size for file in self._repository.contents(event.model_id)}
        for file in manifest.artifact.files:
            what = f"file {file.path} of {label} ({event.model_id})"
            if file.path not in stored:
                yield Problem(what, "it is missing")
                continue
            hasher = hashlib.sha256()
            size = 0
            for chunk in self._repository.read_file(event.model_id, file.path):
                hasher.update(chunk)
                size += len(chunk)
            if size != file.size:
                yield Problem(what, f"it has {size} bytes, the manifest says {file.size}")
            elif hasher.hexdigest() != file.sha256:
                yield Problem(what, "its SHA-256 is not the one in the manifest")
        for path in sorted(set(stored) - {file.path for file in manifest.artifact.files}):
            yield Problem(f"file {path} of {label} ({event.model_id})", "the manifest does not list it")


def _row(index: int, event: ModelRegisteredEvent) -> VersionRow:
    return VersionRow(
        event.name, event.version, event.model_id, event.recipe, event.as_of, event.artifact_digest, index
    )
