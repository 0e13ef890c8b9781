"""What a version was trained on, beside the digests of its lineage: an attachment of each trained version.

The lineage says by digests what has to come out again; this says what to compute, and which part of rows and
features is another if a digest is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domain.registry.canonical import Digest, decode, digest_of, encode
from domain.registry.errors import IntegrityError, InvalidInput
from domain.registry.evidence import Attachment, Evidence
from domain.registry.records import Fields

if TYPE_CHECKING:
    from domain.risk.dataset import Dataset

INPUTS = "inputs.json"
"""The name of the attachment."""

INPUTS_FORMAT = "veritasvault/inputs/v1"

PartRecord = Mapping[str, Any]
"""A part of a dataset: `name`, `rows`, `sha256` and what else its format has; kept as it was written."""


@dataclass(frozen=True, slots=True)
class TrainingInputs:
    """How the data of a training is named and divided.

    Attributes:
        columns: references of the features, in order.
        target: reference of the target.
        assets: the assets that the run asked for.
        rows, features: the parts of the two datasets; None where the version is from before they were kept.
        tolerance: of the trainer, see `TrainerPort`; what it declared then is what counts later.
    """

    columns: tuple[str, ...]
    target: str
    assets: tuple[str, ...]
    rows: tuple[PartRecord, ...] | None
    features: tuple[PartRecord, ...] | None
    tolerance: float = 0.0

    @property
    def feature_set(self) -> Digest | None:
        """The feature set's digest."""
        return None if self.features is None else digest_of([dict(part) for part in self.features])

    def attachment(self) -> Attachment:
        """The bytes that are kept with the version."""
        document: dict[str, Any] = {
            "format": INPUTS_FORMAT,
            "columns": list(self.columns),
            "target": self.target,
            "assets": list(self.assets),
            "rows": [dict(part) for part in self.rows or ()],
            "features": [dict(part) for part in self.features or ()],
            "tolerance": self.tolerance,
        }
        return Attachment(INPUTS, "application/json", encode(document))

    @classmethod
    def from_bytes(cls, data: bytes) -> TrainingInputs:
        """Read what `attachment` writes.

        Raises:
            IntegrityError: for anything else.
        """
        try:
            names = ("format", *cls.__slots__)
            fields = Fields.of("inputs", decode(data, INPUTS), names)
            if fields.values["format"] != INPUTS_FORMAT:
                raise InvalidInput("inputs.format", fields.values["format"], f"only {INPUTS_FORMAT} is known")
            return cls(
                tuple(fields.items("columns")),
                fields.text("target"),
                tuple(fields.items("assets")),
                tuple(fields.items("rows")),
                tuple(fields.items("features")),
                float(fields.values["tolerance"]),
            )
        except InvalidInput as error:
            raise IntegrityError(f"{INPUTS} is not what a training writes: {error}") from error

    @classmethod
    def of_evidence(cls, evidence: Evidence) -> TrainingInputs:
        """What can be told of a version from before inputs were kept: the names in its evidence.

        Raises:
            InvalidInput: the evidence names no features.
        """
        about = evidence.details
        try:
            columns = tuple(str(feature["name"]) for feature in about["features"])
            target = str(about["target"]["name"])
        except (KeyError, TypeError) as error:
            raise InvalidInput(
                "REF", "a version without named features", "it cannot be trained again, nothing says on what"
            ) from error
        return cls(columns, target, evidence.assets_expected, None, None)


def training_inputs(
    columns: Sequence[str],
    target: str,
    assets: Sequence[str],
    rows: Dataset,
    features: Dataset,
    tolerance: float,
) -> Attachment:
    """The attachment of a training."""
    return TrainingInputs(
        tuple(columns), target, tuple(assets), parts_of(rows), parts_of(features), tolerance
    ).attachment()


def parts_of(dataset: Dataset) -> tuple[PartRecord, ...]:
    """The parts of a dataset, in the form whose digest is the dataset's."""
    return tuple(part.to_json() for part in dataset.parts)
