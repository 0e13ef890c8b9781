"""The MLflow registry on a real server: races, kills, torn uploads, awkward names, refusals."""

from __future__ import annotations

import multiprocessing
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

from domain.registry.artifact import StagedArtifact, as_artifact_path
from domain.registry.canonical import digest
from domain.registry.errors import DomainException, IntegrityError, InvalidInput, NotFound, Unavailable
from domain.registry.manifest import Manifest, ModelId
from domain.registry.ports import StoredFile
from tests.adapters.artifacts import staged
from tests.contracts.around_mlflow import AroundMlflow
from tests.exactly_once.candidates import lineage, metadata
from tests.processes import ChildKilled, in_child
from tests.servers.mlflow_server import MlflowTestServer, behind_a_password, kill_at_request
from veritasvault.adapters.mlflow_artifacts import RESERVED, artifact_path, stored_name
from veritasvault.adapters.mlflow_registry import FINISHED, MODEL_ID_TAG, MlflowModelRegistry

FILES = {"model.bin": b"weights" * 1000, "notes/about.txt": b"About."}
AWKWARD = (
    "%41.txt", "a#b.txt", "a?b=c&d.txt", "=41.txt", ".hidden/.artifact.uploading.x", "ü ö.txt", "a:b.txt",
    "MLmodel", "requirements.txt", "registered_model_meta", "nested/MLmodel", "100%.txt", "a%2525b",
    "a+b;c,(d)[e]{f}'g\"h!$@~.txt",
)  # fmt: skip


def model(root: Path, files: dict[str, bytes] = FILES) -> tuple[ModelId, StagedArtifact, bytes]:
    artifact = staged(root, files)
    manifest = Manifest(metadata(), lineage(0), artifact.artifact)
    return manifest.model_id, artifact, manifest.to_bytes()


@pytest.fixture
def experiment() -> str:
    return f"models-{secrets.token_hex(8)}"


@pytest.fixture
def registry(mlflow_server: MlflowTestServer, experiment: str) -> MlflowModelRegistry:
    return MlflowModelRegistry(mlflow_server.url, experiment)


@pytest.fixture
def around(mlflow_server: MlflowTestServer, experiment: str, tmp_path: Path) -> AroundMlflow:
    return AroundMlflow(mlflow_server.url, experiment, tmp_path)


def test_a_model_is_one_finished_run_with_its_files_below_artifact(
    registry: MlflowModelRegistry, around: AroundMlflow, mlflow_server: MlflowTestServer, tmp_path: Path
) -> None:
    """Whoever looks at the server finds the files under their own names, and no registered model."""
    model_id, artifact, manifest = model(tmp_path / "m")
    registry.store_model(model_id, artifact, manifest)
    (run,) = around.runs(model_id)
    assert run.info.status == FINISHED
    assert run.data.tags == {
        MODEL_ID_TAG: model_id,
        "veritas.name": "volatility",
        "mlflow.runName": f"volatility {model_id[:12]}",
    }
    home = mlflow_server.artifacts / run.info.experiment_id / run.info.run_id / "artifacts"
    found = {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}
    assert found == {"artifact/model.bin", "artifact/notes/about.txt", "metadata.json"}
    client = around.server.client()
    assert [each for each in client.search_model_versions() if each.run_id == run.info.run_id] == []


def test_awkward_names_come_back(registry: MlflowModelRegistry, tmp_path: Path) -> None:
    """MLflow decodes, refuses or hides some names; none of that reaches a model's files."""
    files = {name: name.encode() for name in AWKWARD}
    model_id, artifact, manifest = model(tmp_path / "m", files)
    registry.store_model(model_id, artifact, manifest)
    assert list(registry.contents(model_id)) == [
        StoredFile(name, len(content)) for name, content in sorted(files.items())
    ]
    registry.retrieve_model(model_id, tmp_path / "out")
    out = tmp_path / "out"
    found = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert found == files
    registry.store_model(model_id, artifact, manifest)


@given(st.lists(st.text(max_size=40), min_size=1, max_size=4).map("/".join))
def test_a_stored_name_is_safe_and_gives_its_path_again(path: str) -> None:
    try:
        as_artifact_path("path", path)
        name = stored_name(path)
    except InvalidInput:
        return
    assert artifact_path(name) == path
    assert name not in RESERVED
    assert not any(part.startswith(".") or set(part) & set("%#?") for part in name.split("/"))


def test_a_name_too_long_when_escaped_is_refused_before_it_is_sent(
    registry: MlflowModelRegistry, tmp_path: Path
) -> None:
    stored = model(tmp_path / "m", {"#" * 100: b"x"})
    with pytest.raises(InvalidInput, match="shorten the name"):
        registry.store_model(*stored)
    assert not registry.exists(stored[0])


def _store(uri: str, experiment: str, files: Path, start: Any, answers: Any) -> None:
    described = model(files)
    registry = MlflowModelRegistry(uri, experiment)
    start.wait()
    try:
        registry.store_model(*described)
        registry.attach(described[0], b"a plot")
        answers.put("stored")
    except BaseException as error:
        answers.put(repr(error))


@pytest.mark.parametrize("store", ["server", "embedded"])
def test_eight_processes_that_store_the_same_model_all_succeed(
    mlflow_server: MlflowTestServer, mlflow_store: str, experiment: str, tmp_path: Path, store: str
) -> None:
    """They end with one model, whole, whose attachment all find; the embedded store even has one run."""
    uri = mlflow_server.url if store == "server" else mlflow_store
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(8), context.Queue()
    workers = [
        context.Process(target=_store, args=(uri, experiment, tmp_path / f"m-{n}", start, answers))
        for n in range(8)
    ]
    for worker in workers:
        worker.start()
    assert [answers.get(timeout=240) for _ in workers] == ["stored"] * 8
    for worker in workers:
        worker.join(60)
    registry = MlflowModelRegistry(uri, experiment)
    (model_id,) = registry.list()
    registry.retrieve_model(model_id, tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").read_bytes() == FILES["model.bin"]
    assert registry.read_attachment(model_id, digest(b"a plot")) == b"a plot"
    runs = AroundMlflow(uri, experiment, tmp_path).runs(model_id)
    assert any(run.info.status == FINISHED for run in runs)
    assert store == "server" or len(runs) == 1


def test_a_writer_killed_at_any_request_leaves_what_the_next_one_completes(
    mlflow_server: MlflowTestServer, tmp_path: Path
) -> None:
    """Between any two requests of a storing process; nothing half-stored is ever visible."""
    stored = model(tmp_path / "m")
    kills = 0
    while _killed(
        registry := MlflowModelRegistry(mlflow_server.url, f"killed-{secrets.token_hex(8)}"),
        stored,
        kills + 1,
    ):
        kills += 1
        if registry.exists(stored[0]):
            registry.retrieve_model(stored[0], tmp_path / f"seen-{kills}")
        else:
            assert list(registry.list()) == []
        _storing(registry, stored)
        assert list(registry.list()) == [stored[0]]
        registry.retrieve_model(stored[0], tmp_path / f"out-{kills}")
        assert registry.read_attachment(stored[0], digest(b"a plot")) == b"a plot"
    assert kills > 15


def _killed(registry: MlflowModelRegistry, stored: tuple[ModelId, StagedArtifact, bytes], step: int) -> bool:
    """Store in a process that dies at its n-th step, if it takes so many."""
    try:
        in_child(lambda: _storing(registry, stored), before=lambda: kill_at_request(step))
    except ChildKilled:
        return True
    return False


def _storing(registry: MlflowModelRegistry, stored: tuple[ModelId, StagedArtifact, bytes]) -> None:
    registry.store_model(*stored)
    registry.attach(stored[0], b"a plot")


def test_a_torn_upload_is_completed_unless_the_model_was_stored_already(
    registry: MlflowModelRegistry, around: AroundMlflow, tmp_path: Path
) -> None:
    """Some servers keep what arrived of an upload whose client died: too short, in a run nobody finished."""
    model_id, artifact, manifest = model(tmp_path / "m")
    key = f"models/{model_id}/artifact/model.bin"
    around.overwrite(key, FILES["model.bin"][:100])
    registry.store_model(model_id, artifact, manifest)
    registry.retrieve_model(model_id, tmp_path / "out")
    around.overwrite(key, FILES["model.bin"][:100])
    with pytest.raises(IntegrityError, match=r"artifact/model\.bin has 100 bytes instead of 7000"):
        registry.store_model(model_id, artifact, manifest)


def test_two_runs_of_writers_that_did_not_see_each_other_are_one_model(
    registry: MlflowModelRegistry, around: AroundMlflow, mlflow_server: MlflowTestServer, tmp_path: Path
) -> None:
    """Another client makes an earlier run between our search and our creation, and both are finished."""
    model_id, artifact, manifest = model(tmp_path / "m")

    class Overtaken(MlflowClient):
        """A client that another writer overtakes right after it has looked for runs in vain."""

        def create_run(self, *args: Any, **kwargs: Any) -> Any:
            del registry.server.client
            registry.store_model(model_id, artifact, manifest)
            registry.attach(model_id, b"by the other")
            run = super().create_run(*args, start_time=1, **kwargs)
            self.set_terminated(run.info.run_id, "RUNNING")
            return run

    registry.server.client = lambda: Overtaken(tracking_uri=mlflow_server.url)  # type: ignore[method-assign]
    registry.store_model(model_id, artifact, manifest)
    assert len(around.runs(model_id)) == 2
    assert list(registry.list()) == [model_id]
    assert len(registry.sources(model_id)) == 1
    # The run that was left is completed by hand, as a writer that had chosen it would have.
    late = next(run for run in around.runs(model_id) if run.info.status != FINISHED)
    for source in artifact.root.rglob("*"):
        if source.is_file():
            folder = (Path("artifact") / source.relative_to(artifact.root)).parent
            around.server.client().log_artifact(late.info.run_id, str(source), str(folder))
    around.server.client().log_text(late.info.run_id, manifest.decode(), "metadata.json")
    around.server.client().set_terminated(late.info.run_id)
    assert list(registry.list()) == [model_id]
    assert next(iter(registry.sources(model_id))) == late.info.run_id
    registry.store_model(model_id, artifact, manifest)
    registry.retrieve_model(model_id, tmp_path / "out")
    assert registry.read_attachment(model_id, digest(b"by the other")) == b"by the other"


def test_runs_of_others_in_the_experiment_are_no_models(
    registry: MlflowModelRegistry, around: AroundMlflow, tmp_path: Path
) -> None:
    stored = model(tmp_path / "m")
    registry.store_model(*stored)
    client = around.server.client()
    experiment = around.server.find_experiment(client, around.experiment)
    assert experiment is not None
    for tags in ({}, {MODEL_ID_TAG: "nonsense"}):
        client.set_terminated(client.create_run(experiment, tags=tags).info.run_id)
    assert list(registry.list()) == [stored[0]]


def test_listing_goes_on_behind_the_first_page(
    registry: MlflowModelRegistry, around: AroundMlflow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("veritasvault.adapters.mlflow_registry._PAGE", 3)
    client = around.server.client()
    experiment = registry.make_experiment(client)
    wanted = sorted(digest(str(number).encode()) for number in range(10))
    for model_id in wanted:
        client.set_terminated(client.create_run(experiment, tags={MODEL_ID_TAG: model_id}).info.run_id)
    assert list(registry.list()) == wanted


def calls(registry: MlflowModelRegistry, directory: Path) -> list[Callable[[], Any]]:
    """Every verb of the port."""
    stored = model(directory / "m")
    return [
        lambda: registry.store_model(*stored),
        lambda: registry.attach(stored[0], b"x"),
        lambda: registry.exists(stored[0]),
        lambda: registry.read_manifest(stored[0]),
        lambda: registry.read_attachment(stored[0], digest(b"x")),
        lambda: registry.retrieve_model(stored[0], directory / "out"),
        lambda: list(registry.contents(stored[0])),
        lambda: list(registry.read_file(stored[0], "model.bin")),
        lambda: list(registry.list()),
    ]


def test_wrong_credentials_are_one_sentence_without_the_password(
    mlflow_server: MlflowTestServer, experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "quant")
    with behind_a_password(mlflow_server, "quant", "s3cret-right") as url:
        registry = MlflowModelRegistry(url, experiment)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret-wrong")
        for call in calls(registry, tmp_path / "wrong"):
            with pytest.raises(InvalidInput, match=r"MLflow credentials is 'quant': .*correct") as caught:
                call()
            assert "s3cret" not in str(caught.value)
            assert "\n" not in str(caught.value)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret-right")
        model_id, artifact, manifest = model(tmp_path / "right")
        registry.store_model(model_id, artifact, manifest)
        registry.retrieve_model(model_id, tmp_path / "out")


def test_credentials_refused_for_files_alone_are_told_too(
    mlflow_server: MlflowTestServer, experiment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files go another way than runs; the password changes between the two."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "quant")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "right")
    with behind_a_password(mlflow_server, "quant", "right") as url:
        registry = MlflowModelRegistry(url, experiment)
        model_id, artifact, manifest = model(tmp_path / "m")
        registry.store_model(model_id, artifact, manifest)
        chunks = registry._artifacts
        monkeypatch.setattr(
            registry,
            "_artifacts",
            lambda run: monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong") or chunks(run),
        )
        for read in (registry.read_manifest, lambda each: list(registry.contents(each))):
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "right")
            with pytest.raises(InvalidInput, match="MLflow credentials"):
                read(model_id)


def test_a_server_that_is_away_is_unavailable(experiment: str, tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        for call in calls(MlflowModelRegistry(url, experiment), tmp_path):
            with pytest.raises(Unavailable, match=f"MLflow at {url} cannot be reached"):
                call()


def test_a_server_that_answers_nonsense_is_unavailable(tmp_path: Path) -> None:
    """Something else listens there."""
    server = subprocess.Popen(
        [sys.executable, "-m", "http.server", "0", "--bind", "127.0.0.1"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().split("port ")[1].split()[0]
        registry = MlflowModelRegistry(f"http://127.0.0.1:{port}", "models")
        for call in calls(registry, tmp_path):
            with pytest.raises(Unavailable) as failed:
                call()
            assert "\n" not in str(failed.value)
    finally:
        server.kill()
        server.communicate()


def test_a_deleted_experiment_is_named(registry: MlflowModelRegistry, around: AroundMlflow) -> None:
    client = around.server.client()
    client.delete_experiment(registry.make_experiment(client))
    with pytest.raises(InvalidInput, match=f"experiment is '{around.experiment}': it was deleted in MLflow"):
        list(registry.list())


def test_reading_makes_nothing(mlflow_server: MlflowTestServer, experiment: str, tmp_path: Path) -> None:
    """No experiment on a server, and no file of an embedded store."""
    unknown = ModelId(digest(b"unknown"))
    for uri in (mlflow_server.url, f"sqlite:///{tmp_path}/mlflow.db"):
        registry = MlflowModelRegistry(uri, experiment)
        assert not registry.exists(unknown)
        assert list(registry.list()) == []
        assert list(registry.contents(unknown)) == []
        assert registry.sources(unknown) == {}
        with pytest.raises(NotFound, match=f"metadata.json is not stored in MLflow at {uri}"):
            registry.read_manifest(unknown)
        with pytest.raises(NotFound, match="is not stored in MLflow"):
            registry.read_attachment(unknown, digest(b"x"))
    assert MlflowClient(mlflow_server.url).get_experiment_by_name(experiment) is None
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    registry = MlflowModelRegistry(f"sqlite:///{tmp_path}/mlflow.db")
    for call in calls(registry, tmp_path):
        with pytest.raises(DomainException, match="cannot be used now") as failed:
            call()
        assert failed.value.retriable


def test_making_the_adapter_imports_nothing_heavy() -> None:
    code = (
        "import sys; from veritasvault.adapters.mlflow_registry import MlflowModelRegistry as M\n"
        "M('http://127.0.0.1:1'); assert not {'mlflow', 'sqlalchemy', 'requests'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
