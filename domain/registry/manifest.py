"""The manifest: canonical bytes of metadata, lineage and artifact digests; its SHA-256 is the model id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NewType

from domain.registry.artifact import Artifact
from domain.registry.canonical import Digest, as_digest, decode, digest, encode
from domain.registry.errors import DomainException, IntegrityError, InvalidInput
from domain.registry.lineage import Lineage
from domain.registry.metadata import ModelMetadata
from domain.registry.records import Fields

MANIFEST_FORMAT = "veritasvault/manifest/v1"

ModelId = NewType("ModelId", str)
"""SHA-256 of a manifest, 64 lower-case hexadecimal characters."""


def as_model_id(field: str, value: object) -> ModelId:
    """Return the value as a model id, or raise InvalidInput."""
    return ModelId(as_digest(field, value))


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model is. Nothing that may differ between two runs of the same work belongs in here.

    Attributes:
        lineage: None for a model trained elsewhere.
    """

    metadata: ModelMetadata
    lineage: Lineage | None
    artifact: Artifact

    @property
    def recipe(self) -> Digest | None:
        return None if self.lineage is None else self.lineage.recipe

    @property
    def model_id(self) -> ModelId:
        return ModelId(digest(self.to_bytes()))

    def to_bytes(self) -> bytes:
        return encode(
            {
                "format": MANIFEST_FORMAT,
                "metadata": self.metadata.to_json(),
                "lineage": None if self.lineage is None else self.lineage.to_json(),
                "artifact": self.artifact.to_json(),
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes, what: str = "manifest") -> Manifest:
        """Read what `to_bytes` writes.

        Raises:
            IntegrityError: for anything else, naming `what`.
        """
        try:
            fields = Fields.of("manifest", decode(data, what), ("format", "metadata", "lineage", "artifact"))
            if fields.values["format"] != MANIFEST_FORMAT:
                raise InvalidInput(
                    "manifest.format", fields.values["format"], f"only {MANIFEST_FORMAT} is known"
                )
            lineage = fields.values["lineage"]
            manifest = cls(
                ModelMetadata.from_json(fields.values["metadata"]),
                None if lineage is None else Lineage.from_json(lineage),
                Artifact.from_json(fields.values["artifact"]),
            )
        except IntegrityError:
            raise
        except DomainException as error:
            raise IntegrityError(f"{what} is not a manifest: {error}") from error
        if manifest.to_bytes() != data:
            raise IntegrityError(f"{what} is not a manifest: reading and writing it gives other bytes")
        return manifest
