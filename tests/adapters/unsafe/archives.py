"""Archives: in archives, as other formats, with members that leave the directory they are unpacked to."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.adapters import artifacts
from tests.adapters.unsafe.case import Load, Unsafe, code, file, pickled
from tests.adapters.unsafe.pickles import with_chunk


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


def tarred(name: str, content: bytes, **header: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        for field, value in header.items():
            setattr(member, field, value)
        archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def in_zip(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(archive.namelist()[-1])


def in_tar(content: bytes) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        member = archive.extractfile(archive.getmembers()[0])
        assert member is not None
        return member.read()


def opened(name: str, *layers: Callable[[bytes], bytes]) -> Load:
    """Take off one layer after the other and unpickle what is left."""

    def load(folder: Path) -> object:
        content = (folder / name).read_bytes()
        for layer in layers:
            content = layer(content)
        return pickle.loads(content)

    return load


def cases() -> Iterator[Unsafe]:
    yield from nested()
    yield from compressed()
    yield from polyglots()
    yield from escaping()
    yield from running()


def nested() -> Iterator[Unsafe]:
    def double_zip(marker: Path) -> bytes:
        return zipped("inner.zip", zipped("model.pkl", pickled(marker)))

    def tar_in_zip(marker: Path) -> bytes:
        return zipped("inner.tar", tarred("model.pkl", pickled(marker)))

    yield file("model.zip", double_zip, opened("model.zip", in_zip, in_zip), title="zip in zip")
    yield file("model.skops", double_zip, opened("model.skops", in_zip, in_zip), title="zip in zip as .skops")
    yield file("model.zip", tar_in_zip, opened("model.zip", in_zip, in_tar), title="tar in zip")
    yield file(
        "model.tar.gz",
        lambda marker: gzip.compress(tarred("inner.zip", double_zip(marker))),
        opened("model.tar.gz", gzip.decompress, in_tar, in_zip, in_zip),
        title="zip in zip in a compressed tar",
    )
    yield file(
        "model.skops",
        lambda marker: skops_and("data.pkl", pickled(marker)),
        opened("model.skops", in_zip),
        title="pickle as a member of skops",
    )
    yield file(
        "model.skops",
        lambda marker: skops_and("inner.npz", zipped("a.npy", pickled(marker))),
        opened("model.skops", in_zip, in_zip),
        title="archive as a member of skops",
    )


def skops_and(name: str, content: bytes) -> bytes:
    from sklearn.linear_model import Ridge

    out = io.BytesIO(artifacts.skops_model(Ridge()))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(name, content)
    return out.getvalue()


def compressed() -> Iterator[Unsafe]:
    def zstd(content: bytes) -> bytes:
        out = pa.BufferOutputStream()
        with pa.CompressedOutputStream(out, "zstd") as stream:
            stream.write(content)
        return bytes(out.getvalue())

    def unzstd(content: bytes) -> bytes:
        return bytes(pa.CompressedInputStream(pa.BufferReader(content), "zstd").read(1 << 16))

    for suffix, pack, unpack in (
        (".gz", gzip.compress, gzip.decompress),
        (".xz", lzma.compress, lzma.decompress),
        (".bz2", bz2.compress, bz2.decompress),
        (".zlib", zlib.compress, zlib.decompress),
        (".zst", zstd, unzstd),
    ):
        for name in (f"model.pkl{suffix}", "model.txt"):
            yield file(
                name,
                lambda marker, pack=pack: pack(pickled(marker)),
                opened(name, unpack),
                title=f"pickle packed as {suffix} in {name}",
            )


def polyglots() -> Iterator[Unsafe]:
    """Whole and valid files that are archives as well."""

    def zip_of(marker: Path) -> bytes:
        content = zipped("model.pkl", pickled(marker))
        return content + b"\0" * (-len(content) % 4)

    def in_tensor(marker: Path) -> bytes:
        return artifacts.safetensors({"w": np.frombuffer(zip_of(marker), "<f4")})

    def in_image(marker: Path) -> bytes:
        return with_chunk(artifacts.png(), b"tEXt", b"k\0" + zip_of(marker))

    for name, made in (
        ("model.safetensors", in_tensor),
        ("array.npy", lambda marker: artifacts.npy(np.frombuffer(zip_of(marker), "u1"))),
        ("plot.png", in_image),
    ):
        yield file(name, made, opened(name, in_zip), title=f"zip within {name}")
    yield file("notes.txt", tar_of_text, extract("notes.txt"), title="tar of printable characters as .txt")
    yield file(
        "model.safetensors",
        tar_of_tensors,
        opened("model.safetensors", in_tar),
        title="tar that is safetensors",
    )


def tar_of_text(marker: Path) -> bytes:
    """A tar whose fields end in blanks instead of NUL, so that it is text; its member leaves by '..'."""
    header = bytearray(b" " * 512)
    header[:100] = ("./" * 50 + f"../../{marker.name}")[-100:].encode()
    for start, text in ((100, b"0000644"), (108, b"0000000"), (116, b"0000000"), (124, b"00000000000")):
        header[start : start + len(text)] = text
    header[136:147] = b"00000000000"
    header[156:157] = b"0"
    header[345:500] = ("./" * 78)[:155].encode()
    header[148:156] = f"{sum(header[:148]) + 8 * 32 + sum(header[156:]):06o}  ".encode()
    return bytes(header)


def tar_of_tensors(marker: Path) -> bytes:
    """A safetensors file whose header, read as a tar's, describes a pickle in the first tensor."""
    payload = pickled(marker).ljust(512, b".")
    length = 512 - 8
    offsets = [0, len(payload)]
    start = b'{"__metadata__":{"a":"'
    stop = b'"},"w":' + (b'{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}}' % (len(payload), *offsets))
    text = bytearray(start + b" " * (length - len(start) - len(stop)) + stop)
    header = bytearray(struct.pack("<Q", length) + text)
    for at, field in ((100, b"0000644"), (108, b"0000000"), (116, b"0000000"), (136, b"00000000000")):
        header[at : at + len(field)] = field
    header[124:135] = b"%011o" % len(payload)
    header[156:157] = b"0"
    header[148:156] = f"{sum(header[:148]) + 8 * 32 + sum(header[156:]):06o}  ".encode()
    return bytes(header) + payload


def extract(name: str) -> Load:
    def load(folder: Path) -> object:
        (folder / "unpacked").mkdir()
        with tarfile.open(folder / name) as archive:
            archive.extractall(folder / "unpacked", filter="fully_trusted")
        return None

    return load


def escaping() -> Iterator[Unsafe]:
    def unzip(folder: Path) -> object:
        with zipfile.ZipFile(folder / "model.zip") as archive:
            for member in archive.namelist():
                # The standard library strips '..' and '/'; many others join and write.
                (folder / "unpacked" / member).write_bytes(archive.read(member))
        return None

    def linked(marker: Path) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            link = tarfile.TarInfo("up")
            link.type, link.linkname = tarfile.SYMTYPE, str(marker.parent)
            archive.addfile(link)
            archive.addfile(tarfile.TarInfo(f"up/{marker.name}"), io.BytesIO())
        return out.getvalue()

    yield file(
        "model.tar",
        lambda marker: tarred(f"../../{marker.name}", b""),
        extract("model.tar"),
        title="tar that climbs",
    )
    yield file("model.tar", linked, extract("model.tar"), title="tar with a link that leaves")
    yield file(
        "model.tar",
        lambda marker: tarred(str(marker), b""),
        extract("model.tar"),
        title="tar with an absolute path",
    )
    yield file(
        "model.zip",
        lambda marker: zipped(str(marker), b""),
        unzip,
        title="zip with an absolute path",
    )


def running() -> Iterator[Unsafe]:
    """Python runs a zip with a `__main__.py`, whatever it is called."""

    def run(name: str) -> Load:
        return lambda folder: subprocess.run([sys.executable, folder / name], check=False)

    def behind_text(marker: Path) -> bytes:
        return b"# Model\n\nForecasts volatility.\n" + zipped("__main__.py", code(marker).encode())

    for name in ("model.pyz", "model.skops", "model.txt"):
        yield file(
            name,
            lambda marker: zipped("__main__.py", code(marker).encode()),
            run(name),
            title=f"zipapp as {name}",
        )
    yield file("README.md", behind_text, run("README.md"), title="zipapp behind a text")
