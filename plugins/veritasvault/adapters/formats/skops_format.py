"""skops files: a zip of arrays and a schema in which only known types of NumPy, SciPy and sklearn appear."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import IO, Any

from veritasvault.adapters.formats import numpy_format
from veritasvault.adapters.formats.base import CHUNK, Refused, strict_json
from veritasvault.adapters.formats.zip_archive import Member, MemberReader, members

_REMEDY = "store a plain scikit-learn estimator, or export the model to ONNX"
_SCHEMA = "schema.json"
_LARGEST_SCHEMA = 32 << 20
# Sparse matrices (.npz) are no types that skops trusts by itself, so they need no parser.
_ARRAY = re.compile(r"[0-9A-Za-z_-]{1,100}\.npy")
_PACKAGES = frozenset({"builtins", "collections", "numpy", "scipy", "sklearn"})
# No node that calls what the file names: reduce, methods, partials and operators are left out.
_LOADERS = frozenset(
    {
        "CachedNode", "DTypeNode", "DefaultDictNode", "DictNode", "FunctionNode", "JsonNode", "ListNode",
        "LossNode", "MaskedArrayNode", "NdArrayNode", "ObjectNode", "RandomGeneratorNode",
        "RandomStateNode", "SetNode", "SliceNode", "TreeNode", "TupleNode", "TypeNode",
    }
)  # fmt: skip
_PROTOCOLS = (2,)


def check(file: IO[bytes], size: int) -> None:
    """Refuse every type that skops does not trust by itself, and every byte that no member accounts for."""
    found = {member.name: member for member in members(file, size)}
    schema_member = found.pop(_SCHEMA, None)
    if schema_member is None or schema_member.size > _LARGEST_SCHEMA:
        raise Refused("it has no schema.json, or one of more than 32 MiB", _REMEDY)
    for member in found.values():
        _check_array(file, member)
    text = _read(file, schema_member)
    schema = strict_json(text, "its schema.json", _REMEDY)
    if not isinstance(schema, dict) or schema.get("protocol") not in _PROTOCOLS:
        raise Refused("its schema is of another protocol than 2", "write it again with a current skops")
    used = set(_files(schema))
    if used != found.keys():
        odd = sorted(used ^ found.keys())[0]
        raise Refused(f"schema and members disagree on {odd!r}", _REMEDY)
    _check_types(text, list(found))


def _check_array(file: IO[bytes], member: Member) -> None:
    if not _ARRAY.fullmatch(member.name):
        raise Refused(f"member {member.name!r} is neither schema.json nor an array", _REMEDY)
    try:
        reader = MemberReader(file, member)
        numpy_format.check(reader, member.size)
        reader.finish()
    except Refused as refused:
        raise Refused(f"member {member.name!r}: {refused.reason}", _REMEDY) from refused


def _read(file: IO[bytes], member: Member) -> bytes:
    reader = MemberReader(file, member)
    content = b"".join(iter(lambda: reader.read(CHUNK), b""))
    reader.finish()
    return content


def _files(schema: Any) -> Iterator[str]:
    """The members that nodes refer to; refuses nodes of other kinds and packages on the way."""
    pending = [schema]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            pending.extend(value.values())
            if "__loader__" in value:
                _check_node(value)
            if "file" in value and value.get("__loader__") == "NdArrayNode":
                yield str(value["file"])


def _check_node(node: dict[str, Any]) -> None:
    loader, module = node["__loader__"], node.get("__module__")
    if loader not in _LOADERS:
        raise Refused(f"its schema asks for {loader!r}, which can call code", _REMEDY)
    if not isinstance(module, str) or module.partition(".")[0] not in _PACKAGES:
        raise Refused(f"its schema names {module!r}.{node.get('__class__')!r}", _REMEDY)


def _check_types(schema: bytes, names: list[str]) -> None:
    """Ask skops for types outside of its own list; it gets the schema with empty arrays, to spare memory."""
    try:
        from skops.io import get_untrusted_types
    except ImportError as error:
        raise Refused(
            "types in it cannot be checked without the package skops", "install veritasvault[training]"
        ) from error
    stub = io.BytesIO()
    with zipfile.ZipFile(stub, "w") as archive:
        archive.writestr(_SCHEMA, schema)
        for name in names:
            archive.writestr(name, b"")
    try:
        untrusted = get_untrusted_types(data=stub.getvalue())
    except Exception as error:
        # skops reads what strangers wrote; whatever it trips over is a reason to refuse.
        raise Refused(f"skops cannot read its schema ({type(error).__name__}: {error})", _REMEDY) from error
    if untrusted:
        raise Refused(f"it holds types that are not trusted: {', '.join(untrusted)}", _REMEDY)
