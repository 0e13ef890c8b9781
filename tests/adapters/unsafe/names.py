"""Artifacts that are unsafe by what they are in the file system: links, pipes, sockets and names."""

from __future__ import annotations

import os
import pickle
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from tests.adapters.unsafe.case import MARKER, Unsafe, pickled, text_pickle, unpickle


def cases() -> Iterator[Unsafe]:
    yield Unsafe("link to a file", link, unpickle("model.txt"), "model.txt")
    yield Unsafe("link to a directory", directory_link, unpickle("weights/model.txt"), "weights")
    yield Unsafe("pipe", pipe, read_pipe, "model.txt")
    yield Unsafe("socket", listening, read_socket, "model.txt")
    yield Unsafe("name with backslashes", backslashes, copy_as_windows, f"..\\..\\{MARKER}")
    yield Unsafe("name with a line break", line_break, list_names, "a\n..")


def link(folder: Path, marker: Path) -> None:
    outside = marker.parent / "outside"
    outside.write_bytes(text_pickle(marker))
    (folder / "model.txt").symlink_to(outside)


def directory_link(folder: Path, marker: Path) -> None:
    outside = marker.parent / "outside"
    outside.mkdir()
    (outside / "model.txt").write_bytes(text_pickle(marker))
    (folder / "weights").symlink_to(outside)


def pipe(folder: Path, marker: Path) -> None:
    os.mkfifo(folder / "model.txt")
    (folder.parent / "sent").write_bytes(pickled(marker))


def read_pipe(folder: Path) -> object:
    sender = threading.Thread(
        target=lambda: (folder / "model.txt").write_bytes((folder.parent / "sent").read_bytes())
    )
    sender.start()
    with (folder / "model.txt").open("rb") as content:
        loaded = pickle.load(content)
    sender.join()
    return loaded


def listening(folder: Path, marker: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        # The path may be longer than a socket's address allows.
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            made.bind(f"/proc/self/fd/{descriptor}/model.txt")
        finally:
            os.close(descriptor)
    (folder.parent / "sent").write_bytes(pickled(marker))


def read_socket(folder: Path) -> object:
    """The one who put the socket there listens again and sends."""
    (folder / "model.txt").unlink()
    descriptor = os.open(folder, os.O_RDONLY)
    address = f"/proc/self/fd/{descriptor}/model.txt"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(address)
        server.listen()
        client.connect(address)
        connection, _ = server.accept()
        with connection:
            connection.sendall((folder.parent / "sent").read_bytes())
        with client.makefile("rb") as content:
            loaded = pickle.load(content)
    os.close(descriptor)
    return loaded


def backslashes(folder: Path, marker: Path) -> None:
    (folder / f"..\\..\\{MARKER}").write_bytes(b"")


def copy_as_windows(folder: Path) -> object:
    """Where backslashes part directories, the copy leaves its place."""
    copies = folder / "copies" / "new"
    copies.mkdir(parents=True)
    for path in list(folder.iterdir()):
        if path.is_file():
            (copies / ".." / path.name.replace("\\", "/")).write_bytes(path.read_bytes())
    return None


def line_break(folder: Path, marker: Path) -> None:
    (folder / "a\n..").mkdir()
    (folder / "a\n..").joinpath(MARKER).write_bytes(b"")


def list_names(folder: Path) -> object:
    """A list of names, one a line, as `find` prints it and scripts read it."""
    names = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]
    for line in "\n".join(names).splitlines():
        (folder / line).write_bytes(b"")
    return None
