"""Witnessed checkpoints in a bucket, best one of another account's that locks its objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from domain.registry.errors import IntegrityError
from domain.registry.ports import StoredCheckpoint
from veritasvault.adapters.s3_client import ClientFactory, S3Bucket
from veritasvault.adapters.s3_upload import MIB, Uploader
from veritasvault.adapters.witness_names import SUFFIX, checkpoint_name, size_of


class S3Witness:
    """A `WitnessPort`: one object for each size, written on condition that its key is free."""

    def __init__(self, bucket_name: str, prefix: str, client_factory: ClientFactory) -> None:
        """
        Args:
            prefix: a folder of the bucket; empty is its top.
            client_factory: makes the boto3 client, once in each process.
        """
        self._bucket = S3Bucket(bucket_name, client_factory)
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._uploader = Uploader(self._bucket, 64 * MIB, 16 * MIB)

    def put(self, checkpoint: StoredCheckpoint) -> None:
        key = self._prefix + checkpoint_name(checkpoint.size)
        self._bucket.require()
        if not self._uploader.put_bytes(key, checkpoint.note) and self._read(key) != checkpoint.note:
            raise IntegrityError(
                f"{self._bucket}/{key} is another checkpoint of this size: run veritas verify --all"
            )

    def all(self) -> Iterator[StoredCheckpoint]:
        self._bucket.require()
        for key in self._keys():
            name = key.removeprefix(self._prefix)
            yield StoredCheckpoint(size_of(name, f"{self._bucket}/{key}"), self._read(key))

    def _keys(self) -> Iterator[str]:
        client = self._bucket.client
        with self._bucket.translated("listing checkpoints"):
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket.name, Prefix=self._prefix
            )
            for page in pages:
                yield from (item["Key"] for item in page.get("Contents", ()) if item["Key"].endswith(SUFFIX))

    def _read(self, key: str) -> bytes:
        client = self._bucket.client
        with (
            self._bucket.translated(f"reading {key}"),
            closing(client.get_object(Bucket=self._bucket.name, Key=key)["Body"]) as body,
        ):
            return bytes(body.read())

    def __str__(self) -> str:
        return f"{self._bucket}/{self._prefix}".rstrip("/")
