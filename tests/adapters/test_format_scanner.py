"""The allow-list of formats: what real libraries write is admitted, whatever could run code is not."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import struct
import tempfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from domain.registry.ports import Finding
from tests.adapters import artifacts
from tests.adapters.artifacts import staged
from tests.adapters.unsafe.case import text_pickle
from tests.adapters.unsafe.pickles import hopping_safetensors
from veritasvault.adapters.format_scanner import FormatScanner
from veritasvault.adapters.formats.onnx_schema import MESSAGES


class Evil:
    """Pickles to a call of os.system."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.system, ("true",)


def scan(root: Path, files: dict[str, bytes]) -> tuple[Finding, ...]:
    with tempfile.TemporaryDirectory(dir=root) as fresh:
        return FormatScanner().scan(staged(Path(fresh), files))


def refused(root: Path, name: str, content: bytes) -> str:
    """The reason for which one file is refused; fails if it is admitted."""
    findings = scan(root, {name: content})
    assert [finding.path for finding in findings] == [name]
    assert findings[0].remedy
    return findings[0].reason


def good_files(tmp_path: Path) -> dict[str, bytes]:
    return {
        **artifacts.onnx_model(tmp_path),
        "forest.onnx": artifacts.forest_onnx(),
        "model.safetensors": artifacts.safetensors(format="np"),
        "model.skops": artifacts.skops_model(make_pipeline(StandardScaler(), Ridge())),
        "array.npy": artifacts.npy(np.arange(12.0).reshape(3, 4)),
        "table.parquet": artifacts.parquet(),
        "plot.png": artifacts.png(),
        "config.json": b'{"a": [1, 2.5, null, "\xc3\xa9"]}',
        "spec.toml": b'[model]\nname = "x"\n',
        "notes.txt": "Volatility of 5 days, in \u20ac.\n".encode(),
        "README.md": b"# Model\n",
        "rows.csv": b"asset,close\nA,1.5\n",
    }


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return good_files(tmp_path_factory.mktemp("good"))


def test_what_the_libraries_write_is_admitted(tmp_path: Path, good: dict[str, bytes]) -> None:
    assert scan(tmp_path, good) == ()


def test_compressed_skops_files_are_admitted(tmp_path: Path) -> None:
    packed = artifacts.skops_model(Ridge(), compression=zipfile.ZIP_DEFLATED)
    assert scan(tmp_path, {"packed.skops": packed}) == ()


def test_trees_in_skops_are_refused_in_favour_of_onnx(tmp_path: Path) -> None:
    """Crafted trees crash scikit-learn, which skops therefore does not trust; ONNX checks its indices."""
    from sklearn.tree import DecisionTreeRegressor

    (finding,) = scan(tmp_path, {"tree.skops": artifacts.skops_model(DecisionTreeRegressor())})
    assert "sklearn.tree._tree.Tree" in finding.reason
    assert "ONNX" in finding.remedy


def test_external_data_inside_of_the_artifact_is_admitted(tmp_path: Path) -> None:
    files = artifacts.onnx_model(
        tmp_path, save_as_external_data=True, location="model.data", size_threshold=16
    )
    assert set(files) == {"model.onnx", "model.data"}
    assert scan(tmp_path, files) == ()
    assert scan(tmp_path, {f"sub/{name}": content for name, content in files.items()}) == ()


def test_external_data_that_is_missing_longer_or_unused_is_refused(tmp_path: Path) -> None:
    files = artifacts.onnx_model(
        tmp_path, save_as_external_data=True, location="model.data", size_threshold=16
    )
    assert "not in the artifact" in refused(tmp_path, "model.onnx", files["model.onnx"])
    assert "no model" in refused(tmp_path, "model.data", files["model.data"])
    longer = scan(tmp_path, {**files, "model.data": files["model.data"] + b"hidden"})
    assert [finding.path for finding in longer] == ["model.data"]
    shorter = scan(tmp_path, {**files, "model.data": files["model.data"][:-1]})
    assert [finding.path for finding in shorter] == ["model.data"]


@pytest.mark.parametrize("location", ["../secret.data", "/etc/passwd", "a/../../b.data", "weights.pkl"])
def test_external_data_outside_of_the_artifact_or_of_another_name_is_refused(
    tmp_path: Path, location: str
) -> None:
    model = onnx.load_from_string(artifacts.onnx_model(tmp_path)["model.onnx"])
    tensor = model.graph.initializer[0]
    length = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    refused(tmp_path, "model.onnx", model.SerializeToString())


def test_an_operator_that_may_run_python_is_refused(tmp_path: Path) -> None:
    model = onnx.load_from_string(artifacts.onnx_model(tmp_path)["model.onnx"])
    model.graph.node[0].domain = "ai.onnx.contrib"
    model.graph.node[0].op_type = "PyOp"
    assert "'PyOp' of the domain 'ai.onnx.contrib'" in refused(
        tmp_path, "model.onnx", model.SerializeToString()
    )


def test_an_operator_nested_in_a_branch_is_seen(tmp_path: Path) -> None:
    model = onnx.load_from_string(artifacts.onnx_model(tmp_path)["model.onnx"])
    inner = onnx.helper.make_graph(
        [onnx.helper.make_node("PyOp", [], ["z"], domain="custom")], "then", [], []
    )
    model.graph.node.append(onnx.helper.make_node("If", ["c"], ["z"], then_branch=inner))
    assert "custom" in refused(tmp_path, "model.onnx", model.SerializeToString())


def test_unknown_fields_and_wrong_sizes_in_onnx_are_refused(tmp_path: Path) -> None:
    content = artifacts.onnx_model(tmp_path)["model.onnx"]
    payload = pickle.dumps(Evil())
    assert "unknown field" in refused(
        tmp_path, "m.onnx", content + b"\xba\x3e" + bytes([len(payload)]) + payload
    )
    model = onnx.load_from_string(content)
    model.graph.initializer[0].raw_data += b"more"
    assert "than its shape needs" in refused(tmp_path, "m.onnx", model.SerializeToString())


def test_the_table_of_onnx_messages_is_the_one_of_the_installed_library() -> None:
    def names(descriptor: Any, seen: dict[str, dict[int, str]]) -> dict[str, dict[int, str]]:
        if descriptor.name not in seen:
            seen[descriptor.name] = {field.number: field.name for field in descriptor.fields}
            for field in descriptor.fields:
                if field.message_type:
                    names(field.message_type, seen)
        return seen

    ours = {kind: {n: name for n, (name, _, _) in fields.items()} for kind, fields in MESSAGES.items()}
    assert ours == names(onnx.ModelProto.DESCRIPTOR, {})


def pickles() -> dict[str, bytes]:
    model = Ridge().fit(np.eye(3), np.ones(3))
    plain, packed = io.BytesIO(), io.BytesIO()
    joblib.dump(model, plain)
    joblib.dump(model, packed, compress=("zlib", 3))
    return {
        **{f"protocol {n}": pickle.dumps(Evil(), n) for n in range(6)},
        "joblib": plain.getvalue(),
        "compressed joblib": packed.getvalue(),
        "gzip": gzip.compress(pickle.dumps(Evil())),
        "object array": artifacts.npy(np.array([Evil()], dtype=object), allow_pickle=True),
    }


@pytest.mark.parametrize("kind", pickles())
@pytest.mark.parametrize(
    "name",
    ["m.onnx", "m.npy", "m.json", "m.safetensors", "m.skops", "m.txt", "m.md", "m.csv", "m.toml", "m.png",
     "m.parquet", "m.pkl", "m.joblib", "m", "m.bin", "m.data", "m.JSON"],
)  # fmt: skip
def test_a_pickle_is_refused_under_every_name(tmp_path: Path, kind: str, name: str) -> None:
    assert refused(tmp_path, name, pickles()[kind])


def test_an_array_with_objects_in_a_field_is_refused(tmp_path: Path) -> None:
    array = np.array([(1, None)], dtype=[("a", "i4"), ("b", "O")])
    assert "Python objects" in refused(tmp_path, "a.npy", artifacts.npy(array, allow_pickle=True))


@pytest.mark.parametrize(
    "name",
    [
        "model.onnx",
        "model.safetensors",
        "model.skops",
        "array.npy",
        "table.parquet",
        "plot.png",
        "config.json",
    ],
)
def test_bytes_before_or_behind_are_refused(tmp_path: Path, good: dict[str, bytes], name: str) -> None:
    payload = pickle.dumps(Evil())
    refused(tmp_path, name, good[name] + payload)
    refused(tmp_path, name, payload + good[name])
    refused(tmp_path, name, good[name] + b"\0")
    refused(tmp_path, name, good[name][:-1])


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name, content in members.items():
            made.writestr(name, content)
    return out.getvalue()


def test_a_zip_archive_inside_of_tensors_text_or_images_is_refused(
    tmp_path: Path, good: dict[str, bytes]
) -> None:
    hidden = archive(data=pickle.dumps(Evil()))
    hidden += b"\0" * (-len(hidden) % 4)
    tensors = {"w": np.frombuffer(hidden, "<f4")}
    assert "zip archive as well" in refused(tmp_path, "m.safetensors", artifacts.safetensors(tensors))
    assert "zip archive as well" in refused(tmp_path, "a.npy", artifacts.npy(np.frombuffer(hidden, "u1")))
    image = good["plot.png"]
    printable = b"tEXtk\0" + bytes(byte for byte in hidden if byte not in range(32))
    for text in (b"tEXtk\0" + hidden, b"zTXtk\0\0" + zlib.compress(hidden), printable.replace(b"k\0", b"k")):
        chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
        assert refused(tmp_path, "p.png", image[:-12] + chunk + image[-12:])


def test_a_safetensors_file_that_is_a_pickle_as_well_is_refused(tmp_path: Path) -> None:
    content = hopping_safetensors(tmp_path / "marker")
    assert content[:1] == b"X"
    assert "pickle as well" in refused(tmp_path, "m.safetensors", content)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda h: h["w"].update(data_offsets=[4, 28]), "shape|begins"),
        (lambda h: h["w"].update(dtype="OBJ"), "unknown type"),
        (lambda h: h["w"].update(shape=[2, 4]), "do not fit"),
        (lambda h: h["w"].update(extra=1), "other fields"),
        (lambda h: h.update(__metadata__={"a": 1}), "__metadata__"),
        (lambda h: h["b"].update(data_offsets=[12, 24]), "begins"),
        (lambda h: h.pop("b"), "end at byte"),
    ],
)
def test_a_safetensors_header_that_does_not_fit_is_refused(tmp_path: Path, change: Any, reason: str) -> None:
    content = artifacts.safetensors()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode()
    import re

    found = refused(tmp_path, "m.safetensors", struct.pack("<Q", len(text)) + text + content[8 + length :])
    assert re.search(reason, found)


def test_skops_with_a_type_of_another_package_is_refused(tmp_path: Path) -> None:
    import skops.io

    for function in (print, tempfile.mktemp, np.testing.assert_equal):
        assert refused(tmp_path, "m.skops", skops.io.dumps(FunctionTransformer(function)))


@pytest.mark.parametrize(
    "change",
    [
        {"__class__": "system", "__module__": "os", "__loader__": "FunctionNode"},
        {"__class__": "runstring", "__module__": "numpy.testing", "__loader__": "FunctionNode"},
        {"__loader__": "MethodNode"},
        {"__loader__": "ConstructorFromReduceNode"},
        {"__loader__": "OperatorFuncNode"},
        {"__loader__": "PartialNode"},
        {"__class__": "Popen", "__module__": "subprocess"},
        {"protocol": 0},
        {"protocol": 99},
    ],
)
def test_a_dangerous_node_in_a_skops_schema_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    original = zipfile.ZipFile(io.BytesIO(artifacts.skops_model(Ridge())))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in original.namelist():
            content = original.read(name)
            if name == "schema.json":
                content = json.dumps({**json.loads(content), **change}).encode()
            made.writestr(name, content)
    assert refused(tmp_path, "m.skops", out.getvalue())


def rezipped(content: bytes, **more: bytes) -> bytes:
    out = io.BytesIO(content)
    with zipfile.ZipFile(out, "a") as made:
        for name, data in more.items():
            made.writestr(name, data)
    return out.getvalue()


def test_other_members_comments_and_nested_archives_in_skops_are_refused(
    tmp_path: Path, good: dict[str, bytes]
) -> None:
    content = good["model.skops"]
    assert "neither" in refused(tmp_path, "m.skops", rezipped(content, **{"data.pkl": pickle.dumps(Evil())}))
    assert refused(tmp_path, "m.skops", rezipped(content, **{"unused.npy": artifacts.npy(np.ones(2))}))
    assert refused(tmp_path, "m.skops", rezipped(content, **{"../up.npy": artifacts.npy(np.ones(2))}))
    assert "neither" in refused(tmp_path, "m.skops", rezipped(content, **{"inner.npz": archive(x=b"y")}))
    objects = artifacts.npy(np.array([Evil()], dtype=object), allow_pickle=True)
    assert "Python objects" in refused(tmp_path, "m.skops", rezipped(content, **{"o.npy": objects}))
    commented = io.BytesIO(content)
    with zipfile.ZipFile(commented, "a") as made:
        made.comment = b"hello"
    assert refused(tmp_path, "m.skops", commented.getvalue())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"{} {}"), ("a.json", b'{"a": NaN}'), ("a.json", b'{"a": 1, "a": 2}'),
        ("a.json", b"\xef\xbb\xbf{}"), ("a.json", b"\xff"), ("a.json", b"[" * 100_000), ("a.toml", b"a ="),
        ("a.txt", b"a\0b"), ("a.txt", b"\xff\xfe"), ("a.csv", b"a\x1bb"), ("a.npy", b""), ("a.onnx", b""),
        ("a.skops", b""), ("a.safetensors", b""), ("a.parquet", b"PAR1PAR1"), ("a.png", b""),
    ],
)  # fmt: skip
def test_malformed_data_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    assert refused(tmp_path, name, content)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (17, 9)])
def test_images_of_every_kind_and_size_are_admitted(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    out = io.BytesIO()
    Image.new(mode, size).save(out, format="PNG")
    assert scan(tmp_path, {"p.png": out.getvalue()}) == ()


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (8, 8), (17, 9), (2, 1)])
def test_an_interlaced_image_needs_the_rows_of_its_passes(tmp_path: Path, size: tuple[int, int]) -> None:
    """Pillow writes no interlaced images, so the passes are laid out here pixel by pixel."""
    width, height = size
    order = ["16462646", "77777777", "56565656", "77777777", "36463646", "77777777", "56565656", "77777777"]
    rows: dict[tuple[str, int], int] = {}
    for y in range(height):
        for x in range(width):
            number = order[y % 8][x % 8]
            rows[number, y] = rows.get((number, y), 0) + 1
    pixels = b"".join(b"\0" * (1 + count) for _, count in sorted(rows.items()))
    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 1)

    def image(data: bytes) -> bytes:
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data)), (b"IEND", b""))
        packed = (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
            for kind, content in chunks
        )
        return b"\x89PNG\r\n\x1a\n" + b"".join(packed)

    assert Image.open(io.BytesIO(image(pixels))).convert("L").getbbox() is None
    assert scan(tmp_path, {"p.png": image(pixels)}) == ()
    assert "hides bytes" in refused(tmp_path, "p.png", image(pixels + b"\0"))
    assert "less image data" in refused(tmp_path, "p.png", image(pixels[:-1]))


def test_tables_and_texts_that_resemble_pickles_are_admitted(tmp_path: Path) -> None:
    """Names of columns read as opcodes; without something to import they are no pickle."""
    texts = {
        "one.csv": b"close\n1.25\n2.5\n",
        "words.txt": b"close\ncovariance\nbasic\nprice\nindex\ncarry\n",
        "dotted.txt": b"close\nvolume\nMb.\n",
        "README.md": b"# Model\n\nIt says `cos` and\n`system`.\n",
        "empty.txt": b"",
    }
    assert scan(tmp_path, texts) == ()


@pytest.mark.parametrize("before", [b"", b"x", b"carry\n", b"close\n", b"a" * (1 << 20), b"cc" * 1000])
def test_a_pickle_of_text_is_found_wherever_it_begins(tmp_path: Path, before: bytes) -> None:
    payload = text_pickle(tmp_path / "marker")
    for name in ("m.txt", "m.csv", "m.md"):
        assert "pickle" in refused(tmp_path, name, before + payload + b"\nmore\n")


def test_names_that_tools_obey_and_hidden_names_are_refused(tmp_path: Path) -> None:
    for name in ("package.json", "sub/pyproject.toml", "CMakeLists.txt", "Package.JSON"):
        assert "tools run commands" in refused(tmp_path, name, b"{}")
    for name in (".profile.txt", ".vscode/settings.json", "a/.env.txt", ".weights.data"):
        assert "is hidden" in refused(tmp_path, name, b"{}")


def test_requirements_that_name_packages_are_admitted(tmp_path: Path) -> None:
    good = (
        b"# pinned\nnumpy==2.4.6\nscikit-learn>=1.8,<2 ; python_version >= '3.11'\npandas[parquet] ~= 3.1\n\n"
        b"torch==2.13.0 \\\n    --hash=sha256:00ff\nonnx\n"
    )
    for name in ("requirements.txt", "requirements-test.txt", "sub/constraints.txt"):
        assert scan(tmp_path, {name: good}) == ()


@pytest.mark.parametrize(
    "line",
    [
        "-e .", "./model", "../model", "/opt/model", "model @ file:///opt/model", "--index-url http://evil",
        "git+https://evil/x.git", "https://evil/x.whl", "-r other.txt", "numpy @ https://evil/x.whl", "x.whl",
        "x.tar.gz", "x.zip==1", "numpy; python_version > '3' @ file:///x", "numpy#@ file:///x", "$HOME/x",
        "numpy --config-settings=a=b", "numpy --global-option=x", "numpy \\\n-e .",
    ],
)  # fmt: skip
def test_requirements_that_pip_would_build_or_obey_are_refused(tmp_path: Path, line: str) -> None:
    assert "pip reads it" in refused(tmp_path, "requirements.txt", f"numpy==2\n{line}\n".encode())


@pytest.mark.parametrize(
    "document",
    [
        {"a": [{"py/object": "os.system"}]},
        {"py/type": "builtins.eval"},
        {"auto_map": {"AutoModel": "modeling.Model"}},
        {"config": {"layers": [{"class_name": "Lambda", "config": {}}]}},
        {"class_name": "function", "config": "system", "module": "os"},
        {"class_name": "Model", "config": {}, "module": "theirs.models"},
    ],
)
def test_json_from_which_libraries_build_python_is_refused(tmp_path: Path, document: Any) -> None:
    refused(tmp_path, "config.json", json.dumps(document).encode())


def test_json_that_only_describes_is_admitted(tmp_path: Path) -> None:
    layer = {"module": "keras.layers", "class_name": "Dense", "config": {"units": 1}, "registered_name": None}
    document = {"class_name": "Sequential", "config": {"layers": [layer]}, "happy/py": 1, "Lambda": 0.1}
    assert scan(tmp_path, {"config.json": json.dumps(document).encode()}) == ()


def test_a_script_is_refused_in_every_text(tmp_path: Path) -> None:
    for name in ("a.txt", "a.md", "a.csv", "a.toml", "requirements.txt"):
        assert "script" in refused(tmp_path, name, b"#!/bin/sh\n# a = 1\n")
        assert scan(tmp_path, {name: b"# numbers\n"}) == ()


@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_a_changed_file_gives_findings_and_never_a_foreign_exception(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, good: dict[str, bytes]
) -> None:
    name = data.draw(st.sampled_from(sorted(good)))
    content = bytearray(good[name])
    at = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "remove"]))
    if kind == "flip":
        content[at] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del content[at:]
    elif kind == "insert":
        content[at:at] = data.draw(st.binary(min_size=1, max_size=9))
    else:
        del content[at : at + data.draw(st.integers(1, 64))]
    for finding in scan(tmp_path_factory.getbasetemp(), {name: bytes(content)}):
        assert finding.path == name
        assert finding.reason
        assert finding.remedy


def test_every_change_of_size_of_a_binary_file_is_found(tmp_path: Path, good: dict[str, bytes]) -> None:
    for name in ("model.safetensors", "model.skops", "array.npy", "table.parquet", "plot.png"):
        content = good[name]
        for at in range(0, len(content), max(1, len(content) // 25)):
            refused(tmp_path, name, content[:at] + b"\x01" + content[at:])


def test_a_gibibyte_of_tensors_is_checked_without_reading_it(tmp_path: Path) -> None:
    size = 1 << 30
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path = tmp_path / "model.safetensors"
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)
    from domain.registry.artifact import Artifact, ArtifactFile, StagedArtifact
    from domain.registry.canonical import digest

    described = ArtifactFile("model.safetensors", 8 + len(header) + size, digest(b""))
    tracemalloc.start()
    try:
        assert FormatScanner().scan(StagedArtifact(tmp_path, Artifact((described,)))) == ()
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
