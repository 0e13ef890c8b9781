"""Reading the registry: references, versions and artifacts, only ever what the ledger lists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from domain.registry.errors import InvalidInput, NotFound
from domain.registry.events import ModelRegisteredEvent
from domain.registry.evidence import AttachmentRef
from domain.registry.ledger import Ledger
from domain.registry.manifest import Manifest, ModelId, as_model_id
from domain.registry.metadata import as_model_name
from domain.registry.ports import ModelRegistryPort, VersionRow
from domain.registry.receipt import Receipt

LATEST = "latest"
"""The alias of a name's newest version in the order of the ledger."""

_MODEL_ID = re.compile(r"[0-9a-f]{64}")


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
        name, at, which = text.partition("@")
        if not at or not which:
            raise InvalidInput(
                "REF", text, "give a model id (64 hexadecimal characters), NAME@VERSION or NAME@latest"
            )
        as_model_name("REF", name)
        if which.isascii() and which.isdigit():
            return cls(name=name, version=int(which))
        return cls(name=name, alias=which)


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
        port = self._ledger.port
        if wanted.model_id is not None:
            row = port.by_model_id(wanted.model_id)
            if row is None:
                raise NotFound(f"model id {wanted.model_id} is not registered: see veritas models list")
            return row
        name = wanted.name or ""
        newest = next(port.versions(name, limit=1), None)
        if newest is None:
            raise NotFound(f"model {name} is not registered: see veritas models list")
        if wanted.alias is not None:
            if wanted.alias != LATEST:
                raise NotFound(f"{name} has no alias {wanted.alias}: use {name}@{LATEST} or {name}@VERSION")
            return newest
        row = port.version(name, wanted.version or 0)
        if row is None:
            raise NotFound(f"{name} has no version {wanted.version}: it has 1 to {newest.version}")
        return row

    def versions(self, name: str | None = None, limit: int | None = None) -> Iterator[VersionRow]:
        """Registered versions, newest first."""
        if name is not None:
            as_model_name("NAME", name)
        return self._ledger.port.versions(name, limit=limit)

    def show(self, reference: str) -> ModelVersion:
        """A version with its event and manifest."""
        row = self.resolve(reference)
        manifest = Manifest.from_bytes(
            self._repository.read_manifest(row.model_id), f"manifest of {row.name}@{row.version}"
        )
        return ModelVersion(row, self.event(row), manifest)

    def event(self, row: VersionRow) -> ModelRegisteredEvent:
        """The event that registered a version."""
        event = self._ledger.event_at(row.index)
        if not isinstance(event, ModelRegisteredEvent):
            raise NotFound(f"ledger entry {row.index} registers nothing: run veritas verify --all")
        return event

    def receipt(self, reference: str) -> Receipt:
        """The proof that a version is in the ledger."""
        return self._ledger.receipt(self.resolve(reference).index)

    def retrieve(self, reference: str, destination: Path) -> VersionRow:
        """Write a version's artifact to a new directory, every byte verified before it appears.

        Raises:
            NotFound, InvalidInput, IntegrityError: as `ModelRegistryPort.retrieve_model`.
        """
        row = self.resolve(reference)
        self._repository.retrieve_model(row.model_id, destination)
        return row

    def attachment(self, row: VersionRow, attachment: AttachmentRef) -> bytes:
        """An attachment's bytes, unverified; `audit` verifies them."""
        return self._repository.read_attachment(row.model_id, attachment.sha256)
