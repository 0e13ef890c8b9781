"""Named bytes in a bucket, as an `ObjectsPort`, for tasks on machines that share no directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from veritasvault.adapters.s3_client import MISSING, TAKEN, S3Bucket, airflow_client, code_of, own_client


@dataclass(frozen=True, slots=True)
class S3Objects:
    """Objects below a prefix of a bucket of any S3 server that knows conditional writes.

    Nothing marks their use: what nobody needs is ended by a lifecycle rule of the bucket, and what is needed
    again is made again.

    Attributes:
        bucket, prefix: where they are; the prefix has no slash around it and may be empty.
        endpoint: the server; None is AWS.
        connection: Airflow connection that gives keys and region; None takes the usual AWS chain. It is not
            pickled: no key travels with a task, and a worker has its own.
    """

    bucket: str
    prefix: str
    endpoint: str | None = None
    connection: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return S3Objects, (self.bucket, self.prefix, self.endpoint)

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def read(self, name: str) -> bytes | None:
        with self._asking(f"reading {name}") as bucket:
            client = bucket.client
            try:
                answer = client.get_object(Bucket=self.bucket, Key=self._key(name))
            except client.exceptions.ClientError as error:
                if code_of(error) in MISSING:
                    return None
                raise
            with closing(answer["Body"]) as body:
                return bytes(body.read())

    def use(self, name: str) -> int | None:
        with self._asking(f"looking for {name}") as bucket:
            client = bucket.client
            try:
                return int(client.head_object(Bucket=self.bucket, Key=self._key(name))["ContentLength"])
            except client.exceptions.ClientError as error:
                if code_of(error) in MISSING:
                    return None
                raise

    def add(self, name: str, data: bytes) -> bool:
        with self._asking(f"writing {name}") as bucket:
            client = bucket.client
            try:
                client.put_object(Bucket=self.bucket, Key=self._key(name), Body=data, IfNoneMatch="*")
            except client.exceptions.ClientError as error:
                if code_of(error) in TAKEN:
                    return False
                raise
        return True

    def replace(self, name: str, data: bytes) -> None:
        with self._asking(f"writing {name}") as bucket:
            bucket.client.put_object(Bucket=self.bucket, Key=self._key(name), Body=data)

    def remove(self, name: str) -> None:
        with self._asking(f"removing {name}") as bucket:
            bucket.client.delete_object(Bucket=self.bucket, Key=self._key(name))

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}".lstrip("/")

    @contextmanager
    def _asking(self, doing: str) -> Iterator[S3Bucket]:
        """The bucket, which exists; see `S3Bucket.translated` for what is raised."""
        bucket = _bucket(self.bucket, self.endpoint, self.connection)
        bucket.require()
        with bucket.translated(doing):
            yield bucket


@cache
def _bucket(name: str, endpoint: str | None, connection: str | None) -> S3Bucket:
    """One client in each process, which is most of what a first request costs."""
    if connection is not None:
        return S3Bucket(name, airflow_client(connection, endpoint))
    return S3Bucket(name, own_client(endpoint, None, {}))
