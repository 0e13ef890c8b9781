"""What the pipelines need from the outside.

Every port raises `Unavailable` when the thing behind it cannot be used now, and lets no foreign exception
through.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from domain.registry.canonical import Digest
from domain.registry.evidence import Attachment, DataValidation, OnnxAgreement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from domain.risk.block_store import BlockStore
    from domain.risk.dataset import Dataset
    from domain.risk.parameters import TrainerParameter
    from domain.risk.trial import Trial
    from domain.risk.tuning_spec import ParameterRange

    Floats = NDArray[np.float64]

Item = TypeVar("Item")
Result = TypeVar("Result")


class SourcePort(Protocol):
    """Reads raw market data."""

    def fetch(self, uri: str, destination: Path) -> Path:
        """Copy what a URI names into the directory `destination` and return the file (.parquet or .csv).

        URIs: `sample://sp500`, `sample://vault_flows/SEED`, a path or `file://`, `s3://bucket/key`,
        `snapshot:<sha256>`.

        Raises:
            NoSuchSource: the file or the object does not exist.
            InvalidInput: no such scheme or bucket, or a format that is neither Parquet nor CSV.
        """

    def grows(self, uri: str) -> bool:
        """Whether later rows may still arrive; False for samples and snapshots."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """An immutable version of raw data: SHA-256 of its bytes, and the snapshot store's id (`md5:…`)."""

    sha256: Digest
    store_id: str
    size: int


class SnapshotPort(Protocol):
    """Content-addressed versions of raw data; parallel calls never fail on a lock."""

    def snapshot(self, path: Path) -> Snapshot:
        """Keep a file's bytes; the same bytes give the same snapshot."""

    def materialize(self, sha256: Digest, destination: Path) -> Path:
        """Write a snapshot's file into the directory `destination`.

        Raises:
            NotFound: no such snapshot.
            IntegrityError: its bytes changed.
        """

    def examine(self, sha256: Digest, destination: Path) -> Path:
        """Write what is kept for a snapshot, changed or not, to find out what changed.

        Raises:
            NotFound: no such snapshot.
        """


class CalendarPort(Protocol):
    """A trading calendar, by its `exchange_calendars` name."""

    def last_closed(self, calendar: str, instant: dt.datetime) -> dt.date:
        """The last session whose close is at or before the instant (which has a time zone).

        Raises:
            InvalidInput: no such calendar, or an instant outside its range.
        """

    def sessions(self, calendar: str, start: dt.date, stop: dt.date) -> list[dt.date]:
        """The sessions from start to stop, both included."""

    def first_session(self, calendar: str, day: dt.date) -> dt.date:
        """The first session on a day or after it."""

    def closes_at(self, calendar: str, session: dt.date) -> dt.datetime:
        """The moment a session closes."""


class PrepEnginePort(Protocol):
    """An executor over partitions: it distributes a function and has no say in what is computed."""

    name: str

    def map(self, task: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Results in the order of the items; task, items and results are picklable and small (paths)"""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


class TrainedModel(Protocol):
    """A model in memory."""

    def predict(self, features: Floats) -> Floats:
        """What its problem asks for; forecasts of shape (n,) for features of shape (n, k) if it forecasts."""

    def save(self, directory: Path) -> OnnxAgreement | None:
        """Write the artifact in an allowed format; the same model gives the same bytes.

        Returns:
            How well the ONNX file that it wrote answers as the model does; None if it wrote none.
        """


class RegisteredForecastPort(Protocol):
    """Runs what the registry holds, verified before it is opened."""

    def forecast(self, reference: str, features: Floats, names: Sequence[str]) -> Floats:
        """Forecasts of shape (n,) by a registered version, for features (n, k) with these names.

        Of shape (k, k) by one that answers with a matrix over the names, as a covariance is.

        Raises:
            NotFound: no such version.
            InvalidInput: the version's format cannot be run here, or it takes other features.
            IntegrityError, NotVerified: it is not what was registered.
        """


class ShippedVersionPort(Protocol):
    """A registered version that tasks on workers open, each for itself: picklable, and without any secret."""

    @property
    def model_id(self) -> str:
        """What it is, whatever its name will mean later."""

    def forecast(self, features: Floats, names: Sequence[str]) -> Floats:
        """Verify the version, open it, and forecast, shape (n,), for features (n, k) with these names.

        Raises:
            InvalidInput: its format cannot be run here, it takes other features, or it does not answer with
                one number for each row.
            IntegrityError, NotVerified: it is not what was registered.
            Unavailable: the worker does not find it as it was verified; the same work may succeed later.
        """


class TrainerPort(Protocol):
    """Trains one kind of model, deterministically in its inputs.

    A trainer for another problem than forecasts says which by an attribute `problem`, and that problem says
    what its rows, columns and target are; see `domain.risk.problems`.

    Attributes:
        tolerance: by how much of its value a forecast may differ between two trainings on the same inputs; 0
            for a trainer that gives the same artifact, bit for bit.
    """

    framework: str
    tolerance: float

    def parameters(self) -> Mapping[str, TrainerParameter]:
        """The parameters a spec or a run may set."""

    def train(
        self,
        features: Floats,
        target: Floats,
        parameters: Mapping[str, Any],
        seed: int,
        names: Sequence[str] = (),
    ) -> TrainedModel:
        """Fit on features (n, k) and target (n,), n >= 1, all finite; the target is (0,) if none is learnt.

        Args:
            names: the features' names, which the artifact's signature lists; numbered when left out.

        Raises:
            InvalidInput: naming the parameter that is unknown, or has a wrong type or range.
        """


class SearchPort(Protocol):
    """Says which parameters are worth a try."""

    @property
    def version(self) -> str:
        """What proposes, and its release: another one may propose otherwise.

        Raises:
            InvalidInput: it is not installed.
        """

    def propose(
        self, space: Mapping[str, ParameterRange], tried: Sequence[Trial], count: int, seed: int
    ) -> list[dict[str, bool | int | float | str]]:
        """So many combinations of a space; a function of its arguments alone.

        So a search goes on where it was killed, and finds the same.

        Raises:
            InvalidInput: what searches is not installed.
        """


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What a data validation found, its machine-readable results, and where people can read them."""

    summary: DataValidation
    attachments: tuple[Attachment, ...]
    report: str


class DataValidatorPort(Protocol):
    """Checks raw rows and prepared features against the expectations in `domain/risk/expectations.py`."""

    def validate(
        self,
        rows: Dataset,
        features: Dataset,
        run: str,
        *,
        store: BlockStore | None = None,
        measures: Sequence[str] = (),
    ) -> ValidationReport:
        """Check both; `run` names the report for people.

        What is found does not depend on `store`, which keeps what need not be judged again.

        Args:
            measures: columns that the rows have beside the price.
        """


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What a tracker keeps of a training.

    Attributes:
        key: tracking the same key again updates the same run.
        files: plots and reports by file name.
    """

    experiment: str
    key: str
    parameters: Mapping[str, Any]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: tuple[Attachment, ...]


class TrackerPort(Protocol):
    """Experiment runs."""

    def track(self, run: TrackedRun) -> str:
        """Record the run, idempotent in its key, and return the tracker's run id."""
