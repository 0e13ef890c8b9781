"""skops files in a canonical form: the same model gives the same bytes, in every process.

skops names objects by their address in memory and stamps the archive with the time of day
(https://github.com/skops-dev/skops, `skops/io/_utils.py` and `_persist.py`); both are replaced here.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from typing import Any

SCHEMA = "schema.json"
TRUSTED_TYPES = ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",)
"""What our files hold beyond the types that skops trusts by itself."""

_EARLIEST = (1980, 1, 1, 0, 0, 0)
# Python shares equal constants or not, depending on where they come from; nothing is lost without their ids.
_IMMUTABLE = frozenset({"JsonNode", "TypeNode"})


def dump_canonical(model: object) -> bytes:
    """The model as a skops file whose bytes depend on the model alone."""
    import skops.io

    return canonical(skops.io.dumps(model))


def load_trusted(content: bytes) -> Any:
    """The model of a skops file that holds no types but skops' own and `TRUSTED_TYPES`.

    Raises:
        skops.io.exceptions.UntrustedTypesFoundException: it holds others.
    """
    import skops.io

    return skops.io.loads(content, trusted=list(TRUSTED_TYPES))


def canonical(content: bytes) -> bytes:
    """Rewrite a skops file: ids by order of appearance, files named by number, no dates, compact JSON.

    The order of a dictionary's items stays, because skops keeps the types of its keys in a parallel list.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        schema = json.loads(archive.read(SCHEMA))
        files = {name: archive.read(name) for name in archive.namelist() if name != SCHEMA}
    ids: dict[int, int] = {}
    names: dict[str, str] = {}
    for node in _nodes(schema):
        if "__id__" in node:
            if node["__loader__"] in _IMMUTABLE:
                del node["__id__"]
            else:
                node["__id__"] = ids.setdefault(node["__id__"], len(ids) + 1)
        if node.get("file") in files:
            old = node["file"]
            suffix = old.rpartition(".")[2]
            node["file"] = names.setdefault(old, f"{len(names):06d}.{suffix}")
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for old, new in names.items():
            archive.writestr(_entry(new), files[old])
        archive.writestr(_entry(SCHEMA), json.dumps(schema, separators=(",", ":")))
    return written.getvalue()


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every node of a skops schema, parents first, in the order in which the file lists them."""
    if isinstance(value, dict):
        if "__loader__" in value:
            yield value
        for item in value.values():
            yield from _nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EARLIEST)
    entry.create_system = 3
    entry.external_attr = 0o600 << 16
    return entry
