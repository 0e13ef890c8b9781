"""What every place for named bytes promises, on a directory and on a bucket of a real S3 server."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from domain.registry.errors import InvalidInput, Unavailable
from domain.risk.local_objects import LocalObjects
from domain.risk.objects import ObjectsPort
from tests.processes import in_child
from tests.servers.prep_clusters import free_port
from tests.servers.seaweedfs import S3Server
from veritasvault.adapters.s3_objects import S3Objects


@pytest.fixture
def server(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """With its keys in the environment, as workers have them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    return s3_server


@pytest.fixture(params=["directory", "some/prefix", ""])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectsPort:
    if request.param == "directory":
        return LocalObjects(tmp_path / "not there yet")
    server: S3Server = request.getfixturevalue("server")
    return S3Objects(server.make_bucket(), request.param, server.endpoint)


def test_what_was_written_is_read_by_its_name_alone(objects: ObjectsPort) -> None:
    assert objects.read("a") is None
    assert objects.use("a") is None
    objects.replace("a", b"first")
    objects.replace("b", b"")
    assert (objects.read("a"), objects.use("a")) == (b"first", 5)
    assert (objects.read("b"), objects.use("b")) == (b"", 0)
    objects.replace("a", b"second")
    assert (objects.read("a"), objects.use("a")) == (b"second", 6)


def test_a_name_is_added_once(objects: ObjectsPort) -> None:
    assert objects.add("a", b"first")
    assert not objects.add("a", b"second")
    assert objects.read("a") == b"first"


def test_of_many_that_add_a_name_at_once_one_writes(objects: ObjectsPort) -> None:
    contents = [f"by {number}".encode() * 1000 for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        wrote = list(pool.map(lambda content: objects.add("a", content), contents))
    assert sum(wrote) == 1
    assert objects.read("a") == contents[wrote.index(True)]


def test_what_is_removed_is_gone_and_may_be_added_again(objects: ObjectsPort) -> None:
    objects.remove("a")
    assert objects.add("a", b"first")
    objects.remove("a")
    assert objects.read("a") is None
    assert objects.add("a", b"second")
    assert objects.read("a") == b"second"


def test_a_copy_that_travelled_to_another_process_is_the_same_place(objects: ObjectsPort) -> None:
    objects.replace("a", b"here")
    copy = pickle.loads(pickle.dumps(objects))
    assert (copy, hash(copy), copy.uri) == (objects, hash(objects), objects.uri)
    assert in_child(lambda: copy.read("a")) == b"here"


def test_no_key_of_a_connection_travels_with_a_task() -> None:
    """A worker has keys of its own; an Airflow connection is not asked for there."""
    here = S3Objects("bucket", "blocks", "http://127.0.0.1:1", "aws_default")
    assert pickle.loads(pickle.dumps(here)) == S3Objects("bucket", "blocks", "http://127.0.0.1:1")


def test_a_bucket_that_is_not_there_is_one_sentence(server: S3Server) -> None:
    with pytest.raises(InvalidInput, match="bucket is 'no-such-bucket'"):
        S3Objects("no-such-bucket", "", server.endpoint).read("a")


@pytest.mark.usefixtures("server")
def test_a_server_that_does_not_answer_is_unavailable() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match="check the endpoint"):
        S3Objects("bucket", "", nobody).add("a", b"first")
