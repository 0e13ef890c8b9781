"""Runs the real command in a process of its own, and makes a home with something in it."""

from __future__ import annotations

import datetime as dt
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from domain.registry.canonical import digest
from domain.registry.errors import GateFailed
from domain.registry.evidence import Attachment, DataValidation, Evidence, LookAhead
from domain.registry.gates import BetterThanBaseline, DataValidated, NoLookAhead, Threshold
from domain.registry.lineage import Lineage
from domain.registry.metadata import ModelMetadata
from tests.cli.warm_veritas import BYTECODE, WarmVeritas
from veritasvault.bootstrap import Application, bootstrap

SCRIPT = Path(sys.executable).parent / "veritas"
METADATA = {
    "name": "vendor_vol",
    "purpose": "Forecast volatility",
    "owner": "quant",
    "risk_tier": 2,
    "framework": "vendor 7",
    "intended_use": "Position sizing",
    "limitations": "US equities only",
}
PATIENCE = 300.0
_PERMISSIONS = (1, 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, which let root ignore permissions."""

_warm = cache(WarmVeritas)
"""One for each process that runs tests; it ends with it, when the other end of its socket is closed."""


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """The one line on standard error, without the program's name."""
        assert self.err.startswith("veritas: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("veritas: ").rstrip("\n")


@dataclass(frozen=True)
class Console:
    """A home, a working directory, and the command on them."""

    home: Path
    directory: Path
    settings: dict[str, str] = field(default_factory=dict)
    obeys_permissions: bool = False

    def run(self, *arguments: object, code: int | None = 0) -> Answer:
        """Run `veritas` and require the exit code; no command may print a traceback."""
        drop = _PERMISSIONS if self.obeys_permissions and os.geteuid() == 0 else ()
        given = [str(argument) for argument in arguments]
        answer = Answer(*_warm().run(given, self.directory, self.environment(), drop, patience=PATIENCE))
        assert "Traceback" not in answer.err + answer.out, answer
        assert code is None or answer.code == code, answer
        return answer

    def command(self, arguments: Sequence[object]) -> list[str]:
        return [str(SCRIPT), *map(str, arguments)]

    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
        return {
            **kept,
            "PYTHONPYCACHEPREFIX": BYTECODE.name,
            "VERITAS_HOME": str(self.home),
            "VERITAS_CODE_VERSION": "test",
            **self.settings,
        }

    @property
    def ledger(self) -> Path:
        return self.home / "ledger.db"

    def application(self) -> Application:
        return bootstrap({"VERITAS_HOME": str(self.home), "VERITAS_CODE_VERSION": "test"})


def vendor_model(directory: Path) -> tuple[Path, Path]:
    """A metadata file and an artifact of two files of allowed formats."""
    metadata, artifact = directory / "model.json", directory / "model"
    metadata.write_text(json.dumps(METADATA))
    artifact.mkdir()
    (artifact / "config.json").write_text('{"alpha": 1}\n')
    (artifact / "table.csv").write_text("asset,weight\nAAPL,0.5\n")
    return metadata, artifact


def register_forecast(application: Application, directory: Path) -> None:
    """Register `forecast`, trained here: with lineage, evidence, gates and a plot; and have one refused."""
    artifact = directory / "weights.json"
    artifact.write_text('{"weights": [0.1, 0.9]}\n')
    gates = (
        BetterThanBaseline("qlike", "ewma", 0.02),
        Threshold("qlike", maximum=1.0),
        DataValidated(),
        NoLookAhead(),
    )
    metadata = ModelMetadata.from_json({**METADATA, "name": "forecast"})
    plot = Attachment("calibration.svg", "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    for seed, qlike in ((1, 0.544), (2, 0.7)):
        lineage = Lineage(
            **{name: digest(name.encode()) for name in ("data", "features", "sources", "environment")},
            parameters={"trainer": "ridge", "alpha": 1.0},
            seed=seed,
            as_of=dt.date(2022, 6, 30),
        )
        evidence = Evidence(
            metrics={"qlike": qlike, "rmse": 0.16},
            baselines={"ewma": {"qlike": 0.586, "rmse": 0.162}, "persistence": {"qlike": 1.393}},
            data_validation=DataValidation(12),
            look_ahead=LookAhead(("2020-01-02",), 8),
        )
        try:
            application.registration.register_model(
                metadata,
                artifact,
                lineage=lineage,
                evidence=evidence,
                gates=gates,
                attachments=(plot,),
                provenance={"actor": "tester", "run": "manual__1"},
            )
        except GateFailed:
            assert seed == 2


def stored(home: Path, model_id: str) -> Path:
    """Where the file system registry keeps a model."""
    return home / "registry" / "models" / model_id
