"""Candidates and systems for the tests that kill, race and tamper."""

from __future__ import annotations

import datetime as dt
import json
import os
import struct
from pathlib import Path

from domain.registry.canonical import digest
from domain.registry.evidence import DataValidation, Evidence
from domain.registry.gates import DataValidated
from domain.registry.lineage import Lineage
from domain.registry.metadata import ModelMetadata, RiskTier
from domain.registry.registration import RegisteredModel
from veritasvault.bootstrap import Application

EVIDENCE = Evidence(metrics={"qlike": 0.5}, data_validation=DataValidation(3))


def metadata(name: str = "volatility") -> ModelMetadata:
    return ModelMetadata(
        name=name,
        purpose="Forecast volatility.",
        owner="quant-research",
        risk_tier=RiskTier.LOW,
        framework="tests",
        intended_use="Tests.",
        limitations="Knows nothing.",
    )


def lineage(candidate: int) -> Lineage:
    same = digest(b"the same for all candidates")
    return Lineage(same, same, same, same, {"candidate": candidate}, candidate, dt.date(2022, 12, 28))


def write_safetensors(path: Path, payload: bytes) -> None:
    """One tensor of bytes in the safetensors format: header length, JSON header, payload."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(payload)], "data_offsets": [0, len(payload)]}})
    padded = header.encode().ljust(-len(header) % 8 + len(header))
    path.write_bytes(struct.pack("<Q", len(padded)) + padded + payload)


def write_artifact(directory: Path, candidate: int, large: int = 0) -> Path:
    """A directory of two small files and, if `large` is given, one of so many bytes."""
    folder = directory / f"candidate-{candidate}"
    if folder.exists():
        return folder
    (folder / "notes").mkdir(parents=True)
    (folder / "signature.json").write_text(json.dumps({"candidate": candidate}))
    (folder / "notes" / "about.txt").write_text(f"Candidate {candidate}.\n")
    if large:
        block = candidate.to_bytes(8, "big") * 128
        write_safetensors(folder / "model.safetensors", (block * (large // len(block) + 1))[:large])
    return folder


def register(application: Application, directory: Path, candidate: int, large: int = 0) -> RegisteredModel:
    return application.registration.register_model(
        metadata(),
        write_artifact(directory, candidate, large),
        lineage=lineage(candidate),
        evidence=EVIDENCE,
        gates=(DataValidated(),),
        provenance={"pid": str(os.getpid())},
    )
