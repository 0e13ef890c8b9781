"""Two versions of a model side by side: what they measured, and what made them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from domain.registry.canonical import decode
from domain.registry.catalog import ModelCatalog, ModelVersion
from domain.registry.evidence import EVIDENCE, Evidence
from domain.registry.ports import VersionRow

_ABOUT_DATA = ("source", "snapshot", "snapshot_id", "engine")
_ABOUT_CODE = ("code", "author")


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that two versions may differ in; None on the side that does not have it."""

    name: str
    left: Any
    right: Any


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions by name of what they have, equal things included."""

    left: VersionRow
    right: VersionRow
    metrics: tuple[Difference, ...]
    parameters: tuple[Difference, ...]
    features: tuple[Difference, ...]
    data: tuple[Difference, ...]
    code: tuple[Difference, ...]


def compare(catalog: ModelCatalog, name: str, left: int, right: int) -> Comparison:
    """Compare two versions of a name.

    Raises:
        NotFound, InvalidInput: there is none.
        IntegrityError: something of one was changed.
    """
    versions = [catalog.show(f"{name}@{version}") for version in (left, right)]
    evidence = [_evidence(catalog, version) for version in versions]
    return Comparison(
        versions[0].row,
        versions[1].row,
        _beside(*({} if one is None else one.metrics for one in evidence)),
        _beside(*map(_parameters, versions)),
        _beside(*map(_features, versions, evidence)),
        _beside(*map(_data, versions, evidence)),
        _beside(*map(_code, versions)),
    )


def _beside(left: Mapping[str, Any], right: Mapping[str, Any]) -> tuple[Difference, ...]:
    """In the order of the left one's names, then of what only the right one has."""
    return tuple(Difference(name, left.get(name), right.get(name)) for name in {**left, **right})


def _evidence(catalog: ModelCatalog, version: ModelVersion) -> Evidence | None:
    kept = next((one for one in version.event.attachments if one.name == EVIDENCE), None)
    if kept is None:
        return None
    content = catalog.attachment(version.event, kept)
    return Evidence.from_json(decode(content, f"{EVIDENCE} of {version.row.name}@{version.row.version}"))


def _parameters(version: ModelVersion) -> dict[str, Any]:
    lineage = version.manifest.lineage
    if lineage is None:
        return {"framework": version.manifest.metadata.framework}
    return {
        "framework": version.manifest.metadata.framework,
        **dict(sorted(lineage.parameters.items(), key=lambda item: (item[0] != "trainer", item[0]))),
        "seed": lineage.seed,
    }


def _features(version: ModelVersion, evidence: Evidence | None) -> dict[str, Any]:
    lineage = version.manifest.lineage
    said = {} if evidence is None else evidence.details
    return {
        **({} if lineage is None else {"feature definition": lineage.features}),
        **{feature["name"]: feature.get("about", "") for feature in said.get("features", ())},
        **({"target": said["target"]["name"]} if "target" in said else {}),
    }


def _data(version: ModelVersion, evidence: Evidence | None) -> dict[str, Any]:
    lineage, origin = version.manifest.lineage, version.event.provenance
    said = {} if evidence is None else evidence.details.get("data", {})
    return {
        **({} if lineage is None else {"as of": lineage.as_of.isoformat(), "rows": lineage.data}),
        **{name: origin[name] for name in _ABOUT_DATA if name in origin},
        **said,
        **({} if evidence is None else {"assets": len(evidence.assets_covered)}),
    }


def _code(version: ModelVersion) -> dict[str, Any]:
    lineage, origin = version.manifest.lineage, version.event.provenance
    return {
        **{name: origin[name] for name in _ABOUT_CODE if name in origin},
        **(
            {}
            if lineage is None
            else {"pipeline sources": lineage.sources, "environment": lineage.environment}
        ),
        "artifact": version.event.artifact_digest,
    }
