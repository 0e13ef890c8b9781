"""The Git LFS registry on real repositories: races, kills, damage, refusals, and settings of the user's."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from domain.registry.artifact import StagedArtifact
from domain.registry.canonical import digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound, Unavailable
from domain.registry.manifest import Manifest, ModelId
from tests.adapters.artifacts import staged
from tests.exactly_once.candidates import lineage, metadata
from tests.servers.git_lfs import GitRemote, make_remote
from veritasvault.adapters.git_branch import GitBranch
from veritasvault.adapters.git_command import Git, GitFailed
from veritasvault.adapters.git_lfs_objects import LfsTransfer
from veritasvault.adapters.git_lfs_registry import GitLfsModelRegistry

FILES = {"model.bin": os.urandom(3 << 20), "notes/about it.txt": b"About.\r\nIt.\n", "empty.txt": b""}


def model(
    root: Path, number: int = 0, files: dict[str, bytes] = FILES
) -> tuple[ModelId, StagedArtifact, bytes]:
    artifact = staged(root, files)
    manifest = Manifest(metadata(), lineage(number), artifact.artifact)
    return manifest.model_id, artifact, manifest.to_bytes()


@pytest.fixture
def registry(git_remote: GitRemote, tmp_path: Path) -> GitLfsModelRegistry:
    return GitLfsModelRegistry(git_remote.url, tmp_path / "cache")


def contents(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_a_model_is_one_commit_with_its_files_in_lfs(
    git_remote: GitRemote, registry: GitLfsModelRegistry, tmp_path: Path
) -> None:
    model_id, artifact, manifest = model(tmp_path / "m")
    registry.store_model(model_id, artifact, manifest)
    registry.store_model(model_id, artifact, manifest)
    assert git_remote.commits() == 1
    home = f"main:models/{model_id}"
    assert git_remote.git("show", f"{home}/metadata.json").encode() == manifest
    pointer = git_remote.git("show", f"{home}/artifact/model.bin")
    assert pointer.splitlines()[1:] == [f"oid sha256:{digest(FILES['model.bin'])}", f"size {3 << 20}"]
    assert git_remote.lfs_object(digest(FILES["model.bin"])).read_bytes() == FILES["model.bin"]
    registry.retrieve_model(model_id, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_others_may_read_what_was_staged_privately(
    git_remote: GitRemote, registry: GitLfsModelRegistry, tmp_path: Path
) -> None:
    """git-lfs links the staged file into a remote that is a directory."""
    model_id, artifact, manifest = model(tmp_path / "m")
    (artifact.root / "model.bin").chmod(0o600)
    registry.store_model(model_id, artifact, manifest)
    assert git_remote.lfs_object(digest(FILES["model.bin"])).stat().st_mode & 0o777 == 0o444


def test_git_and_git_lfs_alone_check_a_model_out(
    git_remote: GitRemote, registry: GitLfsModelRegistry, tmp_path: Path
) -> None:
    model_id, artifact, manifest = model(tmp_path / "m")
    registry.store_model(model_id, artifact, manifest)
    work = tmp_path / "work"
    for command in (
        ["git", "clone", "--quiet", "--no-checkout", git_remote.url, str(work)],
        ["git", "-C", str(work), "lfs", "install", "--local"],
        ["git", "-C", str(work), "checkout", "--quiet", "main"],
    ):
        subprocess.run(command, check=True, capture_output=True)
    found = contents(work / "models" / model_id)
    assert found == {**{f"artifact/{path}": data for path, data in FILES.items()}, "metadata.json": manifest}
    status = subprocess.run(["git", "-C", str(work), "status", "--short"], check=True, capture_output=True)
    assert status.stdout == b""


HOSTILE = """
[core]
    autocrlf = true
    hooksPath = {hooks}
    attributesFile = {attributes}
    fsmonitor = false
[commit]
    gpgSign = true
[push]
    gpgSign = true
    followTags = true
[gpg]
    program = false
[user]
    useConfigOnly = true
[init]
    templateDir = {templates}
[lfs]
    fetchexclude = *
    storage = elsewhere
[filter "lfs"]
    clean = false
    smudge = false
    required = true
"""


@pytest.mark.parametrize("level", ["GLOBAL", "SYSTEM"])
def test_no_setting_of_the_user_changes_what_is_stored(
    git_remote: GitRemote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str
) -> None:
    """Hooks that fail, signing without a key, line ends, filters, and variables that name another place."""
    hooks = tmp_path / "templates" / "hooks"
    hooks.mkdir(parents=True)
    # What the machine says about a remote that is a directory has to count; what the user says has not.
    mine = ("reference-transaction", "pre-receive") if level == "GLOBAL" else ()
    for name in ("pre-push", "pre-commit", "commit-msg", "post-checkout", *mine):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    (tmp_path / "attributes").write_text("* text=auto eol=lf\n")
    settings = tmp_path / "gitconfig"
    hostile = HOSTILE if level == "GLOBAL" else HOSTILE.replace("storage = elsewhere", "")
    settings.write_text(
        hostile.format(hooks=hooks, attributes=tmp_path / "attributes", templates=tmp_path / "templates")
    )
    with monkeypatch.context() as patch:
        patch.setenv(f"GIT_CONFIG_{level}", str(settings))
        for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
            patch.setenv(name, str(tmp_path / "nowhere"))
        patch.setenv("GIT_LFS_SKIP_SMUDGE", "1")
        patch.setenv("GIT_COMMITTER_DATE", "nonsense")
        model_id, artifact, manifest = model(tmp_path / "m")
        registry = GitLfsModelRegistry(git_remote.url, tmp_path / "cache")
        registry.store_model(model_id, artifact, manifest)
        registry.retrieve_model(model_id, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES
    assert git_remote.git("log", "--format=%cn %ce").split()[0] == "VeritasVault"


# Damage


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    path.write_bytes(bytes(data))


def test_a_damaged_lfs_object_is_found_by_reading_and_by_storing_again(
    git_remote: GitRemote, registry: GitLfsModelRegistry, tmp_path: Path
) -> None:
    """git-lfs leaves alone what the server has, so that storing has to read it back."""
    stored = model(tmp_path / "m")
    registry.store_model(*stored)
    _flip(git_remote.lfs_object(digest(FILES["model.bin"])))
    name = rf"models/{stored[0]}/artifact/model\.bin was changed"
    with pytest.raises(IntegrityError, match=name):
        registry.retrieve_model(stored[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(IntegrityError, match=name):
        registry.store_model(*stored)
    other = model(tmp_path / "o", 1)
    with pytest.raises(IntegrityError, match=rf"models/{other[0]}/artifact/model\.bin was changed"):
        registry.store_model(*other)
    assert list(registry.list()) == [stored[0]]


def test_a_lost_lfs_object_is_missing(
    git_remote: GitRemote, registry: GitLfsModelRegistry, tmp_path: Path
) -> None:
    stored = model(tmp_path / "m")
    registry.store_model(*stored)
    git_remote.lfs_object(digest(FILES["model.bin"])).unlink()
    with pytest.raises(IntegrityError, match=r"artifact/model\.bin is missing"):
        registry.retrieve_model(stored[0], tmp_path / "out")
    with pytest.raises(NotFound):
        list(registry.read_file(stored[0], "model.bin"))
    registry.store_model(*stored)
    registry.retrieve_model(stored[0], tmp_path / "out")


def test_damaged_git_objects_are_found_by_who_has_no_copy(
    git_remote: GitRemote, registry: GitLfsModelRegistry, tmp_path: Path
) -> None:
    stored = model(tmp_path / "m")
    registry.store_model(*stored)
    blob = git_remote.git("rev-parse", f"main:models/{stored[0]}/metadata.json").strip()
    _flip(git_remote.directory / "objects" / blob[:2] / blob[2:])
    with pytest.raises(IntegrityError, match="is damaged, restore it from a backup"):
        GitLfsModelRegistry(git_remote.url, tmp_path / "other-cache").read_manifest(stored[0])


def test_a_file_outside_lfs_is_read_and_found_to_be_another(
    git_remote: GitRemote, registry: GitLfsModelRegistry, tmp_path: Path
) -> None:
    stored = model(tmp_path / "m")
    registry.store_model(*stored)
    blob = git_remote.git("hash-object", "-w", "--stdin", given=b"plain").strip()
    git_remote._commit(f"100644 {blob}\tmodels/{stored[0]}/artifact/model.bin\n")
    with pytest.raises(IntegrityError, match=r"artifact/model\.bin"):
        registry.retrieve_model(stored[0], tmp_path / "out")
    with pytest.raises(IntegrityError, match=r"artifact/model\.bin"):
        registry.store_model(*stored)


# Interruptions


class Interrupted(Exception):
    """Stands for whatever stops a store from the inside."""


def test_an_interrupted_store_leaves_nothing_visible(
    git_remote: GitRemote, registry: GitLfsModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise Interrupted

    stored = model(tmp_path / "m")
    for owner, name in ((LfsTransfer, "fetch"), (GitBranch, "_push")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, stop)
            with pytest.raises(Interrupted):
                registry.store_model(*stored)
        assert not registry.exists(stored[0])
        assert list(registry.list()) == []
    assert list((tmp_path / "cache" / "transfers").iterdir()) == []
    registry.store_model(*stored)
    registry.retrieve_model(stored[0], tmp_path / "out")


def test_a_push_whose_answer_was_lost_is_found_by_the_next_try(
    git_remote: GitRemote, registry: GitLfsModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Git.run

    def lose(self: Git, *arguments: str, **options: Any) -> bytes:
        answer = real(self, *arguments, **options)
        if arguments[0] == "push":
            raise GitFailed("fatal: the remote end hung up unexpectedly\n")
        return answer

    stored = model(tmp_path / "m")
    with monkeypatch.context() as patch:
        patch.setattr(Git, "run", lose)
        with pytest.raises(Unavailable, match="hung up unexpectedly"):
            registry.store_model(*stored)
    registry.store_model(*stored)
    assert git_remote.commits() == 1


@pytest.mark.parametrize(
    "lock",
    ["refs/remotes/origin/followed.lock", "refs/veritas/next.lock", "packed-refs.lock", "shallow.lock"],
)
def test_locks_that_a_killed_git_left_stop_nobody(
    registry: GitLfsModelRegistry, tmp_path: Path, lock: str
) -> None:
    registry.store_model(*model(tmp_path / "m"))
    (clone,) = (path for path in (tmp_path / "cache").iterdir() if (path / "HEAD").exists())
    (clone / lock).parent.mkdir(parents=True, exist_ok=True)
    (clone / lock).touch()
    registry.store_model(*model(tmp_path / "o", 1))
    assert len(list(registry.list())) == 2


@pytest.mark.parametrize("damage", ["removed", "emptied", "truncated"])
def test_the_clone_is_made_anew_when_it_is_lost_or_damaged(
    git_remote: GitRemote, registry: GitLfsModelRegistry, tmp_path: Path, damage: str
) -> None:
    stored = model(tmp_path / "m")
    registry.store_model(*stored)
    (clone,) = (path for path in (tmp_path / "cache").iterdir() if (path / "HEAD").exists())
    if damage == "removed":
        shutil.rmtree(clone)
    elif damage == "emptied":
        shutil.rmtree(clone / "objects")
        (clone / "objects").mkdir()
    else:
        for path in (clone / "objects").rglob("*"):
            if path.is_file():
                path.chmod(0o644)
                path.write_bytes(b"")
    assert registry.exists(stored[0])
    registry.store_model(*model(tmp_path / "o", 1))
    registry.retrieve_model(stored[0], tmp_path / "out")


# Races


def _store(url: str, cache: Path, root: Path, number: int, start: Any, answers: Any) -> None:
    described = model(root, number, {"model.bin": b"weights" * 1000})
    registry = GitLfsModelRegistry(url, cache)
    start.wait()
    try:
        registry.store_model(*described)
        answers.put("stored")
    except BaseException as error:
        answers.put(repr(error))


@pytest.mark.parametrize("clones", [1, 8])
@pytest.mark.parametrize("models", [1, 8])
def test_eight_processes_at_once_all_succeed(
    git_remote: GitRemote, tmp_path: Path, clones: int, models: int
) -> None:
    """Processes of one machine take turns at its clone; those of eight machines push again what lost."""
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(8), context.Queue()
    workers = [
        context.Process(
            target=_store,
            args=(
                git_remote.url,
                tmp_path / f"cache-{n % clones}",
                tmp_path / f"m-{n}",
                n % models,
                start,
                answers,
            ),
        )
        for n in range(8)
    ]
    for worker in workers:
        worker.start()
    assert [answers.get(timeout=240) for _ in workers] == ["stored"] * 8
    for worker in workers:
        worker.join(60)
    registry = GitLfsModelRegistry(git_remote.url, tmp_path / "cache-0")
    assert len(list(registry.list())) == models
    assert git_remote.commits() == models
    for number, model_id in enumerate(registry.list()):
        registry.retrieve_model(model_id, tmp_path / f"out-{number}")


# Repositories that are not there, or let nobody in


def test_a_repository_in_a_path_with_a_space_and_a_quote_works(tmp_path: Path) -> None:
    remote = make_remote(tmp_path / 'model\'s "registry".git')
    stored = model(tmp_path / "m")
    registry = GitLfsModelRegistry(remote.url, tmp_path / "cache")
    registry.store_model(*stored)
    registry.retrieve_model(stored[0], tmp_path / "out")


def every_call(registry: GitLfsModelRegistry, tmp_path: Path) -> list[Callable[[], Any]]:
    stored = model(tmp_path / "m")
    return [
        lambda: registry.store_model(*stored),
        lambda: registry.attach(stored[0], b"a plot"),
        lambda: registry.exists(stored[0]),
        lambda: registry.read_manifest(stored[0]),
        lambda: list(registry.list()),
    ]


def test_a_missing_repository_is_one_sentence(tmp_path: Path) -> None:
    registry = GitLfsModelRegistry((tmp_path / "none.git").as_uri(), tmp_path / "cache")
    for call in every_call(registry, tmp_path):
        with pytest.raises(
            InvalidInput, match=r"repository is .*none\.git': there is no such git repository"
        ):
            call()
    assert not (tmp_path / "none.git").exists()


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{reserved.getsockname()[1]}/models.git"
        for call in every_call(GitLfsModelRegistry(url, tmp_path / "cache"), tmp_path):
            with pytest.raises(Unavailable, match=r"failed, run it again later: .*[Cc]onnect"):
                call()


class Closed(BaseHTTPRequestHandler):
    """Asks everybody for a user and a password, and is never content."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(handler: Callable[..., Any]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/models.git"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("helper", ["", "!echo username=quant; echo password=planted-secret; #"])
def test_a_missing_or_wrong_login_is_one_sentence_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, helper: str
) -> None:
    """Nothing asks at a terminal, and what a credential helper says is in no message."""
    settings = tmp_path / "gitconfig"
    settings.write_text(f'[credential]\n\thelper = "{helper}"\n')
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    with serving(Closed) as url:
        for call in every_call(GitLfsModelRegistry(url, tmp_path / "cache"), tmp_path):
            with pytest.raises(InvalidInput, match="git credentials") as caught:
                call()
            assert "planted-secret" not in str(caught.value)


def test_a_push_that_a_rule_of_the_server_rejects_is_one_sentence(
    git_remote: GitRemote, registry: GitLfsModelRegistry, tmp_path: Path
) -> None:
    hook = git_remote.directory / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho protected >&2\nexit 1\n")
    hook.chmod(0o755)
    with pytest.raises(InvalidInput, match=r"rejects storing model .*let this account push"):
        registry.store_model(*model(tmp_path / "m"))


def test_git_without_lfs_is_one_sentence(
    registry: GitLfsModelRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_git = tmp_path / "bin"
    only_git.mkdir()
    git = shutil.which("git")
    assert git is not None
    (only_git / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(only_git))
    with pytest.raises(InvalidInput, match="install git-lfs"):
        registry.store_model(*model(tmp_path / "m"))
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(InvalidInput, match="install git and git-lfs"):
        registry.store_model(*model(tmp_path / "o"))
