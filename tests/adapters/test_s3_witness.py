"""A witness in a bucket that locks its objects: what was witnessed can be neither removed nor covered up.

SeaweedFS keeps versions, retention and its compliance mode as S3 does; what only AWS has, such as policies of
another account, is not tried here.
"""

from __future__ import annotations

from typing import Any

import pytest

from domain.registry.errors import IntegrityError
from domain.registry.ports import StoredCheckpoint
from tests.servers.seaweedfs import S3Server
from veritasvault.adapters.s3_client import own_client
from veritasvault.adapters.s3_witness import S3Witness
from veritasvault.adapters.witness_names import checkpoint_name

KEY = f"ledger/{checkpoint_name(3)}"
NOTE = StoredCheckpoint(3, b"what was seen first\n")


@pytest.fixture
def locked(s3_server: S3Server) -> str:
    """A bucket that keeps each version of an object for a day, whoever asks."""
    name = s3_server.make_bucket() + "-locked"
    client = s3_server.client()
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 1}}
    client.put_object_lock_configuration(
        Bucket=name, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
    )
    return name


def witness(server: S3Server, bucket: str) -> S3Witness:
    keys = {"aws_access_key_id": server.access_key, "aws_secret_access_key": server.secret_key}
    return S3Witness(bucket, "ledger", own_client(server.endpoint, None, keys))


def test_what_was_witnessed_cannot_be_deleted(s3_server: S3Server, locked: str) -> None:
    witness(s3_server, locked).put(NOTE)
    client = s3_server.client()
    (version,) = client.list_object_versions(Bucket=locked)["Versions"]
    for more in ({}, {"BypassGovernanceRetention": True}):
        with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
            client.delete_object(Bucket=locked, Key=KEY, VersionId=version["VersionId"], **more)


def delete(client: Any, bucket: str) -> None:
    client.delete_object(Bucket=bucket, Key=KEY)


def overwrite(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key=KEY, Body=b"another\n")


def replace(client: Any, bucket: str) -> None:
    delete(client, bucket)
    client.put_object(Bucket=bucket, Key=KEY, Body=b"another\n", IfNoneMatch="*")


@pytest.mark.parametrize("cover", [delete, overwrite, replace])
def test_what_was_witnessed_cannot_be_covered_by_a_newer_version(
    s3_server: S3Server, locked: str, cover: Any
) -> None:
    """A lock keeps nobody who may write from hiding an object; the first version is read all the same."""
    place = witness(s3_server, locked)
    place.put(NOTE)
    place.put(StoredCheckpoint(10, b"later\n"))
    cover(s3_server.client(), locked)
    assert (list(place.sizes()), place.read(3)) == ([3, 10], NOTE)
    assert list(place.all()) == [NOTE, StoredCheckpoint(10, b"later\n")]
    place.put(NOTE)
    with pytest.raises(IntegrityError, match="another checkpoint of this size"):
        place.put(StoredCheckpoint(3, b"another\n"))
    assert place.read(3) == NOTE
