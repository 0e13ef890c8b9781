"""The S3 registry on a real server: parts, races, refusals, and the Airflow connection."""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.registry.artifact import StagedArtifact
from domain.registry.canonical import digest
from domain.registry.errors import DomainException, IntegrityError, InvalidInput, Unavailable
from domain.registry.manifest import Manifest, ModelId
from tests.adapters.artifacts import staged
from tests.exactly_once.candidates import lineage, metadata
from tests.processes import in_child
from tests.servers.seaweedfs import S3Server
from veritasvault.adapters.s3_registry import S3ModelRegistryAdapter

PART = 5 << 20
LARGE = {"model.bin": os.urandom(2 * PART + 12345), "about.txt": b"About."}
SMALL = {"model.bin": b"weights" * 1000, "notes/about.txt": b"About."}


def model(root: Path, files: dict[str, bytes] = SMALL) -> tuple[ModelId, StagedArtifact, bytes]:
    artifact = staged(root, files)
    manifest = Manifest(metadata(), lineage(0), artifact.artifact)
    return manifest.model_id, artifact, manifest.to_bytes()


def adapter(server: S3Server, bucket: str, **options: Any) -> S3ModelRegistryAdapter:
    keys = {"access_key": server.access_key, "secret_key": server.secret_key}
    return S3ModelRegistryAdapter(
        bucket,
        **{
            "endpoint_url": server.endpoint,
            "multipart_threshold": PART,
            "part_size": PART,
            **keys,
            **options,
        },
    )


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    return s3_server.make_bucket()


def open_uploads(server: S3Server, bucket: str) -> list[str]:
    answer = server.client().list_multipart_uploads(Bucket=bucket)
    return [upload["Key"] for upload in answer.get("Uploads", ())]


def test_a_large_file_goes_in_parts_and_comes_back(s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
    model_id, artifact, manifest = model(tmp_path / "m", LARGE)
    registry = adapter(s3_server, bucket)
    registry.store_model(model_id, artifact, manifest)
    head = s3_server.client().head_object(
        Bucket=bucket, Key=f"models/{model_id}/artifact/model.bin", ChecksumMode="ENABLED"
    )
    assert head["ChecksumSHA256"].endswith("-3")
    registry.store_model(model_id, artifact, manifest)
    registry.retrieve_model(model_id, tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").read_bytes() == LARGE["model.bin"]
    assert open_uploads(s3_server, bucket) == []


class Interrupted(Exception):
    """Stands for whatever stops an upload from the inside."""


def failing_factory(server: S3Server, operation: str, nth: int, error: type[Exception]) -> Callable[[], Any]:
    """A real client whose n-th request of one operation is stopped before it is sent."""

    def make() -> Any:
        client = server.client()
        seen: list[str] = []

        def stop(**_: Any) -> None:
            seen.append(operation)
            if len(seen) == nth:
                raise error("stopped")

        client.meta.events.register(f"before-call.s3.{operation}", stop)
        return client

    return make


@pytest.mark.parametrize(("operation", "nth"), [("UploadPart", 2), ("CompleteMultipartUpload", 1)])
@pytest.mark.parametrize("error", [Interrupted, ConnectionResetError])
def test_an_interrupted_upload_leaves_nothing_visible_and_nothing_open(
    s3_server: S3Server, bucket: str, tmp_path: Path, operation: str, nth: int, error: type[Exception]
) -> None:
    model_id, artifact, manifest = model(tmp_path / "m", LARGE)
    broken = adapter(s3_server, bucket, client_factory=failing_factory(s3_server, operation, nth, error))
    with pytest.raises((Interrupted, Unavailable)):
        broken.store_model(model_id, artifact, manifest)
    registry = adapter(s3_server, bucket)
    assert not registry.exists(model_id)
    assert list(registry.list()) == []
    assert [file.path for file in registry.contents(model_id)] == ["about.txt"]
    assert open_uploads(s3_server, bucket) == []
    registry.store_model(model_id, artifact, manifest)
    registry.retrieve_model(model_id, tmp_path / "out")


def test_a_staged_file_that_changed_is_not_stored(s3_server: S3Server, bucket: str, tmp_path: Path) -> None:
    model_id, artifact, manifest = model(tmp_path / "m", LARGE)
    content = bytearray(LARGE["model.bin"])
    content[-1] ^= 1
    (artifact.root / "model.bin").write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match=r"model\.bin was changed while it was sent"):
        adapter(s3_server, bucket).store_model(model_id, artifact, manifest)
    assert [file.path for file in adapter(s3_server, bucket).contents(model_id)] == ["about.txt"]
    assert open_uploads(s3_server, bucket) == []


def test_the_server_refuses_a_small_file_that_differs_from_its_digest(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    model_id, artifact, manifest = model(tmp_path / "m")
    (artifact.root / "model.bin").write_bytes(SMALL["model.bin"][:-1] + b"S")
    with pytest.raises(DomainException, match=r"model\.bin"):
        adapter(s3_server, bucket).store_model(model_id, artifact, manifest)
    assert [file.path for file in adapter(s3_server, bucket).contents(model_id)] == []


def test_other_content_under_the_key_of_a_large_file_is_found(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    model_id, artifact, manifest = model(tmp_path / "m", LARGE)
    other = bytearray(LARGE["model.bin"])
    other[PART] ^= 4
    s3_server.client().put_object(
        Bucket=bucket, Key=f"models/{model_id}/artifact/model.bin", Body=bytes(other)
    )
    with pytest.raises(IntegrityError, match=r"artifact/model\.bin"):
        adapter(s3_server, bucket).store_model(model_id, artifact, manifest)
    assert not adapter(s3_server, bucket).exists(model_id)


def test_a_write_whose_answer_was_lost_is_settled_by_reading_back(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    """The first try of each conditional write succeeds unseen; the client's own retry finds the key taken."""
    from botocore.httpsession import URLLib3Session

    lost: list[str] = []

    def make() -> Any:
        client = s3_server.client()

        def send_twice(request: Any, **_: Any) -> None:
            if request.url not in lost:
                lost.append(request.url)
                assert URLLib3Session().send(request).status_code == 200
                if hasattr(request.body, "seek"):
                    request.body.seek(0)

        client.meta.events.register("before-send.s3.PutObject", send_twice)
        return client

    model_id, artifact, manifest = model(tmp_path / "m")
    adapter(s3_server, bucket, client_factory=make).store_model(model_id, artifact, manifest)
    assert len(lost) == 3
    adapter(s3_server, bucket).retrieve_model(model_id, tmp_path / "out")


def test_a_missing_bucket_is_an_error_and_is_not_made(s3_server: S3Server, tmp_path: Path) -> None:
    registry = adapter(s3_server, "no-such-bucket-here")
    stored = model(tmp_path / "m")
    calls: list[Callable[[], Any]] = [
        lambda: registry.store_model(*stored),
        lambda: registry.attach(stored[0], b"x"),
        lambda: registry.exists(stored[0]),
        lambda: registry.read_manifest(stored[0]),
        lambda: list(registry.list()),
    ]
    for call in calls:
        with pytest.raises(InvalidInput, match="bucket is 'no-such-bucket-here': there is no such bucket"):
            call()
    names = [each["Name"] for each in s3_server.client().list_buckets()["Buckets"]]
    assert "no-such-bucket-here" not in names


@pytest.mark.parametrize("wrong", [{"secret_key": "wrong"}, {"access_key": "nobody"}])
def test_wrong_keys_are_one_sentence_without_the_keys(
    s3_server: S3Server, bucket: str, tmp_path: Path, wrong: dict[str, str]
) -> None:
    registry = adapter(s3_server, bucket, **wrong)
    stored = model(tmp_path / "m")
    for call in (lambda: registry.store_model(*stored), lambda: list(registry.list())):
        with pytest.raises(InvalidInput, match=r"S3 credentials .*correct the keys") as caught:
            call()
        assert s3_server.secret_key not in str(caught.value)


def test_no_keys_at_all_are_one_sentence(
    s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    registry = S3ModelRegistryAdapter(bucket, endpoint_url=s3_server.endpoint)
    with pytest.raises(InvalidInput, match="S3 credentials"):
        list(registry.list())


def test_the_usual_chain_gives_the_keys(
    s3_server: S3Server, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    assert list(S3ModelRegistryAdapter(bucket, endpoint_url=s3_server.endpoint).list()) == []


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        registry = S3ModelRegistryAdapter("bucket", endpoint_url=endpoint, access_key="a", secret_key="b")
        with pytest.raises(Unavailable, match="cannot be reached: check the endpoint"):
            registry.store_model(*model(tmp_path / "m"))


@pytest.mark.parametrize("name", ["UPPER", "a b", "x" * 300, ""])
def test_an_impossible_bucket_name_is_one_sentence(s3_server: S3Server, name: str) -> None:
    with pytest.raises(InvalidInput):
        list(adapter(s3_server, name).list())


def test_listing_goes_on_behind_the_first_page(s3_server: S3Server, bucket: str) -> None:
    client = s3_server.client()
    wanted = [f"{n:064x}" for n in range(3)]
    for name in wanted:
        client.put_object(Bucket=bucket, Key=f"models/{name}/metadata.json", Body=b"{}")
    for number in range(1010):
        client.put_object(
            Bucket=bucket, Key=f"models/{wanted[0]}/artifact/{number:04d}/metadata.json", Body=b""
        )
    registry = adapter(s3_server, bucket)
    assert list(registry.list()) == wanted
    assert len(list(registry.contents(ModelId(wanted[0])))) == 1010  # type: ignore[arg-type]


def _store(server: S3Server, bucket: str, files: Path, start: Any, answers: Any) -> None:
    described = model(files, LARGE)
    registry = adapter(server, bucket)
    start.wait()
    try:
        registry.store_model(*described)
        answers.put("stored")
    except BaseException as error:
        answers.put(repr(error))


def test_eight_processes_that_store_the_same_large_model_all_succeed(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(8), context.Queue()
    workers = [
        context.Process(target=_store, args=(s3_server, bucket, tmp_path / f"m-{n}", start, answers))
        for n in range(8)
    ]
    for worker in workers:
        worker.start()
    assert [answers.get(timeout=240) for _ in workers] == ["stored"] * 8
    for worker in workers:
        worker.join(60)
    registry = adapter(s3_server, bucket)
    (model_id,) = registry.list()
    registry.retrieve_model(model_id, tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").read_bytes() == LARGE["model.bin"]


def test_a_listing_that_stalls_deletes_nothing_that_was_stored_again(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    """When it is answered the time may be over: whatever it found is asked about once more."""
    model_id, artifact, manifest = model(tmp_path / "m")
    stalled = False

    def stall(**_: Any) -> None:
        nonlocal stalled
        stalled = True
        adapter(s3_server, bucket).store_model(model_id, artifact, manifest)

    def factory() -> Any:
        client = s3_server.client()
        client.meta.events.register("before-call.s3.ListObjectsV2", stall)
        return client

    def still_ours() -> None:
        if stalled:
            raise Unavailable("the time is over")

    adapter(s3_server, bucket).store_model(model_id, artifact, manifest)
    with pytest.raises(Unavailable, match="the time is over"):
        adapter(s3_server, bucket, client_factory=factory).delete_model(model_id, still_ours)
    adapter(s3_server, bucket).retrieve_model(model_id, tmp_path / "out")


def test_what_deletes_gives_up_early_and_is_sent_once(s3_server: S3Server, bucket: str) -> None:
    """A late second try could delete what was stored again."""
    from botocore.exceptions import ReadTimeoutError

    registry = adapter(s3_server, bucket)
    sent: list[object] = []

    def refuse(request: Any, **_: Any) -> None:
        sent.append(request)
        raise ReadTimeoutError(endpoint_url=s3_server.endpoint)

    registry._deleting.client.meta.events.register("before-send.s3.DeleteObjects", refuse)
    with pytest.raises(Unavailable):
        registry.delete_model(ModelId(digest(b"any")), lambda: None)
    assert len(sent) == 1


def test_a_forked_process_makes_its_own_client(s3_server: S3Server, bucket: str) -> None:
    made: list[int] = []

    def factory() -> Any:
        made.append(os.getpid())
        return s3_server.client()

    registry = S3ModelRegistryAdapter(bucket, client_factory=factory)
    assert list(registry.list()) == list(registry.list()) == []
    assert made == [os.getpid()]

    def work() -> tuple[int, list[int]]:
        list(registry.list())
        return os.getpid(), made[1:]

    child, makers = in_child(work)
    assert makers == [child]


def airflow(code: str, environment: dict[str, str]) -> str:
    """Run code in a fresh process with Airflow's settings; here it would configure this one."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


USE = """
from domain.registry.errors import DomainException
from veritasvault.adapters.s3_registry import S3ModelRegistryAdapter
try:
    S3ModelRegistryAdapter.from_connection({bucket!r}, "veritas_s3").attach("0" * 64, b"report")
    print("attached")
except DomainException as error:
    print(type(error).__name__, error)
"""


def test_an_airflow_connection_gives_endpoint_and_keys(
    s3_server: S3Server, bucket: str, tmp_path: Path
) -> None:
    home = {"AIRFLOW_HOME": str(tmp_path), "AWS_EC2_METADATA_DISABLED": "true"}
    connection = {
        "conn_type": "aws",
        "login": s3_server.access_key,
        "password": s3_server.secret_key,
        "extra": {"endpoint_url": s3_server.endpoint, "region_name": s3_server.region},
    }
    code = USE.format(bucket=bucket)
    assert airflow(code, {**home, "AIRFLOW_CONN_VERITAS_S3": json.dumps(connection)}) == "attached"
    connection["password"] = "wrong"
    answer = airflow(code, {**home, "AIRFLOW_CONN_VERITAS_S3": json.dumps(connection)})
    assert answer.startswith("InvalidInput S3 credentials")
    assert airflow(code, home).startswith("InvalidInput aws_connection is 'veritas_s3'")


def test_making_the_adapter_imports_nothing_heavy() -> None:
    code = (
        "import sys; from veritasvault.adapters.s3_registry import S3ModelRegistryAdapter as S\n"
        "S('bucket'); print([m for m in ('boto3', 'botocore', 'airflow', 'numpy') if m in sys.modules])"
    )
    assert airflow(code, {}) == "[]"
