"""Staging: one pass, a private copy, and a clear refusal of what no store keeps."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import resource
import signal
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.registry import staging
from domain.registry.artifact import StagedArtifact
from domain.registry.errors import InvalidInput, Unavailable, UnsafeArtifact
from domain.registry.staging import stage, unavailable
from tests.processes import ChildError, in_child


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "staging"


def contents(staged: StagedArtifact) -> dict[str, bytes]:
    return {file.path: (staged.root / file.path).read_bytes() for file in staged.artifact.files}


def test_a_file_becomes_an_artifact_of_its_own_name(tmp_path: Path, place: Path) -> None:
    source = tmp_path / "model.onnx"
    source.write_bytes(b"weights")
    with stage(source, place) as staged:
        (file,) = staged.artifact.files
        assert (file.path, file.size, file.sha256) == (
            "model.onnx",
            7,
            hashlib.sha256(b"weights").hexdigest(),
        )
        assert contents(staged) == {"model.onnx": b"weights"}
        assert (
            stat.S_IMODE(staged.root.stat().st_mode)
            == stat.S_IMODE(staged.root.parent.stat().st_mode)
            == 0o700
        )
        source.write_bytes(b"changed afterwards")
        assert contents(staged) == {"model.onnx": b"weights"}
    assert list(place.iterdir()) == []


def test_the_name_of_a_file_given_by_a_relative_path_is_kept(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "model.txt").write_bytes(b"x")
    monkeypatch.chdir(tmp_path / "sub")
    with stage(Path("../model.txt"), place) as staged:
        assert [file.path for file in staged.artifact.files] == ["model.txt"]


NAMES = st.text(st.sampled_from("abcXYZ01._- é"), min_size=1, max_size=8).filter(lambda n: n.strip(" ."))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(
        st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=50), min_size=1, max_size=6
    )
)
def test_every_directory_is_copied_as_it_is_or_refused(
    files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("any")
    written = {}
    for path, content in files.items():
        with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
            (root / "source" / path).parent.mkdir(parents=True, exist_ok=True)
            (root / "source" / path).write_bytes(content)
            written[path] = content
    try:
        with stage(root / "source", root / "staging") as staged:
            assert contents(staged) == written
            for file in staged.artifact.files:
                assert file.sha256 == hashlib.sha256(written[file.path]).hexdigest()
    except UnsafeArtifact:
        folded = [path.casefold() for path in written]
        assert len(set(folded)) < len(folded) or any("/.git" in f"/{path}" for path in folded)
    assert list((root / "staging").iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, staging.CHUNK - 1, staging.CHUNK, 9 * staging.CHUNK + 1])
def test_sizes_around_the_chunks_are_copied_and_hashed(tmp_path: Path, place: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "a.bin").write_bytes(content)
    with stage(tmp_path / "a.bin", place) as staged:
        assert contents(staged) == {"a.bin": content}
        assert staged.artifact.files[0].sha256 == hashlib.sha256(content).hexdigest()


def test_without_copying_in_the_kernel_the_result_is_the_same(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: int) -> int:
        raise OSError(errno.EINVAL, "not here")

    content = os.urandom(3 * staging.CHUNK + 1)
    (tmp_path / "a.bin").write_bytes(content)
    monkeypatch.setattr(os, "sendfile", unsupported)
    with stage(tmp_path / "a.bin", place) as staged:
        assert contents(staged) == {"a.bin": content}
        assert staged.artifact.files[0].sha256 == hashlib.sha256(content).hexdigest()


def symlink(folder: Path) -> None:
    (folder / "bad").symlink_to("/etc/passwd")


def link_to_directory(folder: Path) -> None:
    (folder / "bad").symlink_to("/etc")


def pipe(folder: Path) -> None:
    os.mkfifo(folder / "bad")


def unix_socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            made.bind(f"/proc/self/fd/{descriptor}/bad")
        finally:
            os.close(descriptor)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (symlink, "bad"),
        (link_to_directory, "bad"),
        (pipe, "bad"),
        (unix_socket, "bad"),
        (lambda folder: (folder / "empty").mkdir(), "empty"),
        (lambda folder: (folder / ".gitignore").write_text("x"), ".gitignore"),
        (lambda folder: (folder / ".GIT").mkdir(), ".GIT"),
        (lambda folder: (folder / "a\nb").write_text("x"), r"a\\nb"),
        (lambda folder: (folder / "a\\b").write_text("x"), r"a\\\\b"),
        (lambda folder: (folder / "e\u0301").write_text("x"), "e"),
        (lambda folder: (folder / os.fsdecode(b"\xff")).write_text("x"), "udcff"),
        (lambda folder: (folder / "GOOD.txt").write_text("x"), "good|GOOD"),
        (lambda folder: (folder / ("n" * 201)).write_text("x"), "nnn"),
    ],
)
def test_what_no_store_keeps_is_refused_by_name(
    tmp_path: Path, place: Path, make: Callable[[Path], None], name: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "good.txt").write_text("good")
    make(folder)
    with pytest.raises(UnsafeArtifact, match=name), stage(folder, place):
        pass
    assert list(place.iterdir()) == []


def test_an_empty_source_a_link_and_a_missing_one_are_refused(tmp_path: Path, place: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    with pytest.raises(UnsafeArtifact, match="holds no file"), stage(tmp_path / "empty", place):
        pass
    with pytest.raises(UnsafeArtifact, match="symbolic link"), stage(tmp_path / "link", place):
        pass
    with pytest.raises(InvalidInput, match="no such file"), stage(tmp_path / "missing", place):
        pass
    with pytest.raises(UnsafeArtifact), stage(Path("/dev/null"), place):
        pass


@pytest.mark.parametrize("change", ["append", "overwrite", "add a file", "remove a file"])
def test_a_source_that_changes_while_it_is_copied_is_found(
    tmp_path: Path, place: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("a.bin", "b.bin"):
        (folder / name).write_bytes(b"x" * 100)
        os.utime(folder / name, (1, 1))
    os.utime(folder, (1, 1))
    real = os.sendfile

    def copy_and_change(*arguments: int) -> int:
        monkeypatch.setattr(os, "sendfile", real)
        if change == "append":
            (folder / "a.bin").write_bytes(b"x" * 101)
        elif change == "overwrite":
            (folder / "a.bin").write_bytes(b"y" * 100)
        elif change == "add a file":
            (folder / "c.bin").write_bytes(b"new")
        else:
            (folder / "b.bin").unlink()
        return real(*arguments)

    monkeypatch.setattr(os, "sendfile", copy_and_change)
    with pytest.raises(Unavailable, match="changed while it was copied"), stage(folder, place):
        pass
    assert list(place.iterdir()) == []


def test_an_error_in_the_block_still_removes_the_copy(tmp_path: Path, place: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(KeyError), stage(tmp_path / "a.txt", place):
        raise KeyError
    assert list(place.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_what_a_live_one_uses_is_kept(
    tmp_path: Path, place: Path
) -> None:
    (tmp_path / "a.txt").write_text("x")
    child = os.fork()
    if child == 0:
        with stage(tmp_path / "a.txt", place):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    (left,) = place.glob("stage-*[!k]")
    with stage(tmp_path / "a.txt", place) as live:
        assert not left.exists()
        with stage(tmp_path / "a.txt", place):
            assert contents(live) == {"a.txt": b"x"}
        assert contents(live) == {"a.txt": b"x"}
    assert list(place.iterdir()) == []


def test_processes_that_stage_at_once_do_not_sweep_each_other(tmp_path: Path, place: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            code = 1
            with contextlib.suppress(BaseException):
                for _ in range(40):
                    with stage(tmp_path / "a.txt", place) as staged:
                        assert contents(staged) == {"a.txt": b"x"}
                code = 0
            os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 8
    assert list(place.iterdir()) == []


def test_a_limit_on_file_sizes_is_one_sentence_and_leaves_nothing(tmp_path: Path, place: Path) -> None:
    (tmp_path / "large.bin").write_bytes(b"x" * (1 << 20))

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, 1 << 16))

    def work() -> None:
        with stage(tmp_path / "large.bin", place):
            pass

    with pytest.raises(ChildError, match=r"Unavailable: staging large\.bin failed, .*raise ulimit"):
        in_child(work, before=limit)
    assert list(place.iterdir()) == []


def test_a_staging_place_that_is_no_directory_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(Unavailable, match="staging in"), stage(tmp_path / "a.txt", tmp_path / "a.txt" / "b"):
        pass


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "the disk is full: free space"),
        (errno.EDQUOT, "the disk is full: free space"),
        (errno.EROFS, "mount it writable"),
        (errno.EACCES, "grant this user access"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_errors_of_the_operating_system_say_what_to_do(number: int, sentence: str) -> None:
    error = unavailable(OSError(number, os.strerror(number), "/place"), "storing")
    assert sentence in str(error)
    assert error.retriable


def test_memory_does_not_depend_on_the_size(tmp_path: Path, place: Path) -> None:
    size = 256 << 20
    with (tmp_path / "large.bin").open("wb") as file:
        file.truncate(size)

    def work() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with stage(tmp_path / "large.bin", place) as staged:
            assert staged.artifact.size == size
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    assert in_child(work) < 40 << 10
