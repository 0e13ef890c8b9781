"""Manifests and events: what is written is read back, and nothing else is."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.registry.artifact import Artifact, ArtifactFile, as_artifact_path
from domain.registry.canonical import decode, digest, encode, encodes_to
from domain.registry.errors import DomainException, IntegrityError, InvalidInput, UnsafeArtifact
from domain.registry.events import DomainEvent, event_from_bytes, event_to_bytes
from domain.registry.lineage import Lineage
from domain.registry.manifest import Manifest
from domain.registry.metadata import ModelMetadata
from tests.exactly_once.candidates import lineage, metadata
from tests.registry import strategies


@given(strategies.manifests)
def test_a_manifest_is_read_back_as_it_was_written(manifest: Manifest) -> None:
    """Bytes, value and model id agree in both directions."""
    data = manifest.to_bytes()
    again = Manifest.from_bytes(data)
    assert (again, again.to_bytes(), again.model_id) == (manifest, data, digest(data))


@given(strategies.manifests, st.data())
def test_no_flipped_bit_of_a_manifest_keeps_its_model_id(manifest: Manifest, data: st.DataObject) -> None:
    """A changed manifest is refused, or is another model."""
    changed = bytearray(manifest.to_bytes())
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    try:
        other = Manifest.from_bytes(bytes(changed))
    except IntegrityError:
        return
    assert other.model_id != manifest.model_id


@given(strategies.events)
def test_an_event_is_read_back_as_it_was_written(event: DomainEvent) -> None:
    """Bytes, value and dedupe key agree in both directions."""
    data = event_to_bytes(event)
    again = event_from_bytes(data, "entry 0")
    assert (again, again.key, event_to_bytes(again)) == (event, event.key, data)


@given(st.binary(max_size=80) | strategies.plain.map(lambda value: json.dumps(value).encode()))
def test_no_other_bytes_are_an_event_or_a_manifest(data: bytes) -> None:
    """Arbitrary bytes and arbitrary JSON are refused with IntegrityError and nothing else."""
    with pytest.raises(IntegrityError):
        event_from_bytes(data, "entry 0")
    with pytest.raises(IntegrityError):
        Manifest.from_bytes(data)


@given(strategies.events, st.data())
def test_an_event_with_a_field_taken_away_or_added_is_refused(
    event: DomainEvent, data: st.DataObject
) -> None:
    """Readers are strict: every field is there, and no other."""
    written: Any = decode(event_to_bytes(event), "the event")
    if data.draw(st.booleans()):
        written["event"]["another"] = 1
    else:
        del written["event"][data.draw(st.sampled_from(sorted(written["event"])))]
    with pytest.raises(IntegrityError, match="entry 5"):
        event_from_bytes(encode(written), "entry 5")


def test_canonical_bytes_are_the_only_bytes() -> None:
    """White space, another order, or another way to write a number is not canonical."""
    for data in (b'{"a": 1}', b'{"b":1,"a":2}', b'{"a":1.0}', b'{"a":1e0}', b'{"a":1,"a":1}', b'"\\u0061"'):
        with pytest.raises(IntegrityError, match="canonical"):
            decode(data, "the value")


numbers = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 5.0, 1e-5, 1e-7, 1e16, 1e21, 1e22, 123456789.5, -(2**53 - 1), float(2**53)]
)
# Around the surrogates of UTF-16, where its order is not that of the code points.
names = st.text(st.sampled_from('ab\x7f\ud7ff\ue000\uffff\U00010000\U0010ffff"\\\n\x1f'), max_size=3)


@example({"\U00010000": 0.5, "\ue000": 0.5})
@given(st.recursive(numbers | names, lambda inner: st.dictionaries(names, inner) | st.lists(inner)))
def test_what_another_encoder_writes_is_canonical_only_where_it_is_the_same(value: Any) -> None:
    """The standard library writes some numbers and orders some names otherwise than RFC 8785."""
    canonical = encode(value)
    other = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    assert encode(decode(canonical, "the value")) == canonical
    assert encodes_to(value, canonical)
    assert not encodes_to([value], canonical)
    if other != canonical:
        with pytest.raises(IntegrityError, match="canonical"):
            decode(other, "the value")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, {1: 2}, b"bytes", {"a": object()}])
def test_what_json_has_no_canonical_form_for_is_invalid(value: object) -> None:
    """NaN, infinities, big integers and other types are refused in one sentence."""
    with pytest.raises(InvalidInput):
        encode(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Volatility"),
        ("name", ""),
        ("name", "a" * 64),
        ("name", 7),
        ("purpose", ""),
        ("purpose", " padded "),
        ("owner", None),
        ("owner", "a\tb"),
        ("risk_tier", 0),
        ("risk_tier", 4),
        ("risk_tier", "2"),
        ("risk_tier", True),
        ("framework", "x" * 4001),
        ("intended_use", []),
        ("limitations", {}),
    ],
)
def test_wrong_metadata_is_named(field: str, value: object) -> None:
    """The error names the field, shows the value and says what to give."""
    with pytest.raises(InvalidInput) as caught:
        ModelMetadata.from_json({**metadata().to_json(), field: value})
    assert caught.value.field == f"metadata.{field}"
    assert str(caught.value).startswith(f"metadata.{field} is ")


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(ModelMetadata)])
def test_missing_metadata_is_named(field: str) -> None:
    """A missing field is named, and so is an unknown one."""
    good = metadata().to_json()
    with pytest.raises(InvalidInput, match=f"metadata.{field} "):
        ModelMetadata.from_json({name: value for name, value in good.items() if name != field})
    with pytest.raises(InvalidInput, match=r"metadata\.colour"):
        ModelMetadata.from_json({**good, "colour": "red"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data", "abc"),
        ("features", "A" * 64),
        ("seed", -1),
        ("seed", 2**32),
        ("seed", 1.5),
        ("as_of", dt.datetime(2022, 12, 28)),  # noqa: DTZ001
        ("parameters", {"alpha": float("nan")}),
    ],
)
def test_wrong_lineage_is_refused(field: str, value: object) -> None:
    """A lineage cannot be built from what is no digest, seed, date or plain JSON."""
    with pytest.raises(InvalidInput):
        dataclasses.replace(lineage(1), **{field: value})


@given(strategies.lineages, strategies.lineages)
def test_recipes_are_equal_when_lineages_are(one: Lineage, other: Lineage) -> None:
    """The recipe is a function of the lineage, and of all of it."""
    assert (one.recipe == other.recipe) == (one.to_json() == other.to_json())


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../up",
        "a/../b",
        "a//b",
        "./a",
        "a\\b",
        ".git/config",
        "a/.gitattributes",
        "a/.GIT",
        "nul\0",
        "line\nbreak",
        "e\u0301",
        "x" * 201,
        "/".join(["x" * 190] * 4),
        7,
    ],
)
def test_paths_that_others_could_read_differently_are_refused(path: object) -> None:
    """An artifact's paths mean the same to every store, archive and signature format."""
    with pytest.raises(UnsafeArtifact):
        as_artifact_path("artifact.path", path)


def test_files_that_differ_only_in_case_are_refused() -> None:
    """Two names that a file system may fold into one cannot be in one artifact."""
    sha = digest(b"")
    with pytest.raises(UnsafeArtifact, match="differs only in case"):
        Artifact((ArtifactFile("Model.onnx", 1, sha), ArtifactFile("model.onnx", 1, sha)))
    with pytest.raises(DomainException, match="at least one file"):
        Artifact(())
