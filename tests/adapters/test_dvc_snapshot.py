"""Snapshots kept by DVC: named by SHA-256, safe at once, quick when they exist, found on other machines."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from domain.registry.canonical import Digest, digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound, Unavailable
from tests.servers.seaweedfs import S3Server
from veritasvault.adapters.dvc_snapshot import DvcSnapshots

CONTENT = b"asset,date,close\nA,2020-01-01,1.5\n"


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    path = tmp_path / "raw.csv"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def snapshots(tmp_path: Path) -> DvcSnapshots:
    return DvcSnapshots(tmp_path / "snapshots")


def cached(home: Path) -> list[Path]:
    """The objects of DVC's own cache."""
    return [path for path in (home / ".dvc" / "cache").rglob("*") if path.is_file()]


def test_a_snapshot_is_named_by_its_sha256_with_dvcs_md5_beside_it(
    snapshots: DvcSnapshots, raw: Path
) -> None:
    kept = snapshots.snapshot(raw)
    assert kept.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert kept.store_id == f"md5:{hashlib.md5(CONTENT).hexdigest()}"
    assert kept.size == len(CONTENT)


def test_a_snapshot_comes_back_byte_for_byte_though_its_source_is_gone(
    snapshots: DvcSnapshots, raw: Path, tmp_path: Path
) -> None:
    kept = snapshots.snapshot(raw)
    raw.unlink()
    back = snapshots.materialize(kept.sha256, tmp_path / "back")
    assert back == tmp_path / "back" / f"{kept.sha256}.csv"
    assert back.read_bytes() == CONTENT


def test_the_same_bytes_give_the_same_snapshot_and_are_kept_once(
    snapshots: DvcSnapshots, raw: Path, tmp_path: Path
) -> None:
    other = tmp_path / "another-name.csv"
    shutil.copy(raw, other)
    assert snapshots.snapshot(raw) == snapshots.snapshot(other)
    assert len(cached(tmp_path / "snapshots")) == 1


def test_dvc_itself_can_check_out_what_was_kept(snapshots: DvcSnapshots, raw: Path, tmp_path: Path) -> None:
    """Whoever has DVC alone is not locked in."""
    from dvc.repo import Repo

    kept = snapshots.snapshot(raw)
    home = tmp_path / "snapshots"
    with Repo(str(home)) as repository:
        repository.checkout([str(home / "raw" / f"{kept.sha256}.dvc")])
    assert (home / "raw" / kept.sha256).read_bytes() == CONTENT


def test_an_existing_snapshot_is_answered_without_importing_dvc(
    snapshots: DvcSnapshots, raw: Path, tmp_path: Path
) -> None:
    kept = snapshots.snapshot(raw)
    script = (
        "import sys; from pathlib import Path\n"
        "from veritasvault.adapters.dvc_snapshot import DvcSnapshots\n"
        "snapshots = DvcSnapshots(Path(sys.argv[1]))\n"
        "kept = snapshots.snapshot(Path(sys.argv[2]))\n"
        "snapshots.materialize(kept.sha256, Path(sys.argv[3]))\n"
        "print(kept.store_id, [name for name in ('dvc', 'boto3', 'fsspec') if name in sys.modules])\n"
    )
    arguments = [tmp_path / "snapshots", raw, tmp_path / "back"]
    run = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == f"{kept.store_id} []"


def test_unknown_snapshots_and_unreadable_files_get_one_sentence(
    snapshots: DvcSnapshots, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="is not kept in"):
        snapshots.materialize(digest(b"unknown"), tmp_path / "back")
    with pytest.raises(InvalidInput, match="snapshot is 'short': give a SHA-256 digest"):
        snapshots.materialize(Digest("short"), tmp_path / "back")
    with pytest.raises(InvalidInput, match="give a file that can be read"):
        snapshots.snapshot(tmp_path / "nowhere.csv")


def test_a_changed_bit_is_found_and_nothing_is_written(
    snapshots: DvcSnapshots, raw: Path, tmp_path: Path
) -> None:
    kept = snapshots.snapshot(raw)
    (stored,) = cached(tmp_path / "snapshots")
    stored.chmod(0o644)
    stored.write_bytes(bytes([CONTENT[0] ^ 1]) + CONTENT[1:])
    with pytest.raises(IntegrityError, match=f"snapshot {kept.sha256} changed"):
        snapshots.materialize(kept.sha256, tmp_path / "back")
    assert list((tmp_path / "back").iterdir()) == []


@pytest.mark.parametrize("change", ["swap", "truncate", "nonsense"])
def test_a_changed_index_is_found(change: str, snapshots: DvcSnapshots, raw: Path, tmp_path: Path) -> None:
    kept = snapshots.snapshot(raw)
    entry = tmp_path / "snapshots" / "index" / f"{kept.sha256}.json"
    data = entry.read_bytes()
    changed = {"swap": data.replace(kept.sha256[:8].encode(), b"00000000"), "truncate": data[:20]}
    entry.write_bytes(changed.get(change, b"{}"))
    with pytest.raises(IntegrityError):
        snapshots.materialize(kept.sha256, tmp_path / "back")


def test_a_snapshot_whose_bytes_were_lost_is_kept_anew(
    snapshots: DvcSnapshots, raw: Path, tmp_path: Path
) -> None:
    kept = snapshots.snapshot(raw)
    shutil.rmtree(tmp_path / "snapshots" / ".dvc" / "cache")
    with pytest.raises(NotFound):
        snapshots.materialize(kept.sha256, tmp_path / "back")
    assert snapshots.snapshot(raw) == kept
    assert snapshots.materialize(kept.sha256, tmp_path / "back").read_bytes() == CONTENT


def test_a_damaged_object_is_replaced_when_the_snapshot_is_kept_anew(
    snapshots: DvcSnapshots, raw: Path, tmp_path: Path
) -> None:
    kept = snapshots.snapshot(raw)
    (stored,) = cached(tmp_path / "snapshots")
    stored.chmod(0o644)
    stored.write_bytes(CONTENT[:-1])
    assert snapshots.snapshot(raw) == kept
    assert snapshots.materialize(kept.sha256, tmp_path / "back").read_bytes() == CONTENT


def keep(home: Path, path: Path, ready: object, found: object) -> None:
    ready.wait()  # type: ignore[attr-defined]
    found.put((path.name, DvcSnapshots(home).snapshot(path).sha256))  # type: ignore[attr-defined]


@pytest.mark.parametrize("kinds", [1, 8])
def test_eight_processes_at_once_all_succeed(kinds: int, tmp_path: Path) -> None:
    """Keeping one file together, and each its own; none fails on a lock."""
    paths = [tmp_path / f"{number}.csv" for number in range(8)]
    for number, path in enumerate(paths):
        path.write_bytes(CONTENT + bytes([65 + number % kinds]))
    context = multiprocessing.get_context("fork")
    ready, found = context.Barrier(8), context.Queue()
    workers = [context.Process(target=keep, args=(tmp_path / "home", path, ready, found)) for path in paths]
    for worker in workers:
        worker.start()
    results = dict(found.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 8
    assert results == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
    assert len(set(results.values())) == len(cached(tmp_path / "home")) == kinds
    for name, sha256 in results.items():
        back = DvcSnapshots(tmp_path / "home").materialize(Digest(sha256), tmp_path / "back")
        assert back.read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("point", ["add", "sync", "write_durably"])
def test_a_process_killed_while_keeping_leaves_nothing_in_the_way(
    point: str, raw: Path, tmp_path: Path
) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "import veritasvault.adapters.dvc_snapshot as module\n"
        "def die(*arguments, **options): os.kill(os.getpid(), signal.SIGKILL)\n"
        "if sys.argv[3] == 'add':\n"
        "    import dvc.stage; dvc.stage.Stage.dump = die\n"
        "else: setattr(module, sys.argv[3], die)\n"
        "module.DvcSnapshots(Path(sys.argv[1])).snapshot(Path(sys.argv[2]))\n"
    )
    killed = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "home", raw, point], capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    survivor = DvcSnapshots(tmp_path / "home")
    with pytest.raises(NotFound):
        survivor.materialize(digest(CONTENT), tmp_path / "back")
    assert survivor.snapshot(raw).sha256 == digest(CONTENT)
    assert survivor.materialize(digest(CONTENT), tmp_path / "back").read_bytes() == CONTENT


def test_a_directory_remote_serves_another_machine(raw: Path, tmp_path: Path) -> None:
    remote = str(tmp_path / "remote")
    kept = DvcSnapshots(tmp_path / "here", remote).snapshot(raw)
    there = DvcSnapshots(tmp_path / "there", remote)
    assert there.materialize(kept.sha256, tmp_path / "back").read_bytes() == CONTENT
    with pytest.raises(NotFound, match="is neither in"):
        there.materialize(digest(b"unknown"), tmp_path / "back")


def test_a_remote_that_is_set_later_gets_what_is_kept_from_then_on(raw: Path, tmp_path: Path) -> None:
    kept = DvcSnapshots(tmp_path / "here").snapshot(raw)
    remote = str(tmp_path / "remote")
    assert DvcSnapshots(tmp_path / "here", remote).snapshot(raw) == kept
    assert DvcSnapshots(tmp_path / "there", remote).materialize(kept.sha256, tmp_path / "back").exists()


def s3_snapshots(home: Path, server: S3Server, url: str) -> DvcSnapshots:
    return DvcSnapshots(
        home,
        url,
        endpoint_url=server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
        region_name=server.region,
    )


def test_an_s3_remote_serves_another_machine_and_no_key_is_written_to_disk(
    s3_server: S3Server, raw: Path, tmp_path: Path
) -> None:
    url = f"s3://{s3_server.make_bucket()}/market/raw"
    kept = s3_snapshots(tmp_path / "here", s3_server, url).snapshot(raw)
    there = s3_snapshots(tmp_path / "there", s3_server, url)
    assert there.materialize(kept.sha256, tmp_path / "back").read_bytes() == CONTENT
    with pytest.raises(NotFound, match="is neither in"):
        there.materialize(digest(b"unknown"), tmp_path / "back")
    for path in [*(tmp_path / "here").rglob("*"), *(tmp_path / "there").rglob("*")]:
        assert not path.is_file() or s3_server.secret_key.encode() not in path.read_bytes(), path


def test_changed_bytes_on_the_remote_are_found(s3_server: S3Server, raw: Path, tmp_path: Path) -> None:
    bucket = s3_server.make_bucket()
    url = f"s3://{bucket}/raw"
    kept = s3_snapshots(tmp_path / "here", s3_server, url).snapshot(raw)
    md5 = kept.store_id.removeprefix("md5:")
    key = f"raw/files/md5/{md5[:2]}/{md5[2:]}"
    s3_server.client().put_object(Bucket=bucket, Key=key, Body=CONTENT.replace(b"1.5", b"9.5"))
    with pytest.raises(IntegrityError, match="changed"):
        s3_snapshots(tmp_path / "there", s3_server, url).materialize(kept.sha256, tmp_path / "back")


def test_a_remote_that_cannot_be_reached_is_unavailable(
    s3_server: S3Server, raw: Path, tmp_path: Path
) -> None:
    away = DvcSnapshots(
        tmp_path / "a", "s3://bucket/x", endpoint_url="http://127.0.0.1:9", access_key="a", secret_key="b"
    )
    with pytest.raises(Unavailable, match="snapshots cannot be kept in s3://bucket/x now: "):
        away.snapshot(raw)
    refused = DvcSnapshots(
        tmp_path / "b",
        f"s3://{s3_server.make_bucket()}/x",
        endpoint_url=s3_server.endpoint,
        access_key=s3_server.access_key,
        secret_key="wrong",
    )
    with pytest.raises(Unavailable, match="cannot be kept"):
        refused.snapshot(raw)


def test_a_directory_that_cannot_be_written_is_unavailable(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be written"):
        DvcSnapshots(tmp_path / "file" / "home").snapshot(raw)


def test_no_process_and_no_telemetry_is_started(raw: Path, tmp_path: Path) -> None:
    """Nothing but the repository is touched: HOME stays empty, nothing is printed and no name looked up."""
    script = (
        "import socket, sys; from pathlib import Path\n"
        "def refuse(*arguments, **options): raise AssertionError(f'network: {arguments}')\n"
        "socket.getaddrinfo = refuse; socket.socket.connect = refuse\n"
        "import subprocess; subprocess.Popen.__init__ = refuse\n"
        "from veritasvault.adapters.dvc_snapshot import DvcSnapshots\n"
        "print(DvcSnapshots(Path(sys.argv[1])).snapshot(Path(sys.argv[2])).size)\n"
    )
    home = tmp_path / "user"
    home.mkdir()
    run = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "home", raw],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")},
    )
    assert run.stdout == f"{len(CONTENT)}\n", run.stderr
    assert [path for path in home.rglob("*") if path.is_file()] == []
