"""The file system registry: durable before visible, linked and not copied, clear when a disk refuses."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domain.registry.artifact import StagedArtifact
from domain.registry.errors import IntegrityError, NotFound, Unavailable
from domain.registry.manifest import Manifest, ModelId
from domain.registry.staging import stage
from tests.adapters.artifacts import staged
from tests.exactly_once.candidates import lineage, metadata
from tests.places import open_to_others
from tests.processes import ChildError, in_child, without_privileges
from veritasvault.adapters.filesystem_registry import FilesystemModelRegistry

FILES = {"model.bin": b"weights" * 1000, "notes/about.txt": b"About."}


def model(root: Path, files: dict[str, bytes] = FILES) -> tuple[ModelId, StagedArtifact, bytes]:
    artifact = staged(root, files)
    manifest = Manifest(metadata(), lineage(0), artifact.artifact)
    return manifest.model_id, artifact, manifest.to_bytes()


@pytest.fixture
def registry(tmp_path: Path) -> FilesystemModelRegistry:
    return FilesystemModelRegistry(tmp_path / "deep" / "registry")


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that users without privileges can reach."""
    with open_to_others() as directory:
        yield directory


def test_a_staged_file_is_linked_and_not_copied_again(
    registry: FilesystemModelRegistry, tmp_path: Path
) -> None:
    source = tmp_path / "model.bin"
    source.write_bytes(b"weights")
    with stage(source, registry.staging) as artifact:
        manifest = Manifest(metadata(), lineage(0), artifact.artifact)
        inode = (artifact.root / "model.bin").stat().st_ino
        registry.store_model(manifest.model_id, artifact, manifest.to_bytes())
    stored = registry.root / "models" / manifest.model_id / "artifact" / "model.bin"
    assert stored.stat().st_ino == inode
    assert stored.read_bytes() == b"weights"
    assert list(registry.staging.iterdir()) == []


def test_what_is_stored_is_read_only(registry: FilesystemModelRegistry, tmp_path: Path) -> None:
    model_id, artifact, manifest = model(tmp_path / "m")
    registry.store_model(model_id, artifact, manifest)
    registry.attach(model_id, b"report")
    files = [path for path in (registry.root / "models").rglob("*") if path.is_file()]
    assert len(files) == 4
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o444}


def test_a_staged_copy_on_another_file_system_is_copied(tmp_path: Path) -> None:
    """Without a second file system at hand (/dev/shm), linking across one is what the kernel refuses."""
    other = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
    root = Path(tempfile.mkdtemp(dir=other))
    try:
        registry = FilesystemModelRegistry(root / "registry")
        model_id, artifact, manifest = model(tmp_path / "m")
        registry.store_model(model_id, artifact, manifest)
        assert b"".join(registry.read_file(model_id, "model.bin")) == FILES["model.bin"]
        assert list(registry.staging.iterdir()) == []
    finally:
        shutil.rmtree(root)


def test_everything_is_flushed_before_the_manifest_appears(
    registry: FilesystemModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each name is flushed by its directory, up to above the registry, before the manifest is linked."""
    events: list[tuple[str, str]] = []
    fsync, link = os.fsync, os.link

    def watched_fsync(descriptor: int) -> None:
        events.append(("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        fsync(descriptor)

    def watched_link(source: Any, target: Any, **options: Any) -> None:
        link(source, target, **options)
        events.append(("link", str(target)))

    model_id, artifact, manifest = model(tmp_path / "m")
    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "link", watched_link)
    registry.store_model(model_id, artifact, manifest)
    home = registry.root / "models" / model_id
    commit = events.index(("link", str(home / "metadata.json")))
    for path in FILES:
        linked = events.index(("link", str(home / "artifact" / path)))
        for parent in (home / "artifact" / path).parents:
            if registry.root in (parent, *parent.parents):
                assert ("fsync", str(parent)) in events[linked:commit], parent
    assert ("fsync", str(tmp_path)) in events[:commit]
    assert ("fsync", str(home)) in events[commit:]


def test_an_attachment_flushes_the_way_to_it_that_was_not_flushed_yet(
    registry: FilesystemModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a model just stored, its own directories; of one that others stored or made again, all above."""
    flushed: list[str] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", watched)

    def attach(to: FilesystemModelRegistry, content: bytes) -> set[str]:
        flushed.clear()
        to.attach(model_id, content)
        return {path.removeprefix(f"{registry.root}") for path in flushed if ".staging" not in path}

    model_id, artifact, manifest = model(tmp_path / "m")
    home = registry.root / "models" / model_id
    own = {f"/models/{model_id}", f"/models/{model_id}/attachments"}
    registry.store_model(model_id, artifact, manifest)
    assert attach(registry, b"one") == own
    assert attach(FilesystemModelRegistry(registry.root), b"two") == {*own, "/models", ""}
    shutil.copytree(home, tmp_path / "again")
    home.rename(tmp_path / "away")
    (tmp_path / "again").rename(home)
    assert attach(registry, b"three") == {*own, "/models", ""}
    flushed.clear()
    registry.store_model(model_id, artifact, manifest)
    assert {"/models", ""} < {path.removeprefix(f"{registry.root}") for path in flushed}


def _store(root: Path, artifact: Path, start: Any, answers: Any) -> None:
    described = model(artifact)
    start.wait()
    try:
        FilesystemModelRegistry(root).store_model(*described)
        answers.put("stored")
    except BaseException as error:
        answers.put(repr(error))


def test_eight_processes_that_store_the_same_model_all_succeed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for round_ in range(10):
        root = tmp_path / f"registry-{round_}"
        start, answers = context.Barrier(8), context.Queue()
        workers = [
            context.Process(target=_store, args=(root, tmp_path / f"m-{round_}-{n}", start, answers))
            for n in range(8)
        ]
        for worker in workers:
            worker.start()
        assert [answers.get(timeout=60) for _ in workers] == ["stored"] * 8
        for worker in workers:
            worker.join(60)
        registry = FilesystemModelRegistry(root)
        (model_id,) = registry.list()
        registry.retrieve_model(model_id, tmp_path / f"out-{round_}")
        assert (tmp_path / f"out-{round_}" / "model.bin").read_bytes() == FILES["model.bin"]


def test_a_registry_that_may_not_be_written_is_one_sentence_and_still_readable(open_directory: Path) -> None:
    registry = FilesystemModelRegistry(open_directory / "registry")
    first = model(open_directory / "m")
    registry.store_model(*first)
    second = model(open_directory / "n", {"other.txt": b"other"})
    for path in (registry.root, *registry.root.rglob("*")):
        if path.is_dir():
            path.chmod(0o555)

    def read() -> bytes:
        return b"".join(registry.read_file(first[0], "model.bin"))

    assert in_child(read, before=without_privileges) == FILES["model.bin"]
    with pytest.raises(ChildError, match=r"Unavailable: .*may not be written or read: mount it writable"):
        in_child(lambda: registry.store_model(*second), before=without_privileges)
    with pytest.raises(ChildError, match=r"Unavailable: .*may not be written or read"):
        in_child(lambda: registry.attach(first[0], b"new"), before=without_privileges)
    for path in (registry.root, *registry.root.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    assert list(registry.list()) == [first[0]]


def test_a_destination_that_may_not_be_written_is_one_sentence(open_directory: Path) -> None:
    registry = FilesystemModelRegistry(open_directory / "registry")
    stored = model(open_directory / "m")
    registry.store_model(*stored)
    (open_directory / "locked").mkdir(mode=0o555)
    with pytest.raises(ChildError, match=r"Unavailable: writing to .*locked failed"):
        in_child(
            lambda: registry.retrieve_model(stored[0], open_directory / "locked" / "out"),
            before=without_privileges,
        )


def test_a_write_that_finds_no_room_leaves_no_model_and_no_destination(
    registry: FilesystemModelRegistry, tmp_path: Path
) -> None:
    """A limit on file sizes stops a write in its middle, as a full disk does."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    stored = model(tmp_path / "m")
    with pytest.raises(ChildError, match=r"Unavailable: storing model .*limit on file sizes"):
        in_child(lambda: registry.store_model(*stored), before=limit)
    assert not registry.exists(stored[0])
    assert list(registry.staging.iterdir()) == []
    registry.store_model(*stored)
    with pytest.raises(ChildError, match=r"Unavailable: writing model\.bin failed"):
        in_child(lambda: registry.retrieve_model(stored[0], tmp_path / "out"), before=limit)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["deep", "m"]


def test_a_missing_registry_is_empty_and_a_file_in_its_place_is_one_sentence(tmp_path: Path) -> None:
    model_id, artifact, manifest = model(tmp_path / "m")
    missing = FilesystemModelRegistry(tmp_path / "missing")
    assert list(missing.list()) == []
    assert not missing.exists(model_id)
    with pytest.raises(NotFound, match="missing"):
        missing.read_manifest(model_id)
    assert not (tmp_path / "missing").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(Unavailable, match="is not a directory: give the registry a directory"):
        FilesystemModelRegistry(tmp_path / "file").store_model(model_id, artifact, manifest)


@pytest.mark.parametrize("key", ["artifact/model.bin", "metadata.json"])
@pytest.mark.parametrize("kind", ["symlink", "directory", "pipe"])
def test_what_is_no_file_in_place_of_an_object_is_named(
    registry: FilesystemModelRegistry, tmp_path: Path, key: str, kind: str
) -> None:
    model_id, artifact, manifest = model(tmp_path / "m")
    registry.store_model(model_id, artifact, manifest)
    path = registry.root / "models" / model_id / key
    path.rename(tmp_path / "aside")
    if kind == "symlink":
        path.symlink_to(tmp_path / "aside")
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)
    with pytest.raises(IntegrityError, match=key):
        registry.retrieve_model(model_id, tmp_path / "out")
    with pytest.raises(IntegrityError, match=key):
        registry.store_model(model_id, artifact, manifest)
    assert not (tmp_path / "out").exists()


def test_a_file_in_place_of_a_directory_is_named(registry: FilesystemModelRegistry, tmp_path: Path) -> None:
    model_id, artifact, manifest = model(tmp_path / "m")
    home = registry.root / "models" / model_id
    (home / "artifact").mkdir(parents=True)
    (home / "artifact" / "notes").write_text("in the way")
    with pytest.raises(IntegrityError, match="artifact/notes"):
        registry.store_model(model_id, artifact, manifest)
    assert not registry.exists(model_id)


def test_every_bit_of_a_small_model_counts(registry: FilesystemModelRegistry, tmp_path: Path) -> None:
    """Each single flipped bit of each object is found by retrieving, and named."""
    model_id, artifact, manifest = model(tmp_path / "m", {"a.txt": b"abc", "b/c.txt": b"d"})
    registry.store_model(model_id, artifact, manifest)
    home = registry.root / "models" / model_id
    flips = 0
    for path in sorted(home.rglob("*.*")):
        if path.is_dir():
            continue
        original = path.read_bytes()
        for bit in range(0, len(original) * 8, 1 if len(original) < 10 else 37):
            changed = bytearray(original)
            changed[bit // 8] ^= 1 << (bit % 8)
            path.unlink()
            path.write_bytes(bytes(changed))
            with pytest.raises(IntegrityError, match=path.name):
                registry.retrieve_model(model_id, tmp_path / "out")
            flips += 1
        path.unlink()
        path.write_bytes(original)
    assert flips > 100
    registry.retrieve_model(model_id, tmp_path / "out")
