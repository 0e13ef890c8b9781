"""Describes a model to an OCI registry: an image manifest with the media types of ModelPack.

A model's package is a function of its own manifest, so all writers of a model id write the same bytes.
Formats: OCI image specification 1.1 (manifest.md), ModelPack model specification 1
(docs/spec.md, docs/config.md, docs/annotations.md), https://github.com/modelpack/model-spec.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from domain.registry.canonical import Digest, Json, digest, encode
from domain.registry.errors import IntegrityError
from domain.registry.manifest import Manifest, ModelId

IMAGE_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
MANIFEST_NAME = "metadata.json"
ARTIFACT = "artifact/"
_MODEL = "application/vnd.cncf.model.manifest.v1+json"
_CONFIG = "application/vnd.cncf.model.config.v1+json"
_ATTACHMENT = "application/vnd.veritasvault.attachment.v1"
_LEDGER_MARK = "application/vnd.veritasvault.ledger-mark.v1"
_EMPTY = "application/vnd.oci.empty.v1+json"
_KINDS = {
    ".json": "weight.config",
    ".csv": "dataset",
    ".parquet": "dataset",
    ".md": "doc",
    ".txt": "doc",
    ".png": "doc",
}
"""What ModelPack calls files by their suffix; everything else is weights."""
_PATH = "org.cncf.model.filepath"
_TITLE = "org.opencontainers.image.title"
"""Where `oras pull` writes a layer."""
_MODEL_ID = "org.veritasvault.model-id"
_OCI_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Layer:
    """A blob by its SHA-256, and its size in bytes."""

    sha256: Digest
    size: int


@dataclass(frozen=True, slots=True)
class Package:
    """An image manifest's bytes, and the bytes of the configuration blob that it names."""

    manifest: bytes
    config: bytes


def model_package(manifest: Manifest) -> Package:
    """A model's package: a layer for each file, `artifact/<path>`, and for its manifest, `metadata.json`."""
    data = manifest.to_bytes()
    layers = [
        _layer(_kind(file.path), Layer(file.sha256, file.size), ARTIFACT + file.path)
        for file in manifest.artifact.files
    ]
    layers.append(_layer("doc", Layer(digest(data), len(data)), MANIFEST_NAME))
    config = encode(
        {
            "descriptor": {
                "name": manifest.metadata.name,
                "description": manifest.metadata.purpose,
                "authors": [manifest.metadata.owner],
            },
            "config": {},
            # A raw layer is its own uncompressed content.
            "modelfs": {"type": "layers", "diffIds": [layer["digest"] for layer in layers]},
        }
    )
    return Package(_image(_MODEL, _CONFIG, config, layers, digest(data)), config)


def attachment_package(model_id: ModelId, content: bytes) -> Package:
    """The package that keeps an attachment of a model from being collected as a blob that nobody names."""
    layer = _layer(None, Layer(digest(content), len(content)), f"attachments/{digest(content)}")
    return Package(_image(_ATTACHMENT, _EMPTY, b"{}", [layer], model_id), b"{}")


def mark_package(mark: bytes) -> Package:
    """The package that keeps the registry's mark."""
    layer = _layer(None, Layer(digest(mark), len(mark)), "ledger.json")
    return Package(_image(_LEDGER_MARK, _EMPTY, b"{}", [layer], None), b"{}")


def layers_of(data: bytes, name: str) -> Mapping[str, Layer]:
    """The layers of an image manifest by path; `name` says in errors whose it is.

    Raises:
        IntegrityError: it is not an image manifest whose layers have paths.
    """
    try:
        layers = json.loads(data)["layers"]
        found = {layer["annotations"][_PATH]: _read(layer) for layer in layers}
        if len(found) != len(layers):
            raise ValueError("two layers have the same path")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityError(
            f"the image manifest of {name} cannot be read, restore it from a backup: {error!r}"
        ) from error
    return found


def _read(layer: Mapping[str, Any]) -> Layer:
    match = _OCI_DIGEST.fullmatch(layer["digest"])
    size = layer["size"]
    if match is None or not isinstance(size, int) or size < 0:
        raise ValueError("a layer has no SHA-256 and size")
    return Layer(Digest(match.group(1)), size)


def _kind(path: str) -> str:
    return _KINDS.get(PurePosixPath(path).suffix.lower(), "weight")


def _layer(kind: str | None, layer: Layer, path: str) -> dict[str, Any]:
    return {
        "mediaType": "application/octet-stream"
        if kind is None
        else f"application/vnd.cncf.model.{kind}.v1.raw",
        "digest": f"sha256:{layer.sha256}",
        "size": layer.size,
        "annotations": {_PATH: path, _TITLE: path},
    }


def _image(
    kind: str, config_kind: str, config: bytes, layers: list[dict[str, Any]], model_id: str | None
) -> bytes:
    image: dict[str, Json] = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": kind,
        "config": {"mediaType": config_kind, "digest": f"sha256:{digest(config)}", "size": len(config)},
        "layers": layers,
    }
    if model_id is not None:
        image["annotations"] = {_MODEL_ID: model_id}
    return encode(image)
