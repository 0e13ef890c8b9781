"""Pickles: of every protocol and library, compressed, renamed, behind and within other formats."""

from __future__ import annotations

import gzip
import io
import json
import marshal
import pickle
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.adapters import artifacts
from tests.adapters.unsafe.case import Payload, Unsafe, code, file, pickled, text_pickle, unpickle

SUFFIXES = (
    ".csv", ".data", ".json", ".md", ".npy", ".onnx", ".onnx_data", ".parquet", ".pb", ".png", ".safetensors",
    ".skops", ".toml", ".txt", "",
)  # fmt: skip
TEXT_SUFFIXES = (".csv", ".json", ".md", ".toml", ".txt")


def cases() -> Iterator[Unsafe]:
    yield from plain()
    yield from joblib_files()
    yield from arrays()
    yield from torch_files()
    yield from renamed()
    yield from appended()
    yield from within()


def plain() -> Iterator[Unsafe]:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        yield file(
            "model.pkl",
            lambda marker, protocol=protocol: pickled(marker, protocol),
            unpickle("model.pkl"),
            title=f"pickle protocol {protocol}",
        )
    yield file(
        "model.pkl", function_pickle, unpickle("model.pkl"), title="function as cloudpickle and dill do"
    )
    yield file(
        "model.pkl", instance_pickle, unpickle("model.pkl"), title="pickle with INST instead of GLOBAL"
    )
    yield file("model.pkl", nested_pickle, unpickle("model.pkl"), title="pickle in a pickle")
    yield file(
        "model.txt",
        lambda marker: b"(V" + code(marker).encode() + b"\nibuiltins\nexec\n.",
        unpickle("model.txt"),
        title="pickle of text with INST as .txt",
    )


def function_pickle(marker: Path) -> bytes:
    """Marshalled code made into a function and called, opcode by opcode."""
    body = marshal.dumps(compile(code(marker), "payload", "exec"))
    loaded = b"cmarshal\nloads\n(B" + struct.pack("<I", len(body)) + body + b"tR"
    return b"\x80\x03ctypes\nFunctionType\n(" + loaded + b"cbuiltins\n__dict__\ntR)R."


def instance_pickle(marker: Path) -> bytes:
    return b"(X" + struct.pack("<I", len(code(marker))) + code(marker).encode() + b"ibuiltins\nexec\n."


def nested_pickle(marker: Path) -> bytes:
    inner = pickled(marker)
    return b"\x80\x03c_pickle\nloads\n(B" + struct.pack("<I", len(inner)) + inner + b"tR."


def joblib_files() -> Iterator[Unsafe]:
    def dumped(marker: Path, method: str) -> bytes:
        out = io.BytesIO()
        content = {"coefficients": np.arange(4.0), "then": Payload(marker)}
        joblib.dump(content, out, compress=(method, 3) if method else 0)
        return out.getvalue()

    for method in ("", "zlib", "gzip", "bz2", "lzma", "xz"):
        for name in ("model.joblib", "model.npy"):
            yield file(
                name,
                lambda marker, method=method: dumped(marker, method),
                lambda folder, name=name: joblib.load(folder / name),
                title=f"joblib compressed by {method or 'nothing'} as {name}",
            )


def arrays() -> Iterator[Unsafe]:
    def objects(marker: Path) -> np.ndarray[Any, Any]:
        return np.array([Payload(marker)], dtype=object)

    def fields(marker: Path) -> np.ndarray[Any, Any]:
        return np.array([(1, Payload(marker))], dtype=[("a", "i4"), ("b", "O")])

    def npz(marker: Path) -> bytes:
        out = io.BytesIO()
        np.savez_compressed(out, weights=np.ones(3), labels=objects(marker))
        return out.getvalue()

    def load(folder: Path) -> object:
        return np.load(next(folder.iterdir()), allow_pickle=True)

    def load_all(folder: Path) -> object:
        return dict(np.load(folder / "model.npz", allow_pickle=True))

    def load_both(folder: Path) -> object:
        with (folder / "model.npy").open("rb") as content:
            return np.load(content), pickle.load(content)

    yield file(
        "model.npy",
        lambda marker: artifacts.npy(objects(marker), allow_pickle=True),
        load,
        title="array of objects",
    )
    yield file(
        "model.npy",
        lambda marker: artifacts.npy(fields(marker), allow_pickle=True),
        load,
        title="array of records with objects",
    )
    yield file("model.npz", npz, load_all, title=".npz with an array of objects")
    yield file(
        "model.npy",
        lambda marker: artifacts.npy(np.arange(6.0)) + pickled(marker),
        load_both,
        title="pickle behind an array",
    )
    yield file("model.npy", pickled, load, title="pickle that NumPy loads under .npy")


def torch_files() -> Iterator[Unsafe]:
    """What torch.load does without weights_only: unpickle `data.pkl` of a zip, or pickles one by one."""

    def zipped(marker: Path) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("archive/data.pkl", pickled(marker, 2))
            archive.writestr("archive/data/0", b"\0" * 8)
            archive.writestr("archive/version", b"3\n")
        return out.getvalue()

    def load_zip(folder: Path) -> object:
        with zipfile.ZipFile(next(folder.iterdir())) as archive:
            return pickle.loads(archive.read("archive/data.pkl"))

    def legacy(marker: Path) -> bytes:
        head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
        return b"".join(pickle.dumps(part, 2) for part in head) + pickled(marker, 2)

    def load_legacy(folder: Path) -> object:
        with next(folder.iterdir()).open("rb") as content:
            return [pickle.load(content) for _ in range(4)]

    for name in ("model.pt", "pytorch_model.bin", "model.safetensors", "model.skops"):
        yield file(name, zipped, load_zip, title=f"torch's zip as {name}")
    for name in ("model.pth", "model.ckpt", "model.onnx"):
        yield file(name, legacy, load_legacy, title=f"torch's old format as {name}")


def renamed() -> Iterator[Unsafe]:
    for suffix in SUFFIXES:
        name = f"model{suffix}"
        yield file(name, pickled, unpickle(name), title=f"pickle as {suffix or 'a name without suffix'}")
    for suffix in TEXT_SUFFIXES:
        name = f"model{suffix}"
        yield file(name, text_pickle, unpickle(name), title=f"pickle of text as {suffix}")


def appended() -> Iterator[Unsafe]:
    """A pickle behind what a whole and valid file holds, for consumers that know where it ends."""
    for name, content in harmless().items():
        size = len(content)
        yield file(
            name,
            lambda marker, content=content: content + pickled(marker),
            unpickle(name, lambda _, size=size: size),
            title=f"pickle behind {name}",
        )
    for name in ("notes.txt", "README.md", "rows.csv"):
        yield file(
            name,
            lambda marker: b"asset,close\nAAPL,1.5\n" + text_pickle(marker),
            unpickle(name, lambda _: 21),
            title=f"pickle of text behind {name}",
        )


def harmless() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        model = artifacts.onnx_model(Path(folder))["model.onnx"]
    return {
        "model.onnx": model,
        "model.safetensors": artifacts.safetensors(),
        "plot.png": artifacts.png(),
        "table.parquet": artifacts.parquet(),
        "config.json": b'{"alpha": 1}\n',
        "config.toml": b"alpha = 1\n",
    }


def within() -> Iterator[Unsafe]:
    """A pickle in the middle of a file whose own reader passes over it."""

    def restore(folder: Path) -> object:
        # Who has imported ray.data reads the type, and no metadata.
        with suppress(KeyError):
            pa.unregister_extension_type("ray.data.arrow_pickled_object")
        metadata = pq.read_schema(folder / "table.parquet").field("a").metadata
        return pickle.loads(metadata[b"ARROW:extension:metadata"])

    def gzipped(folder: Path) -> object:
        with gzip.open(folder / "model.json") as content:
            return pickle.load(content)

    for title, name, made in (
        ("pickle before Parquet's footer", "table.parquet", behind_columns),
        ("pickle before the first tensor", "model.safetensors", between_tensors),
        ("pickle in an unknown field of ONNX", "model.onnx", in_unknown_field),
        ("pickle as a text of PNG", "plot.png", in_text_chunk),
        ("pickle behind PNG's pixels", "plot.png", behind_pixels),
    ):
        yield file(name, made, unpickle(name, last_pickle), title=title)
    for name in ("arrow.py_extension_type", "ray.data.arrow_pickled_object"):
        yield file(
            "table.parquet",
            lambda marker, name=name: extension(name, marker),
            restore,
            title=f"pickle of the Arrow type {name}",
        )
    yield file(
        "model.json",
        lambda marker: gzip.compress(pickled(marker)),
        gzipped,
        title="gzip of a pickle as .json",
    )
    yield file(
        "model.safetensors",
        hopping_safetensors,
        unpickle("model.safetensors"),
        title="pickle that is safetensors",
    )


def last_pickle(path: Path) -> int:
    """Where a pickle of protocol 4 begins."""
    return path.read_bytes().rindex(b"\x80\x04\x95")


def behind_columns(marker: Path) -> bytes:
    content = artifacts.parquet()
    (length,) = struct.unpack("<I", content[-8:-4])
    return content[: -8 - length] + pickled(marker) + content[-8 - length :]


def between_tensors(marker: Path) -> bytes:
    content = pickled(marker)
    offsets = [len(content), len(content) + 4]
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": offsets}}).encode()
    return struct.pack("<Q", len(header)) + header + content + b"\0" * 4


def in_unknown_field(marker: Path) -> bytes:
    payload = pickled(marker)
    return harmless()["model.onnx"] + b"\xba\x3e" + bytes([len(payload)]) + payload


def extension(name: str, marker: Path) -> bytes:
    """A column of a type that its library restores by unpickling what belongs to it."""
    metadata = {"ARROW:extension:name": name, "ARROW:extension:metadata": pickled(marker)}
    out = io.BytesIO()
    field = pa.field("a", pa.int32(), metadata=metadata)
    pq.write_table(pa.table([pa.array([1], pa.int32())], schema=pa.schema([field])), out)
    return out.getvalue()


def in_text_chunk(marker: Path) -> bytes:
    return with_chunk(artifacts.png(), b"tEXt", b"pickle\0" + pickled(marker))


def behind_pixels(marker: Path) -> bytes:
    """More image data than the image needs, in a chunk of its own."""
    return with_chunk(artifacts.png(), b"IDAT", pickled(marker))


def with_chunk(image: bytes, kind: bytes, content: bytes) -> bytes:
    """The image with one more chunk before its last."""
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return image[:-12] + chunk + image[-12:]


def hopping_safetensors(marker: Path, payload: Callable[[Path], bytes] = text_pickle) -> bytes:
    """Its length reads as BINUNICODE; strings in the metadata hop on to a program in the tensor."""
    program = b"0" * 82 + payload(marker)
    length, begin = 0x2858, 37
    span = [0, len(program)]
    tail = '"},"w":' + json.dumps({"dtype": "U8", "shape": span[1:], "data_offsets": span}) + "}"
    hops = [128] * 79 + [90, 89]
    text = '{"__metadata__":{"a":"'.ljust(begin, "-") + "".join(f"U{chr(n - 2)}".ljust(n, "-") for n in hops)
    return struct.pack("<Q", length) + (text[: -len(tail)] + tail).encode() + program
