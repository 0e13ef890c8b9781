"""One training again: from a snapshot's file to an artifact, step by step, with what each step gave.

It takes the path of `ModelPipeline` with nothing but a record to go by, and takes nothing from the blocks
that earlier runs computed. Requests and steps are plain JSON, because the code that trains may be another
commit's, in another process; docs/reproduction.md has the protocol, of which every later commit has to keep
what is there.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from domain.registry.canonical import Digest, digest_of
from domain.registry.errors import IntegrityError, InvalidInput, Unavailable
from domain.registry.events.reproduction import Stage
from domain.risk.problems import FORECAST, problem

if TYPE_CHECKING:
    import pyarrow as pa

    from domain.registry.lineage import Lineage
    from domain.risk.dataset import Dataset
    from domain.risk.ports import PrepEnginePort, TrainerPort

PROTOCOL = 1
"""Raised when a request of this commit asks for what the one before would misunderstand."""

ROWS, FEATURES, ARTIFACT = "rows.parquet", "features.parquet", "artifact"
"""What a retraining leaves in its directory: rows (asset, date, close, measures); features (asset, date, each
feature, target, null until known), both sorted by (asset, date); and the artifact's files."""


class RetrainingParts(Protocol):
    """The adapters that a retraining works with."""

    def engine(self, name: str) -> PrepEnginePort: ...
    def trainer(self, name: str) -> TrainerPort: ...
    def sources_digest(self, trainer: str) -> Digest: ...
    def environment(self, trainer: str | None = None) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Retraining:
    """What is to be trained, from a version's record.

    Attributes:
        raw: path of the snapshot's file.
        as_of: the session, ISO date.
        assets: those that the run asked for.
        columns, target: references of the features and the target.
        parameters: the trainer's.
        engine: what prepares the features.
        directory: an empty directory, which gets `ROWS`, `FEATURES` and `ARTIFACT`.
        problem: what the trainer learns; requests of commits that knew forecasts alone do not name it.
    """

    raw: str
    as_of: str
    assets: tuple[str, ...]
    columns: tuple[str, ...]
    target: str
    trainer: str
    parameters: Mapping[str, Any]
    seed: int
    engine: str
    directory: str
    problem: str = FORECAST

    def to_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__slots__}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return {"protocol": PROTOCOL, **plain, "parameters": dict(self.parameters)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Retraining:
        """Read a request; fields that a later commit added are passed over.

        Raises:
            InvalidInput: a later protocol, or a field is missing.
        """
        if value.get("protocol") != PROTOCOL:
            raise InvalidInput("protocol", value.get("protocol"), f"this commit knows {PROTOCOL}")
        given = {"problem": FORECAST, **value}
        for name in cls.__slots__:
            if name not in given:
                raise InvalidInput(f"request.{name}", None, "it is required, add it")
        values = {name: given[name] for name in cls.__slots__}
        lists = {name: tuple(values[name]) for name in ("assets", "columns")}
        return cls(**{**values, **lists})


STEPS: Mapping[Stage, tuple[str, ...]] = {
    "code": ("sources", "features"),
    "environment": ("environment",),
    "data": ("digest", "parts"),
    "features": ("digest", "parts"),
    "training": (),
}
"""The steps in their order, and what each tells: digests of the sources and of the feature definition; the
environment, whose digest is the lineage's; digest and parts of the rows, and of the feature set."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a step gave: the fields that `STEPS` names for it."""

    name: Stage
    found: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"step": self.name, **self.found}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Step:
        """Read what `to_json` gives. Raises IntegrityError."""
        name = next((step for step in STEPS if step == value.get("step")), None)
        if name is None or any(field not in value for field in STEPS[name]):
            raise IntegrityError("the recorded code answered with something that is no step of a training")
        return cls(name, {field: value[field] for field in STEPS[name]})


def retrain(request: Retraining, parts: RetrainingParts) -> Generator[Step, None, None]:
    """Train once more; each step is computed when it is asked for, so whoever has seen enough stops.

    Raises:
        InvalidInput: data, features or parameters cannot be used with this code.
        Unavailable: the engine cannot be used here or failed, or the disk did.
    """
    import numpy as np

    from domain.risk.dataset import in_order
    from domain.risk.feature_set import feature_table
    from domain.risk.features import feature_definition
    from domain.risk.preparation import prepare
    from domain.risk.rows import canonical_rows
    from domain.risk.training_set import TrainingSet

    definition = feature_definition(request.columns, request.target)
    yield Step("code", {"sources": parts.sources_digest(request.trainer), "features": definition.digest})
    with _usable("training.trainer"):
        environment = dict(parts.environment(request.trainer))
    yield Step("environment", {"environment": environment})
    directory, session = Path(request.directory), dt.date.fromisoformat(request.as_of)
    raw, assets, needed = Path(request.raw), request.assets or None, definition.measures
    rows = canonical_rows(raw, session, assets, directory / "rows", measures=needed).dataset
    _write(in_order(list(rows.tables())), directory / ROWS)
    yield _made("data", rows)
    # Without the shared store: what an earlier run left there is what a reproduction must not believe.
    with _usable("engine", "reproduce it on another engine"), parts.engine(request.engine) as engine:
        features = prepare(rows, definition, engine, directory / "features").dataset
    _write(feature_table(features), directory / FEATURES)
    yield _made("features", features)
    training = TrainingSet.of(features, definition, request.assets)
    artifact = directory / ARTIFACT
    artifact.mkdir()
    labelled, trainer = np.flatnonzero(training.known), parts.trainer(request.trainer)
    model = problem(request.problem).fit(training, labelled, trainer, request.parameters, request.seed)
    model.save(artifact)
    yield Step("training", {})


@contextmanager
def _usable(field: str, otherwise: str = "") -> Iterator[None]:
    """Where an engine or a framework is not installed here: that says nothing of the version.

    Raises:
        Unavailable: so it is no finding.
    """
    try:
        yield
    except InvalidInput as error:
        if error.field != field:
            raise
        raise Unavailable(f"{error}; or {otherwise}" if otherwise else str(error)) from error


def code_is(parts: RetrainingParts, columns: tuple[str, ...], target: str, lineage: Lineage) -> bool:
    """Whether the code that runs here is what a lineage names: sources and feature definition."""
    from domain.risk.features import feature_definition

    try:
        if parts.sources_digest(str(lineage.parameters["trainer"])) != lineage.sources:
            return False
        return feature_definition(columns, target).digest == lineage.features
    except InvalidInput:
        return False


def _made(step: Stage, dataset: Dataset) -> Step:
    listed = [part.to_json() for part in dataset.parts]
    return Step(step, {"digest": digest_of(listed), "parts": listed})


def _write(table: pa.Table, path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path)
