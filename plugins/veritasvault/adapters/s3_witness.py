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
    """A `WitnessPort`: one object for each size, written on condition that its key is free.

    Where the bucket keeps versions, the first version of an object counts, also behind a delete marker. A
    lock keeps versions from being deleted, but not from being hidden by newer ones.
    """

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
        self._uploader.put_bytes(key, checkpoint.note)
        if self.read(checkpoint.size) != checkpoint:
            raise IntegrityError(
                f"{self._bucket}/{key} is another checkpoint of this size: run veritas verify --all"
            )

    def sizes(self) -> Iterator[int]:
        return (self._size(key) for key, _ in self._first_versions(self._prefix))

    def read(self, size: int) -> StoredCheckpoint:
        for key, version in self._first_versions(self._prefix + checkpoint_name(size)):
            return self._read(key, version)
        raise self._missing(size)

    def all(self) -> Iterator[StoredCheckpoint]:
        return (self._read(key, version) for key, version in self._first_versions(self._prefix))

    def _first_versions(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Key and oldest version of each checkpoint, by key; newer versions are listed first."""
        self._bucket.require()
        client = self._bucket.client
        with self._bucket.translated("listing checkpoints"):
            pages = client.get_paginator("list_object_versions").paginate(
                Bucket=self._bucket.name, Prefix=prefix
            )
            oldest: tuple[str, str] | None = None
            for page in pages:
                for item in page.get("Versions", ()):
                    if not item["Key"].endswith(SUFFIX):
                        continue
                    if oldest is not None and oldest[0] != item["Key"]:
                        yield oldest
                    oldest = item["Key"], item["VersionId"]
            if oldest is not None:
                yield oldest

    def _read(self, key: str, version: str) -> StoredCheckpoint:
        size = self._size(key)
        client = self._bucket.client
        with self._bucket.translated(f"reading {key}"):
            try:
                answer = client.get_object(Bucket=self._bucket.name, Key=key, VersionId=version)
            except client.exceptions.ClientError as error:
                if code_of(error) in MISSING:
                    raise self._missing(size) from error
                raise
            with closing(answer["Body"]) as body:
                return StoredCheckpoint(size, bytes(body.read()))

    def _size(self, key: str) -> int:
        return size_of(key.removeprefix(self._prefix), f"{self._bucket}/{key}")

    def _missing(self, size: int) -> NotFound:
        return NotFound(f"the witness {self} has no checkpoint of size {size}")

    def __str__(self) -> str:
        return f"{self._bucket}/{self._prefix}".rstrip("/")
