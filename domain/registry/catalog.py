"""Reading the registry: references, versions and artifacts, only ever what the ledger lists."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from domain.registry.canonical import Digest, digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound
from domain.registry.events import ModelRegisteredEvent, registered_key, retrained_key
from domain.registry.events.lifecycle import ModelEvaluatedEvent
from domain.registry.events.monitoring import DriftDetectedEvent
from domain.registry.evidence import AttachmentRef
from domain.registry.ledger.ledger import Ledger, LedgerView, project, recorded
from domain.registry.ledger.receipt import Receipt
from domain.registry.lifecycle.state import Lifecycle, challenger
from domain.registry.manifest import Manifest, ModelId, as_model_id
from domain.registry.metadata import as_model_name
from domain.registry.ports import ModelRegistryPort, VersionRow

LATEST = "latest"
"""The alias of a name's newest version in the order of the ledger."""

CHAMPION, CHALLENGER = "champion", "challenger"
"""The aliases of the version in use, and of the one that wants its place."""

ALIASES = (LATEST, CHAMPION, CHALLENGER)

_MODEL_ID = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[1-9][0-9]{0,8}")
_ALIAS = re.compile(r"[a-z][a-z0-9_.-]{0,62}")


@dataclass(frozen=True, slots=True)
class Reference:
    """What a person calls a version: a model id, NAME@VERSION or NAME@ALIAS."""

    model_id: ModelId | None = None
    name: str | None = None
    version: int | None = None
    alias: str | None = None

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference.

        Raises:
            InvalidInput: for anything but 64 hexadecimal characters, NAME@VERSION or NAME@ALIAS.
        """
        if _MODEL_ID.fullmatch(text):
            return cls(model_id=as_model_id("REF", text))
        name, _, which = text.partition("@")
        if _VERSION.fullmatch(which):
            return cls(name=as_model_name("REF", name), version=int(which))
        if _ALIAS.fullmatch(which):
            return cls(name=as_model_name("REF", name), alias=which)
        raise InvalidInput(
            "REF", text, "give a model id (64 hexadecimal characters), NAME@VERSION or NAME@latest"
        )


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered version: its row, its event and its manifest."""

    row: VersionRow
    event: ModelRegisteredEvent
    manifest: Manifest


class ModelCatalog:
    """The read side of the registry."""

    def __init__(self, model_repository: ModelRegistryPort, ledger: Ledger) -> None:
        self._repository = model_repository
        self._ledger = ledger

    def resolve(self, reference: str) -> VersionRow:
        """The version that a reference names.

        Raises:
            InvalidInput: the text is no reference.
            NotFound: the ledger has no such version; the sentence says what there is.
        """
        wanted = Reference.parse(reference)
        view = self._ledger.view()
        if wanted.model_id is not None:
            row = view.by_model_id(wanted.model_id)
            if row is None:
                raise NotFound(f"model id {wanted.model_id} is not registered: see veritas models list")
            return row
        name = wanted.name or ""
        newest = next(view.versions(name, limit=1), None)
        if newest is None:
            raise NotFound(f"model {name} is not registered: see veritas models list")
        version = wanted.version or self._version_of_alias(view, newest, wanted.alias or "")
        row = view.version(name, version)
        if row is None:
            raise NotFound(f"{name} has no version {wanted.version}: it has 1 to {newest.version}")
        return row

    def _version_of_alias(self, view: LedgerView, newest: VersionRow, alias: str) -> int:
        name = newest.name
        if alias == LATEST:
            return newest.version
        if alias not in ALIASES:
            raise NotFound(f"{name} has no alias {alias}: use {name}@VERSION or one of {', '.join(ALIASES)}")
        state = Lifecycle.of(view, name)
        wanting = challenger(view, state) if alias == CHALLENGER else None
        version = state.champion if wanting is None else wanting.version
        if version is None or (alias == CHALLENGER and wanting is None):
            raise NotFound(f"{name} has no {alias} now: use {name}@{LATEST} or {name}@VERSION")
        return version

    def versions(self, name: str | None = None, limit: int | None = None) -> Iterator[VersionRow]:
        """Registered versions, newest first."""
        if name is not None:
            as_model_name("NAME", name)
        return self._ledger.view().versions(name, limit=limit)

    def show(self, reference: str) -> ModelVersion:
        """A version with its event and manifest.

        Raises:
            IntegrityError: the ledger or the stored manifest was changed.
        """
        row = self.resolve(reference)
        event = self.event(row)
        return ModelVersion(row, event, self.manifest(event))

    def event(self, row: VersionRow) -> ModelRegisteredEvent:
        """The event that registered a version.

        Raises:
            IntegrityError: the row, or its entry, was changed.
        """
        event = self._ledger.event_at(row.index)
        if not isinstance(event, ModelRegisteredEvent) or project(event, row.index) != row:
            raise IntegrityError(
                f"versions row {row.name}@{row.version} is not what ledger entry {row.index} says: "
                "run veritas verify --all"
            )
        return event

    def events(self, rows: Sequence[VersionRow]) -> dict[int, ModelRegisteredEvent]:
        """The events that registered some versions, by index, looked up at once.

        One that was changed is left out; `event` says what is wrong with it.
        """
        keys = [registered_key(row.name, row.recipe, row.model_id) for row in rows]
        keys += [retrained_key(row.name, row.recipe, row.model_id) for row in rows if row.recipe]
        by_index = {entry.index: entry for entry in self._ledger.port.find_each(keys).values()}
        found = {}
        for row in rows:
            with suppress(IntegrityError):
                event = recorded(by_index[row.index]).event if row.index in by_index else None
                if isinstance(event, ModelRegisteredEvent) and project(event, row.index) == row:
                    found[row.index] = event
        return found

    def manifest(self, event: ModelRegisteredEvent) -> Manifest:
        """The stored manifest of a version, checked against its model id and its event.

        Raises:
            NotFound: it is not stored.
            IntegrityError: it is not the one that was registered.
        """
        what = f"manifest of {event.name}@{event.version}"
        data = self._repository.read_manifest(event.model_id)
        if as_model_id(what, digest(data)) != event.model_id:
            raise IntegrityError(f"{what} ({event.model_id}): its SHA-256 is not the model id")
        manifest = Manifest.from_bytes(data, what)
        registered = (event.name, event.recipe, event.artifact_digest)
        if registered != (manifest.metadata.name, manifest.recipe, manifest.artifact.digest):
            raise IntegrityError(f"{what}: name, recipe or artifact digest differ from the ledger's")
        return manifest

    def receipt(self, reference: str) -> Receipt:
        """The proof that a version is in the ledger; signs a checkpoint if none covers the version yet."""
        return self._ledger.receipt(self.resolve(reference).index)

    def retrieve(self, reference: str, destination: Path) -> VersionRow:
        """Write a version's artifact to a new directory, every byte verified before it appears.

        Raises:
            NotFound, InvalidInput, IntegrityError: as `event` and `ModelRegistryPort.retrieve_model`.
        """
        row = self.resolve(reference)
        # The row says which model; its entry, which is hashed and signed, has to say the same.
        self.event(row)
        self._repository.retrieve_model(row.model_id, destination)
        return row

    def attachment(self, event: ModelRegisteredEvent, attachment: AttachmentRef) -> bytes:
        """An attachment's bytes, checked against the digest in its event.

        Raises:
            NotFound: it is not stored.
            IntegrityError: it is not the one that was registered.
        """
        content = self._repository.read_attachment(event.model_id, attachment.sha256)
        if len(content) != attachment.size or digest(content) != attachment.sha256:
            raise IntegrityError(
                f"attachment {attachment.name} of {event.name}@{event.version}: "
                "its bytes are not those the ledger names"
            )
        return content

    def evidence(self, model_id: ModelId, evaluated: ModelEvaluatedEvent) -> bytes:
        """The evidence that a version was judged on after its registration, checked as `attachment` does."""
        what = f"evidence {evaluated.evidence} of {evaluated.name}@{evaluated.version}"
        return self._later(model_id, evaluated.evidence, what)

    def drift_report(self, model_id: ModelId, drift: DriftDetectedEvent) -> bytes:
        """The report of a version's drift, checked as `attachment` does."""
        return self._later(model_id, drift.report, f"report {drift.report} of {drift.name}@{drift.version}")

    def _later(self, model_id: ModelId, sha256: Digest, what: str) -> bytes:
        content = self._repository.read_attachment(model_id, sha256)
        if digest(content) != sha256:
            raise IntegrityError(f"{what}: its bytes are not those the ledger names")
        return content
