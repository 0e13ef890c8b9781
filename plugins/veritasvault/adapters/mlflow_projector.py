"""Writes MLflow's registered models, versions, tags and aliases from the ledger, which alone decides them.

MLflow makes a version each time it is asked, so a version is looked for before it is made, by the tag
`veritas.version` that it is made with, in one transaction of MLflow. Two projectors that looked at the same
time make two; both look again afterwards, keep the one with the lower number and delete the other. MLflow
gives no number twice, so after such a race its numbers are ahead of the ledger's: the tag says which version
it is, and the aliases `champion` and `challenger` follow the tag.

Everything is compared and then mended, so a projector that was killed is continued by the next one, and what
people changed by hand is set right. The cursor, a tag of the experiment, only saves work: one that was set
back costs time and no version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.registry.artifact import StagedArtifact
from domain.registry.errors import DomainException, IntegrityError, InvalidInput, Unavailable
from domain.registry.events import ModelRegisteredEvent
from domain.registry.ledger.ledger import Ledger
from domain.registry.lifecycle.state import Lifecycle, challenger
from domain.registry.manifest import Manifest
from domain.registry.ports import ModelRegistryPort
from domain.registry.staging import private_directory
from veritasvault.adapters.file_lock import file_lock
from veritasvault.adapters.mlflow_registry import MODEL_ID_TAG, MlflowModelRegistry
from veritasvault.adapters.retrieval import verified_manifest

if TYPE_CHECKING:
    from mlflow import MlflowClient

VERSION_TAG = "veritas.version"
LEDGER_TAG = "veritas.ledger"
CURSOR_TAG = "veritas.cursor"
ALIASES = ("champion", "challenger")
"""The aliases that follow the ledger; others are left to whoever set them."""

AliasesOf = Callable[[str], Mapping[str, int]]
"""The ledger's version for each of `ALIASES` that a model name has now."""

_OURS = "veritas."
_PAGE = 1000
_TRIES = 5


@dataclass
class Projection:
    """What one `sync` did, versions as NAME@VERSION of the ledger.

    Attributes:
        cursor: the ledger's entries before this one are in MLflow.
        created: versions that MLflow did not have.
        mended: versions, aliases and registered models that differed from the ledger.
        problems: one sentence for each version that could not be written.
    """

    cursor: int = 0
    created: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def lifecycle_aliases(ledger: Ledger) -> AliasesOf:
    """Champion and challenger as the ledger has them at the moment of asking."""

    def aliases(name: str) -> Mapping[str, int]:
        view = ledger.view()
        state = Lifecycle.of(view, name)
        wanting = challenger(view, state)
        found = {"champion": state.champion, "challenger": None if wanting is None else wanting.version}
        return {alias: version for alias, version in found.items() if version is not None}

    return aliases


class MlflowProjector:
    """The one writer of MLflow's model registry."""

    def __init__(
        self,
        registry: MlflowModelRegistry,
        ledger: Ledger,
        source: ModelRegistryPort,
        *,
        aliases: AliasesOf,
        staging: Path,
    ) -> None:
        """
        Args:
            registry: the server to write to, and its copies of the models.
            source: the registry of the ledger's models. If it is another one than `registry`, models are
                copied to MLflow, each byte verified, so that MLflow can load them.
            staging: a directory for those copies while they are on their way.
        """
        self._registry = registry
        self._ledger = ledger
        self._source = source
        self._aliases_of = aliases
        self._staging = staging

    def sync(self, *, everything: bool = True) -> Projection:
        """Make MLflow say what the ledger says; again and again changes nothing.

        Args:
            everything: compare all versions; else only what the entries past the cursor are about.

        Raises:
            InvalidInput: the experiment mirrors another ledger.
            IntegrityError: MLflow has seen more of the ledger than there is, or an entry was changed.
            Unavailable: MLflow, the ledger or the source cannot be used now.
        """
        done = Projection()
        if self._ledger.port.size() == 0:
            return done
        with self._writing() as (client, experiment):
            cursor = self._cursor(client, experiment)
            start = 0 if everything else cursor
            while start < (end := self._ledger.port.size()):
                self._project(client, start, end, done, look_closely=everything)
                # Aliases that were read before an entry came would be stale: go on until none has come.
                start = end
            done.cursor = cursor if done.problems else start
            if not done.problems and start != cursor:
                _twice(lambda: client.set_experiment_tag(experiment, CURSOR_TAG, str(start)))
        return done

    @contextmanager
    def _writing(self) -> Iterator[tuple[MlflowClient, str]]:
        server = self._registry.server
        with server.translated():
            client = server.client()
            embedded = server.embedded
            # Not the store's own lock, which each write to the registry takes.
            lock = (
                nullcontext()
                if embedded is None
                else file_lock(embedded.with_name(embedded.name + ".projector.lock"), "the MLflow projector")
            )
            with lock:
                yield client, self._registry.make_experiment(client)

    def _cursor(self, client: MlflowClient, experiment: str) -> int:
        """How many entries MLflow has seen, after a check that they are this ledger's."""
        tags = client.get_experiment(experiment).tags
        origin, size = self._ledger.port.origin(), self._ledger.port.size()
        mirrored = tags.get(LEDGER_TAG)
        if mirrored is None:
            _twice(lambda: client.set_experiment_tag(experiment, LEDGER_TAG, origin))
        elif mirrored != origin:
            raise InvalidInput(
                "experiment",
                self._registry.experiment,
                f"it mirrors {mirrored} and not {origin}, name another",
            )
        seen = tags.get(CURSOR_TAG, "0")
        cursor = int(seen) if seen.isdecimal() else 0
        if cursor > size:
            raise IntegrityError(
                f"MLflow has seen {cursor} entries of {origin}, the ledger has {size}: "
                "run veritas verify --all, and restore the ledger from a backup"
            )
        return cursor

    def _project(
        self, client: MlflowClient, start: int, end: int, done: Projection, *, look_closely: bool
    ) -> None:
        registered: dict[str, list[tuple[int, ModelRegisteredEvent]]] = {}
        for index, event in self._ledger.events(start, end):
            # Every kind of event that is about a model names it.
            name = getattr(event, "name", None)
            if isinstance(name, str):
                registered.setdefault(name, [])
            if isinstance(event, ModelRegisteredEvent):
                registered[event.name].append((index, event))
        for name in sorted(registered):
            if next(self._ledger.view().versions(name, limit=1), None) is None:
                continue
            model = _Model(client, name, self._registry, self._ledger.port.origin(), done)
            model.ensure()
            for index, event in registered[name]:
                self._version(model, index, event, look_closely=look_closely)
            self._aliases(model)

    def _version(
        self, model: _Model, index: int, event: ModelRegisteredEvent, *, look_closely: bool
    ) -> str | None:
        """MLflow's number of a version, written or mended; None if it cannot be, which is a problem."""
        reference = f"{event.name}@{event.version}"
        try:
            sources = self._registry.sources(event.model_id) or self._brought(event)
            number = model.settle(event.version, sources, _tags(event, index))
            if look_closely and self._registry.mend_flavor(event.model_id, self._manifest(event).artifact):
                model.done.mended.append(f"{reference} MLmodel")
        except DomainException as error:
            if error.retriable:
                raise
            problem = f"{reference}: {error}"
            if problem not in model.done.problems:
                model.done.problems.append(problem)
            return None
        return number

    def _brought(self, event: ModelRegisteredEvent) -> dict[str, str]:
        """Copy a model from the source to MLflow."""
        if self._source is self._registry:
            raise IntegrityError(
                f"models/{event.model_id} is not in experiment {self._registry.experiment} of MLflow, "
                "restore its run"
            )
        manifest = self._manifest(event)
        with private_directory(self._staging) as private:
            root = private / "artifact"
            self._source.retrieve_model(event.model_id, root)
            staged = StagedArtifact(root, manifest.artifact)
            self._registry.store_model(event.model_id, staged, manifest.to_bytes())
        return self._registry.sources(event.model_id)

    def _manifest(self, event: ModelRegisteredEvent) -> Manifest:
        return verified_manifest(event.model_id, self._source.read_manifest(event.model_id))

    def _aliases(self, model: _Model) -> None:
        targets: dict[str, str | None] = {}
        for alias, version in self._aliases_of(model.name).items():
            # Looked at also if it is older or newer than the entries read: services load it.
            row = self._ledger.port.version(model.name, version)
            event = None if row is None else self._ledger.event_at(row.index)
            if row is None or not isinstance(event, ModelRegisteredEvent):
                raise IntegrityError(
                    f"the ledger has no {model.name}@{version}, its {alias}: run veritas verify --all"
                )
            targets[alias] = model.numbers.get(version) or self._version(
                model, row.index, event, look_closely=False
            )
        model.point(targets)


@dataclass
class _Model:
    """A registered model of MLflow, and what is done to it.

    Attributes:
        numbers: MLflow's number of each version that was settled.
    """

    client: MlflowClient
    name: str
    registry: MlflowModelRegistry
    origin: str
    done: Projection
    numbers: dict[int, str] = field(default_factory=dict)

    def ensure(self) -> None:
        """Make it if it is not there; names are unique in MLflow."""
        from mlflow.exceptions import MlflowException

        try:
            self.client.create_registered_model(self.name, tags={LEDGER_TAG: self.origin})
            return
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        if self.client.get_registered_model(self.name).tags.get(LEDGER_TAG) != self.origin:
            _twice(lambda: self.client.set_registered_model_tag(self.name, LEDGER_TAG, self.origin))
            self.done.mended.append(self.name)

    def settle(self, version: int, sources: Mapping[str, str], tags: Mapping[str, str]) -> str:
        """Leave exactly one version of MLflow's for the ledger's, from a run of the model, with its tags.

        Returns its number in MLflow.
        """
        reference = f"{self.name}@{version}"
        found, kept = self._made(version, sources, tags)
        for other in found:
            if other is not kept:
                self._delete(other)
                self.done.mended.append(reference)
        if self._retag(kept, tags):
            self.done.mended.append(reference)
        self.numbers[version] = str(kept.version)
        return self.numbers[version]

    def point(self, targets: Mapping[str, str | None]) -> None:
        """Let each of `ALIASES` name its version, by MLflow's number, or remove it.

        Args:
            targets: None for an alias whose version could not be written, which stays as it is.
        """
        # Servers say numbers as texts, the embedded store as integers.
        found = self.client.get_registered_model(self.name).aliases
        there = {alias: str(number) for alias, number in found.items()}
        for alias in ALIASES:
            number = targets.get(alias)
            if there.get(alias) == number or (number is None and alias in targets):
                continue
            if number is None:
                self.client.delete_registered_model_alias(self.name, alias)
            else:
                _twice(partial(self.client.set_registered_model_alias, self.name, alias, number))
            self.done.mended.append(f"{self.name}@{alias}")

    def _made(
        self, version: int, sources: Mapping[str, str], tags: Mapping[str, str]
    ) -> tuple[Sequence[Any], Any]:
        """MLflow's versions that say they are this one, and the one to keep, made if there is none."""
        from mlflow.exceptions import MlflowException

        failure: Exception | None = None
        for _ in range(_TRIES):
            found = self._find(version)
            for each in found:
                if sources.get(each.run_id) == each.source:
                    return found, each
            run_id, source = next(iter(sources.items()))
            try:
                # Without waiting: the SQL store has it when it answers.
                self.client.create_model_version(self.name, source, run_id, dict(tags), await_creation_for=0)
                self.done.created.append(f"{self.name}@{version}")
            except MlflowException as error:
                # MLflow gives up when it has lost too many races for the next number.
                failure = error
        raise failure or Unavailable(
            f"{self.name}@{version} is removed from MLflow as soon as it is made: run it again later"
        )

    def _find(self, version: int) -> Sequence[Any]:
        """MLflow's versions that say they are this one, the lowest number first."""
        found = self._search(f"name = '{self.name}' and tags.`{VERSION_TAG}` = '{version}'")
        return sorted(found, key=lambda each: int(each.version))

    def _search(self, wanted: str) -> Iterable[Any]:
        token: str | None = None
        while True:
            page = self.client.search_model_versions(wanted, max_results=_PAGE, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _delete(self, version: Any) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self.client.delete_model_version(self.name, version.version)
        except MlflowException as error:
            # The other projector of a race deletes it too.
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise

    def _retag(self, version: Any, tags: Mapping[str, str]) -> bool:
        wrong = {key: value for key, value in tags.items() if version.tags.get(key) != value}
        for key, value in wrong.items():
            _twice(partial(self.client.set_model_version_tag, self.name, version.version, key, value))
        foreign = [key for key in version.tags if key.startswith(_OURS) and key not in tags]
        for key in foreign:
            self.client.delete_model_version_tag(self.name, version.version, key)
        return bool(wrong or foreign)


def _twice(write: Callable[[], None]) -> None:
    """Set a tag or an alias.

    MLflow looks for it and then inserts or updates it, so of two who set a new one at once one fails on the
    database's unique key, and finds it there the next time.
    """
    from mlflow.exceptions import MlflowException

    try:
        write()
    except MlflowException:
        write()


def _tags(event: ModelRegisteredEvent, index: int) -> dict[str, str]:
    """What MLflow shows of a version; empty values are left out, for MLflow takes none."""
    tags = {
        VERSION_TAG: str(event.version),
        MODEL_ID_TAG: event.model_id,
        "veritas.recipe": event.recipe,
        "veritas.as_of": None if event.as_of is None else event.as_of.isoformat(),
        "veritas.artifact_digest": event.artifact_digest,
        "veritas.gates": ", ".join(f"{gate.gate}: {gate.outcome}" for gate in event.gates),
        "veritas.ledger_index": str(index),
    }
    return {key: value for key, value in tags.items() if value}
