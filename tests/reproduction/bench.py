"""Trains versions of the volatility model on real prices, and registers them, with a record that may lie."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import polars as pl

from domain.registry.canonical import encode
from domain.registry.evidence import Attachment, Evidence
from domain.registry.lineage import Lineage
from domain.risk.pipeline import Candidate, ModelPipeline, RunRequest
from domain.risk.ports import PrepEnginePort, TrackedRun, TrainerPort
from domain.risk.reproduction.service import Reproduction, Reproductions, Request
from domain.risk.spec import ModelSpec
from domain.risk.workspace import read_record
from veritasvault.adapters.uri_source import UriSource
from veritasvault.bootstrap import Application
from veritasvault.settings import Settings

SPEC = Path(__file__).parents[2] / "dags" / "volatility_forecast.toml"
NAME = "volatility_forecast"
ASSETS = ["AAPL", "KO", "XOM"]
SESSION = "2016-03-31"


class Untracked:
    """An experiment tracker that keeps nothing: what it gives is not compared with anything."""

    def track(self, run: TrackedRun) -> str:
        return "-"


class Watched:
    """A prep engine that notes how many tasks it is given at a time: two or more start a real one."""

    def __init__(self, engine: PrepEnginePort, noted: list[int]) -> None:
        self.name = engine.name
        self._engine = engine
        self._noted = noted

    def map(self, task: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
        self._noted.append(len(items))
        return self._engine.map(task, items)

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._engine.__exit__(*exc)


class Workbench(Application):
    """The system, without what costs seconds and has no say in a training; its trainers can be replaced."""

    tracker = Untracked()

    def __init__(self, home: Path, **settings: str) -> None:
        super().__init__(Settings.read({"VERITAS_HOME": str(home), **settings}))
        self.replaced: Callable[[TrainerPort], TrainerPort] = lambda trainer: trainer
        self.tasks: list[int] = []

    def engine(self, name: str) -> PrepEnginePort:
        return Watched(super().engine(name), self.tasks)

    def plots(self, problem: str, name: str, evaluation: Any) -> tuple[Attachment, ...]:
        return ()

    def trainer(self, name: str) -> TrainerPort:
        return self.replaced(super().trainer(name))


@dataclass(frozen=True)
class Trained:
    """A candidate, and what a registration of it says."""

    candidate: Candidate
    lineage: Lineage
    attachments: Mapping[str, Attachment]
    evidence: Evidence
    provenance: Mapping[str, str]


@dataclass
class Bench:
    """One home, with a panel of real prices in it."""

    home: Path
    application: Workbench
    spec: ModelSpec = field(default_factory=lambda: ModelSpec.load(SPEC))

    @classmethod
    def at(cls, home: Path, **settings: str) -> Bench:
        return cls(home, Workbench(home, **settings))

    def copy(self, home: Path, **settings: str) -> Bench:
        """The same in a home of its own."""
        shutil.copytree(self.home, home)
        return Bench.at(home, **settings)

    @property
    def source(self) -> Path:
        return self.home / "panel.parquet"

    def write_panel(self, first_year: int = 2011) -> None:
        self.home.mkdir(parents=True)
        frame = pl.read_parquet(UriSource().fetch("sample://sp500", self.home / "sample"))
        years = pl.col("date").is_between(dt.date(first_year, 1, 1), dt.date(2016, 12, 31))
        frame.filter(years & pl.col("asset").is_in(ASSETS)).write_parquet(self.source)

    def train(self, engine: str = "inline", trainer: str = "ridge") -> Trained:
        """All steps of the pipeline before the registration, but the validation."""
        training = replace(self.spec.training, trainer=trainer)
        pipeline = ModelPipeline(replace(self.spec, training=training), self.application)
        request = RunRequest(dt.datetime.now(dt.UTC), as_of=SESSION, source=str(self.source))
        candidate = pipeline.train(pipeline.prepare(pipeline.ingest(request), engine), {})
        record, attachments = read_record(Path(candidate.path))
        rows = candidate.rows
        return Trained(
            candidate,
            Lineage.from_json(record["lineage"]),
            {item.name: item for item in attachments},
            Evidence.from_json(record["evidence"]),
            {
                "code": self.application.code_version(),
                "engine": engine,
                "snapshot": rows["snapshot"],
                "snapshot_id": rows["snapshot_id"],
            },
        )

    def register(self, trained: Trained, name: str = NAME) -> str:
        """Register as it is told; the reference."""
        registered = self.application.registration.register_model(
            replace(self.spec, model={**self.spec.model, "name": name}).metadata("scikit-learn"),
            Path(trained.candidate.path) / "artifact",
            lineage=trained.lineage,
            evidence=trained.evidence,
            attachments=tuple(trained.attachments.values()),
            provenance=trained.provenance,
        )
        assert registered.outcome == "registered"
        return f"{registered.name}@{registered.version}"

    def reproduce(
        self, reference: str, engine: str | None = None, *, here: bool = False, run: str = "test"
    ) -> Reproduction:
        request = Request(reference, run, self.application.provenance(), engine, here)
        return Reproductions(self.application).reproduce(request)


def with_json(trained: Trained, name: str, document: Any) -> Trained:
    """The same with another attachment of a name."""
    other = Attachment(name, "application/json", encode(document))
    return replace(trained, attachments={**trained.attachments, name: other})
