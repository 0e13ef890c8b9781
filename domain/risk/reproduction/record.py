"""What the registry says of a trained version: all that a second training has to go by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from domain.registry.canonical import Digest, decode
from domain.registry.catalog import ModelCatalog, ModelVersion
from domain.registry.errors import InvalidInput
from domain.registry.evidence import EVIDENCE, Evidence
from domain.registry.lineage import Lineage
from domain.risk.problems import parameters_of, problem_of
from domain.risk.reproduction.inputs import INPUTS, TrainingInputs
from domain.risk.reproduction.retraining import Retraining

ENVIRONMENT = "environment.json"
"""The name of the attachment that holds the environment whose digest is in the lineage."""


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """A version's record, each part checked against the ledger.

    Attributes:
        environment: interpreter, processor and packages by name.
        snapshot: SHA-256 of the raw data.
        code: what git called the code, or what the settings did.
        engine: what prepared the features.
    """

    version: ModelVersion
    lineage: Lineage
    inputs: TrainingInputs
    environment: Mapping[str, Any]
    snapshot: Digest
    code: str
    engine: str

    @property
    def reference(self) -> str:
        return f"{self.version.row.name}@{self.version.row.version}"

    @property
    def artifact_digest(self) -> Digest:
        return self.version.manifest.artifact.digest

    @classmethod
    def read(cls, catalog: ModelCatalog, reference: str) -> TrainingRecord:
        """The record of the version that a reference names.

        Raises:
            InvalidInput: it was trained elsewhere, or its record does not say on what.
            NotFound, IntegrityError: it is not registered, or something of it was changed.
        """
        version = catalog.show(reference)
        lineage, provenance = version.manifest.lineage, version.event.provenance
        if lineage is None:
            raise InvalidInput(
                "REF",
                reference,
                "it was trained elsewhere, the registry has no lineage to train it again from",
            )
        if "snapshot" not in provenance:
            raise InvalidInput(
                "REF", reference, "no pipeline registered it, its provenance names no snapshot of its data"
            )
        kept = {item.name: item for item in version.event.attachments}

        def document(name: str) -> bytes | None:
            return catalog.attachment(version.event, kept[name]) if name in kept else None

        inputs, environment = document(INPUTS), document(ENVIRONMENT)
        if inputs is None:
            evidence = Evidence.from_json(decode(document(EVIDENCE) or b"{}", EVIDENCE))
        return cls(
            version,
            lineage,
            TrainingInputs.of_evidence(evidence) if inputs is None else TrainingInputs.from_bytes(inputs),
            {} if environment is None else cast(Mapping[str, Any], decode(environment, ENVIRONMENT)),
            Digest(provenance["snapshot"]),
            provenance.get("code", "unknown"),
            provenance.get("engine", "inline"),
        )

    def retraining(self, raw: Path, directory: Path, engine: str) -> Retraining:
        """The request to train it again."""
        recorded = self.lineage.parameters
        return Retraining(
            raw=str(raw),
            as_of=self.lineage.as_of.isoformat(),
            assets=self.inputs.assets,
            columns=self.inputs.columns,
            target=self.inputs.target,
            trainer=str(recorded["trainer"]),
            parameters=parameters_of(recorded),
            seed=self.lineage.seed,
            engine=engine,
            directory=str(directory),
            problem=problem_of(recorded),
        )
