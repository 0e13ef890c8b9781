"""Carrying one version's objects from a registry to another: read, verified, stored, and read back."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from domain.registry.artifact import StagedArtifact
from domain.registry.audit import Audit
from domain.registry.canonical import Digest, digest
from domain.registry.catalog import ModelCatalog
from domain.registry.collection.references import References
from domain.registry.errors import IntegrityError, NotFound
from domain.registry.events import ModelRegisteredEvent
from domain.registry.events.lifecycle import ModelEvaluatedEvent
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.verification import Problem
from domain.registry.manifest import ModelId
from domain.registry.ports import CollectablePort, ModelRegistryPort, VersionRow
from domain.registry.staging import flush_directory, private_directory, unavailable


class ModelTransfer:
    """Copies the models that a ledger lists, with every attachment that one of its entries names."""

    def __init__(
        self, source: CollectablePort, destination: CollectablePort, ledger: Ledger, staging: Path
    ) -> None:
        """`ledger` is that of the source; the destination's may say nothing yet."""
        self._source = source
        self._destination = destination
        self._ledger = ledger
        self._catalog = ModelCatalog(source, ledger)
        self._audit = Audit(destination, ledger, ModelCatalog(destination, ledger))
        self._staging = staging

    def is_there(self, row: VersionRow) -> bool:
        """Whether the destination has all of a version, each byte verified; False if it lacks something.

        Raises:
            IntegrityError: it has something else under the version's id.
        """
        event = self._catalog.event(row)
        whole = row.model_id in self._whole and self._wanted(event) <= self._attachments_there(row.model_id)
        problems = (
            self._audit.version(f"{row.name}@{row.version}").problems if whole else self._foreign(event)
        )
        problem = next(iter(problems), None)
        if problem is not None:
            raise IntegrityError(
                f"{problem.object} at the destination, {problem.reason}: remove it or give an empty place; "
                "nothing was changed"
            )
        return whole

    def copy(self, row: VersionRow) -> tuple[Problem, ...]:
        """Copy a version, or what the destination lacks of it; what is wrong with it there or here."""
        here = f"{row.name}@{row.version} at the source"
        there = f"{row.name}@{row.version} at the destination"
        try:
            event = self._catalog.event(row)
            manifest = self._catalog.manifest(event)
            attachments = [self._attachment(row.model_id, sha256) for sha256 in sorted(self._wanted(event))]
            with private_directory(self._staging) as private:
                root = private / "artifact"
                self._source.retrieve_model(row.model_id, root)
                _flush(root)
                try:
                    staged = StagedArtifact(root, manifest.artifact)
                    self._destination.store_model(row.model_id, staged, manifest.to_bytes())
                    for content in attachments:
                        self._destination.attach(row.model_id, content)
                except IntegrityError as error:
                    return (Problem(there, str(error)),)
        except (IntegrityError, NotFound) as error:
            return (Problem(here, str(error)),)
        report = self._audit.version(f"{row.name}@{row.version}")
        return tuple(Problem(f"{found.object} at the destination", found.reason) for found in report.problems)

    @cached_property
    def _whole(self) -> frozenset[ModelId]:
        """The models that the destination had when it was looked at first."""
        return frozenset(self._destination.list())

    @cached_property
    def _here(self) -> dict[ModelId, frozenset[Digest]]:
        return _attachments(self._source)

    @cached_property
    def _there(self) -> dict[ModelId, frozenset[Digest]]:
        return _attachments(self._destination)

    @cached_property
    def _references(self) -> References:
        return References().read(self._ledger.view())

    def _attachments_there(self, model_id: ModelId) -> frozenset[Digest]:
        return self._there.get(model_id, frozenset())

    def _wanted(self, event: ModelRegisteredEvent) -> frozenset[Digest]:
        """The attachments of a registration, the evidence of later evaluations, and whatever else there is of
        the model that any entry names."""
        registered = {attachment.sha256 for attachment in event.attachments}
        for found in self._ledger.view().lifecycle(event.name):
            if isinstance(found.event, ModelEvaluatedEvent) and found.event.version == event.version:
                registered.add(found.event.evidence)
        stored = self._here.get(event.model_id, frozenset())
        return frozenset(registered | {sha256 for sha256 in stored if self._references.names(sha256)})

    def _attachment(self, model_id: ModelId, sha256: Digest) -> bytes:
        content = self._source.read_attachment(model_id, sha256)
        if digest(content) != sha256:
            raise IntegrityError(f"models/{model_id}/attachments/{sha256}: its SHA-256 is {digest(content)}")
        return content

    def _foreign(self, event: ModelRegisteredEvent) -> Iterator[Problem]:
        """What stands in the way of a model: objects under its id that are not the model's.

        A manifest that the source cannot give is no hindrance here; copying the model then fails.
        """
        try:
            manifest = self._catalog.manifest(event)
        except (IntegrityError, NotFound):
            return
        home = f"models/{event.model_id}"
        listed = {file.path: file for file in manifest.artifact.files}
        for stored in self._destination.contents(event.model_id):
            expected = listed.get(stored.path)
            if expected is None:
                yield Problem(f"{home}/artifact/{stored.path}", "the manifest does not list it")
            elif _sha256(self._destination, event.model_id, stored.path) != expected.sha256:
                yield Problem(f"{home}/artifact/{stored.path}", "its SHA-256 is not the one in the manifest")
        there = event.model_id in self._whole
        if there and self._destination.read_manifest(event.model_id) != manifest.to_bytes():
            yield Problem(f"{home}/metadata.json", "it is another manifest")


def _attachments(registry: CollectablePort) -> dict[ModelId, frozenset[Digest]]:
    """The SHA-256 of each model's attachments, as the store lists them."""
    return {
        model.model_id: frozenset(attachment.sha256 for attachment in model.attachments)
        for model in registry.stored()
    }


def _sha256(registry: ModelRegistryPort, model_id: ModelId, path: str) -> str:
    hasher = hashlib.sha256()
    for chunk in registry.read_file(model_id, path):
        hasher.update(chunk)
    return hasher.hexdigest()


def _flush(root: Path) -> None:
    """Make a retrieved model durable, for a registry on the same disk links its files and copies none."""
    try:
        for directory, _, names in os.walk(root):
            for name in names:
                fd = os.open(Path(directory) / name, os.O_RDONLY)
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
            flush_directory(Path(directory))
    except OSError as error:
        raise unavailable(error, f"staging in {root}") from error
