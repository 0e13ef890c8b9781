"""A registry with small ONNX models in it, and services that load them."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from domain.registry.canonical import encode
from domain.registry.events import DomainEvent
from domain.registry.events.lifecycle import ModelPromotedEvent, ModelRetiredEvent
from domain.registry.gates import DataValidated
from domain.registry.lifecycle.state import Lifecycle
from domain.registry.policy import Decision
from tests.exactly_once.candidates import EVIDENCE, lineage, metadata
from tests.fakes.events import AT
from veritasvault.adapters.onnx_log_linear import LogLinear
from veritasvault.bootstrap import Application, bootstrap
from veritasvault.serving.model import Model
from veritasvault.serving.model_loader import ModelLoader

COLUMNS = ["rv_1", "rv_5", "leverage"]
ROWS = np.array([[0.2, 0.3, -1.0], [0.4, 0.1, 2.0]])
ALLOWED = Decision(True, (), "a" * 64, "b" * 64)


def predictor(number: int) -> LogLinear:
    """A model that only this number has."""
    return LogLinear(
        in_logs=np.array([True, True, False]),
        floors=np.full(3, 1e-6),
        weights=np.array([0.4, 0.5, 0.01 * number]),
        intercept=-0.1,
    )


def onnx_files(number: int) -> dict[str, bytes]:
    """The files of a model as our trainers write them."""
    signature = {
        "format": 1,
        "file": "model.onnx",
        "input": {"name": "features", "dtype": "float64", "shape": ["n", 3], "columns": COLUMNS},
        "output": {"name": "annualised_volatility", "dtype": "float64", "shape": ["n"], "unit": "decimal"},
    }
    return {"model.onnx": predictor(number).to_onnx(), "signature.json": encode(signature)}


@dataclass
class Shop:
    """A home in which versions are registered, and what services with it do."""

    directory: Path
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.directory / "home"

    @property
    def cache(self) -> Path:
        return self.directory / "cache"

    def application(self) -> Application:
        return bootstrap({"VERITAS_HOME": str(self.home), **self.environment})

    def register(self, number: int, files: dict[str, bytes] | None = None, name: str = "volatility") -> str:
        """Register a model; returns its reference."""
        folder = self.directory / f"model-{name}-{number}"
        for path, content in (files or onnx_files(number)).items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(content)
        done = self.application().registration.register_model(
            metadata(name), folder, lineage=lineage(number), evidence=EVIDENCE, gates=(DataValidated(),)
        )
        return f"{done.name}@{done.version}"

    def happen(self, event: type[Any], version: int, *, signed: bool = True, **fields: Any) -> None:
        """Append an event of the lifecycle of `volatility`."""
        ledger = self.application().ledger
        sequence = Lifecycle.of(ledger.view(), "volatility").sequence
        made: DomainEvent = event(
            name="volatility",
            sequence=sequence,
            version=version,
            policy=ALLOWED,
            reason="Tests.",
            actor="tester",
            at=AT,
            **fields,
        )
        ledger.commit(lambda _: (made,))
        if signed:
            ledger.checkpoint()

    def promote(self, version: int, incumbent: int | None = None, *, signed: bool = True) -> None:
        self.happen(
            ModelPromotedEvent,
            version,
            signed=signed,
            incumbent=incumbent,
            as_of=dt.date(2022, 12, 28),
            evidence=EVIDENCE.digest,
            approvals=(),
        )

    def retire(self, version: int) -> None:
        self.happen(ModelRetiredEvent, version)

    def loader(self, cache_bytes: int = 1 << 30) -> ModelLoader:
        """A service of its own."""
        return self.application().model_loader(self.cache, cache_bytes)

    def load(self, reference: str) -> Model:
        return self.loader().load(reference)

    def copies(self) -> list[Path]:
        """The copies in the cache, finished or not."""
        return sorted(path for path in self.cache.glob("models/*/*") if path.is_dir())

    def lose_registry(self) -> None:
        shutil.rmtree(self.home / "registry")

    def lose_ledger(self) -> None:
        (self.home / "ledger.db").rename(self.home / "ledger.away")
