"""What killed processes leave: found with age and size, removed, and never taken from the living."""

from __future__ import annotations

import datetime as dt
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from domain.registry.errors import InvalidInput, Unavailable
from domain.registry.staging import private_directory
from tests.adapters.artifacts import staged
from tests.adapters.test_oci_registry import adapter as oci_adapter
from tests.adapters.test_oci_registry import model as oci_model
from tests.adapters.test_s3_registry import LARGE, PART, adapter, model, open_uploads
from tests.exactly_once.candidates import register
from tests.processes import ChildKilled, in_child
from tests.servers.oci import docker_registry
from tests.servers.seaweedfs import S3Server
from veritasvault.adapters.filesystem_registry import FilesystemModelRegistry
from veritasvault.adapters.staging_leftovers import StagingLeftovers
from veritasvault.adapters.workspace_leftovers import WorkspaceLeftovers
from veritasvault.bootstrap import Application, bootstrap


def killed_while_staging(directory: Path, size: int) -> None:
    """Leave a private directory with a file, as SIGKILL does."""

    def stage() -> None:
        with private_directory(directory) as private:
            (private / "file").write_bytes(b"x" * size)
            os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(ChildKilled):
        in_child(stage)


def test_staging_of_the_dead_is_removed_and_that_of_the_living_is_not(tmp_path: Path) -> None:
    """A living process holds a lock, whatever its age."""
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=2)
    place = StagingLeftovers(tmp_path)
    assert list(StagingLeftovers(tmp_path / "nowhere").leftovers()) == []
    with private_directory(tmp_path) as living:
        killed_while_staging(tmp_path, 1000)
        (left,) = place.leftovers()
        assert (left.kind, left.size) == ("staging", 1000)
        assert before < left.modified <= dt.datetime.now(dt.UTC)
        assert left.name != str(living)
        for _ in range(2):
            place.remove_leftover(left)
        assert list(place.leftovers()) == []
        assert living.is_dir()
        assert len(list(tmp_path.iterdir())) == 2


def test_a_filesystem_registry_lists_its_own_staging(tmp_path: Path) -> None:
    """Private copies of killed registrations lie below its root, and a deleted model passes through there."""
    registry = FilesystemModelRegistry(tmp_path)
    killed_while_staging(registry.staging, 10)
    (left,) = registry.leftovers()
    registry.remove_leftover(left)
    assert list(registry.leftovers()) == []


def test_an_open_upload_to_s3_is_listed_and_ended(s3_server: S3Server) -> None:
    """Parts that a killed process sent; those of others in the bucket are not ours."""
    bucket, client = s3_server.make_bucket(), s3_server.client()
    registry = adapter(s3_server, bucket, prefix="ours")
    key = f"models/{'0' * 64}/artifact/model.bin"
    for place in (f"ours/{key}", "theirs/model.bin"):
        upload = client.create_multipart_upload(Bucket=bucket, Key=place)["UploadId"]
        client.upload_part(Bucket=bucket, Key=place, UploadId=upload, PartNumber=1, Body=b"x" * PART)
    (left,) = registry.leftovers()
    assert (left.kind, left.name.partition("?")[0]) == ("upload", key)
    assert abs(dt.datetime.now(dt.UTC) - left.modified) < dt.timedelta(minutes=1)
    for _ in range(2):
        registry.remove_leftover(left)
    assert list(registry.leftovers()) == []
    assert open_uploads(s3_server, bucket) == ["theirs/model.bin"]


def test_an_upload_that_is_ended_under_a_living_process_fails_and_can_be_repeated(
    s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is unavailable, so a scheduler tries again; nothing half is visible."""
    bucket = s3_server.make_bucket()
    registry, model_id_and_more = adapter(s3_server, bucket), model(tmp_path / "model", LARGE)
    client = registry._bucket.client
    real = client.complete_multipart_upload

    def ended(**arguments: Any) -> Any:
        for left in list(registry.leftovers()):
            registry.remove_leftover(left)
        return real(**arguments)

    with monkeypatch.context() as patched:
        patched.setattr(client, "complete_multipart_upload", ended)
        with pytest.raises(Unavailable):
            registry.store_model(*model_id_and_more)
    assert not registry.exists(model_id_and_more[0])
    registry.store_model(*model_id_and_more)
    registry.retrieve_model(model_id_and_more[0], tmp_path / "retrieved")


def test_an_oci_registry_that_deletes_nothing_says_what_to_set(tmp_path: Path) -> None:
    """It is the server's configuration, and the sentence names the variable."""
    (tmp_path / "server").mkdir()
    with docker_registry(tmp_path / "server", deletes=False) as server:
        registry = oci_adapter(server)
        model_id, *rest = oci_model(tmp_path / "model")
        registry.store_model(model_id, *rest)
        with pytest.raises(InvalidInput, match="REGISTRY_STORAGE_DELETE_ENABLED=true"):
            registry.delete_model(model_id, lambda: None)
        assert registry.exists(model_id)


@pytest.fixture
def application(tmp_path: Path) -> Application:
    """A home with a registered model."""
    application = bootstrap({"VERITAS_HOME": str(tmp_path / "home"), "VERITAS_CODE_VERSION": "test"})
    register(application, tmp_path / "artifacts", 0)
    return application


def test_the_workspace_gives_up_what_no_manifest_names(application: Application) -> None:
    """Rows that a registered model was trained on stay; rows, feature sets and scratch of nobody go."""
    workspace = application.workspace
    (row,) = application.catalog.versions()
    lineage = application.catalog.show(row.model_id).manifest.lineage
    assert lineage is not None
    names = {"rows": [lineage.data, "1" * 64], "features": ["2" * 64], "searches": ["3" * 64]}
    for kind, digests in names.items():
        for digest in digests:
            with workspace.scratch() as scratch:
                staged(scratch / "made", {"part.parquet": b"12345"})
                workspace.keep(scratch / "made", kind, digest)  # type: ignore[arg-type]
    scratch = application.settings.workspace / ".scratch-left"
    scratch.mkdir()
    place = WorkspaceLeftovers(application.settings.workspace, application.registry, application.ledger)
    found = {Path(left.name).name: left for left in place.leftovers()}
    assert found.keys() == {"1" * 64, "2" * 64, "3" * 64, ".scratch-left"}
    assert (found["2" * 64].kind, found["2" * 64].size) == ("feature set", 5)
    for left in [*found.values(), *found.values()]:
        place.remove_leftover(left)
    assert list(place.leftovers()) == []
    assert (application.settings.workspace / "rows" / lineage.data / "part.parquet").read_bytes() == b"12345"


def test_a_feature_set_that_a_run_takes_up_again_is_young_again(application: Application) -> None:
    """So a run under way does not lose what another one made long ago."""
    workspace = application.workspace
    for _ in range(2):
        with workspace.scratch() as scratch:
            staged(scratch / "made", {"part.parquet": b"12345"})
            home = workspace.keep(scratch / "made", "features", "2" * 64)  # type: ignore[arg-type]
        place = WorkspaceLeftovers(application.settings.workspace, application.registry, application.ledger)
        (left,) = place.leftovers()
        assert dt.datetime.now(dt.UTC) - left.modified < dt.timedelta(minutes=1)
        os.utime(home, (0, 0))


def test_the_workspace_is_left_alone_unless_asked(application: Application) -> None:
    """Without --features gc does not look there; and a workspace that does not exist has nothing."""
    nothing = dt.timedelta()
    assert application.garbage_collection(features=True).look(nothing).garbage == ()
    with application.workspace.scratch() as scratch:
        staged(scratch / "made", {"part.parquet": b"12345"})
        application.workspace.keep(scratch / "made", "features", "2" * 64)  # type: ignore[arg-type]
    assert application.garbage_collection().look(nothing).garbage == ()
    (garbage,) = application.garbage_collection(features=True).run({"actor": "test"}, nothing).garbage
    assert garbage.kind == "feature set"
