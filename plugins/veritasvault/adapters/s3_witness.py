"""Witnessed checkpoints in a bucket, best one of another account's that locks its objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from domain.registry.errors import IntegrityError, NotFound
from domain.registry.ports import StoredCheckpoint
from veritasvault.adapters.s3_client import MISSING, ClientFactory, S3Bucket, code_of
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
        if not self._uploader.put_bytes(key, checkpoint.note) and self.read(checkpoint.size) != checkpoint:
            raise IntegrityError(
                f"{self._bucket}/{key} is another checkpoint of this size: run veritas verify --all"
            )

    def sizes(self) -> Iterator[int]:
        self._bucket.require()
        for key in self._keys():
            yield size_of(key.removeprefix(self._prefix), f"{self._bucket}/{key}")

    def read(self, size: int) -> StoredCheckpoint:
        client = self._bucket.client
        key = self._prefix + checkpoint_name(size)
        with self._bucket.translated(f"reading {key}"):
            try:
                answer = client.get_object(Bucket=self._bucket.name, Key=key)
            except client.exceptions.ClientError as error:
                if code_of(error) in MISSING:
                    raise NotFound(f"the witness {self} has no checkpoint of size {size}") from error
                raise
            with closing(answer["Body"]) as body:
                return StoredCheckpoint(size, bytes(body.read()))

    def all(self) -> Iterator[StoredCheckpoint]:
        return map(self.read, self.sizes())

    def _keys(self) -> Iterator[str]:
        client = self._bucket.client
        with self._bucket.translated("listing checkpoints"):
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket.name, Prefix=self._prefix
            )
            for page in pages:
                yield from (item["Key"] for item in page.get("Contents", ()) if item["Key"].endswith(SUFFIX))

    def __str__(self) -> str:
        return f"{self._bucket}/{self._prefix}".rstrip("/")
