"""Model storage in a bucket of any S3 server that knows conditional writes."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import Any

from domain.registry.artifact import ArtifactFile, StagedArtifact, as_artifact_path
from domain.registry.canonical import Digest, as_digest, digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound, Unavailable
from domain.registry.manifest import ModelId, as_model_id
from domain.registry.ports import Leftover, StillOurs, StoredAttachment, StoredFile, StoredModel
from veritasvault.adapters.retrieval import require_same, retrieve, verified_manifest
from veritasvault.adapters.s3_client import (
    MISSING,
    ClientFactory,
    S3Bucket,
    airflow_client,
    code_of,
    own_client,
)
from veritasvault.adapters.s3_upload import MIB, Uploader

_CHUNK = MIB
_DELETED_AT_ONCE = 1000
_ATTACHMENT = re.compile(r"attachments/([0-9a-f]{64})")


class S3ModelRegistryAdapter:
    """`models/{model_id}/…` in a bucket, a `CollectablePort`.

    Small objects and the manifest are written on condition that the key is free, so of many writers one
    wins; files above the threshold are sent in parts to a key that their content decides. Uploads that a
    killed process left open are leftovers for gc; a lifecycle rule of the bucket may end them too. A bucket
    that keeps versions keeps deleted objects as older versions, until a lifecycle rule ends those.
    """

    def __init__(
        self,
        bucket_name: str,
        *,
        prefix: str = "",
        endpoint_url: str | None = None,
        region_name: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        aws_connection: str | None = None,
        client_factory: ClientFactory | None = None,
        multipart_threshold: int = 64 * MIB,
        part_size: int = 16 * MIB,
    ) -> None:
        """
        Args:
            prefix: a folder of the bucket; empty is its top.
            endpoint_url: the server; None is AWS.
            access_key: with `secret_key`; without them the usual AWS chain is asked.
            aws_connection: an Airflow connection id, it then gives credentials, region and endpoint.
            client_factory: makes the boto3 client instead of all that; called once in each process, and once
                more in one that deletes.
            multipart_threshold: files of more bytes are sent in parts.
            part_size: bytes of a part; what an upload holds in memory.
        """
        keys = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
        credentials = {name: key for name, key in keys.items() if key is not None}

        def bucket(*, deleting: bool = False) -> S3Bucket:
            factory = client_factory
            if factory is None and aws_connection is not None:
                factory = airflow_client(aws_connection, endpoint_url, deleting=deleting)
            if factory is None:
                factory = own_client(endpoint_url, region_name, credentials, deleting=deleting)
            return S3Bucket(bucket_name, factory)

        self._bucket, self._deleting = bucket(), bucket(deleting=True)
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._uploader = Uploader(self._bucket, multipart_threshold, part_size)

    @classmethod
    def from_connection(
        cls, bucket_name: str, connection: str, *, prefix: str = ""
    ) -> S3ModelRegistryAdapter:
        """The registry as an Airflow task reaches it: credentials and endpoint of an Airflow connection."""
        return cls(bucket_name, prefix=prefix, aws_connection=connection)

    def store_model(self, model_id: ModelId, artifact: StagedArtifact, manifest: bytes) -> None:
        verified = verified_manifest(as_model_id("model_id", model_id), manifest)
        if verified.artifact != artifact.artifact:
            raise InvalidInput("manifest", model_id, "it lists other files than the artifact holds")
        self._bucket.require()
        for file in artifact.artifact.files:
            self._store_file(self._key(model_id, "artifact", file.path), artifact.root / file.path, file)
        listed = {file.path for file in artifact.artifact.files}
        for stored in self.contents(model_id):
            if stored.path not in listed:
                name = f"models/{model_id}/artifact/{stored.path}"
                raise IntegrityError(f"{name} is not in the manifest, remove it")
        self._put(self._key(model_id, "metadata.json"), manifest)

    def retrieve_model(self, model_id: ModelId, destination: Path) -> None:
        retrieve(self, as_model_id("model_id", model_id), destination)

    def attach(self, model_id: ModelId, content: bytes) -> Digest:
        sha256 = digest(content)
        self._bucket.require()
        self._put(self._key(model_id, "attachments", sha256), content)
        return sha256

    def exists(self, model_id: ModelId) -> bool:
        return self._has(self._key(model_id, "metadata.json"))

    def list(self) -> Iterator[ModelId]:
        for key, _, _ in self._keys("models/"):
            name, _, rest = key.removeprefix("models/").partition("/")
            if rest == "metadata.json":
                try:
                    yield as_model_id("model_id", name)
                except InvalidInput:
                    continue

    def read_manifest(self, model_id: ModelId) -> bytes:
        return b"".join(self._read(self._key(model_id, "metadata.json")))

    def read_attachment(self, model_id: ModelId, sha256: Digest) -> bytes:
        return b"".join(self._read(self._key(model_id, "attachments", as_digest("attachment", sha256))))

    def contents(self, model_id: ModelId) -> Iterator[StoredFile]:
        root = self._key(model_id, "artifact/")
        # Servers differ in whether '/' sorts before '.'; a model's names fit into memory.
        found = (StoredFile(key.removeprefix(root), size) for key, size, _ in self._keys(root))
        yield from sorted(found, key=lambda file: file.path)

    def read_file(self, model_id: ModelId, path: str) -> Iterator[bytes]:
        return self._read(self._key(model_id, "artifact", as_artifact_path("path", path)))

    def stored(self) -> Iterator[StoredModel]:
        for name, objects in groupby(self._keys("models/"), key=lambda found: found[0].split("/")[1]):
            try:
                model_id = as_model_id("model_id", name)
            except InvalidInput:
                continue
            newest: dt.datetime | None = None
            attachments = []
            for key, size, modified in objects:
                newest = modified if newest is None else max(newest, modified)
                match = _ATTACHMENT.fullmatch(key.removeprefix(f"models/{name}/"))
                if match:
                    attachments.append(StoredAttachment(Digest(match.group(1)), size, modified))
            yield StoredModel(model_id, newest, tuple(attachments))

    def delete_model(self, model_id: ModelId, still_ours: StillOurs) -> None:
        manifest = self._key(model_id, "metadata.json")
        self._delete([manifest], still_ours)
        self._delete([key for key, _, _ in self._keys(self._key(model_id, ""))], still_ours)

    def delete_attachment(self, model_id: ModelId, sha256: Digest, still_ours: StillOurs) -> None:
        self._delete([self._key(model_id, "attachments", as_digest("attachment", sha256))], still_ours)

    def leftovers(self) -> Iterator[Leftover]:
        client = self._bucket.client
        with self._bucket.translated("listing unfinished uploads"):
            pages = client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket.name, Prefix=f"{self._prefix}models/"
            )
            for page in pages:
                for upload in page.get("Uploads", ()):
                    name = f"{upload['Key'].removeprefix(self._prefix)}?{upload['UploadId']}"
                    yield Leftover("upload", name, None, upload["Initiated"])

    def remove_leftover(self, leftover: Leftover) -> None:
        key, _, upload = leftover.name.rpartition("?")
        client = self._bucket.client
        with self._bucket.translated(f"ending the upload of {key}"):
            try:
                client.abort_multipart_upload(
                    Bucket=self._bucket.name, Key=self._prefix + key, UploadId=upload
                )
            except client.exceptions.ClientError as error:
                if code_of(error) not in {*MISSING, "NoSuchUpload"}:
                    raise

    def ledger_mark(self) -> bytes | None:
        try:
            return b"".join(self._read("ledger.json"))
        except NotFound:
            self._bucket.require()
            return None

    def set_ledger_mark(self, mark: bytes) -> None:
        with self._bucket.translated("storing ledger.json"):
            self._bucket.client.put_object(
                Bucket=self._bucket.name, Key=f"{self._prefix}ledger.json", Body=mark
            )

    def _delete(self, keys: Sequence[str], still_ours: StillOurs) -> None:
        client = self._deleting.client
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            names: list[dict[str, Any]] = [
                {"Key": self._prefix + key} for key in keys[start : start + _DELETED_AT_ONCE]
            ]
            still_ours()
            with self._deleting.translated(f"deleting {keys[start]}"):
                answer = client.delete_objects(
                    Bucket=self._bucket.name, Delete={"Objects": names, "Quiet": True}
                )
            for failed in answer.get("Errors", ()):
                if failed.get("Code") not in MISSING:
                    key = failed.get("Key", "").removeprefix(self._prefix)
                    raise Unavailable(f"{key} could not be deleted in {self._bucket}: {failed.get('Code')}")

    def _key(self, model_id: ModelId, *parts: str) -> str:
        return "/".join(("models", as_model_id("model_id", model_id), *parts))

    def _store_file(self, key: str, path: Path, file: ArtifactFile) -> None:
        if file.size <= self._uploader.threshold:
            if not self._uploader.put_file(self._prefix + key, path, file):
                self._adopt(key, file.size, file.sha256)
        # A free key is settled first: parts cannot be completed on condition everywhere.
        elif self._has(key) or not self._uploader.put_parts(self._prefix + key, path, file):
            self._adopt(key, file.size, file.sha256)

    def _put(self, key: str, content: bytes) -> None:
        if not self._uploader.put_bytes(self._prefix + key, content):
            self._adopt(key, len(content), digest(content))

    def _adopt(self, key: str, size: int, sha256: Digest) -> None:
        """Accept what is stored already if re-reading it gives the same content."""
        found = hashlib.sha256()
        count = 0
        try:
            for chunk in self._read(key):
                found.update(chunk)
                count += len(chunk)
        except NotFound as error:
            raise Unavailable(f"{key} is being written by somebody else, run it again later") from error
        require_same(key, size, sha256, count, found.hexdigest())

    def _has(self, key: str) -> bool:
        client = self._bucket.client
        with self._bucket.translated(f"looking for {key}"):
            try:
                client.head_object(Bucket=self._bucket.name, Key=self._prefix + key)
            except client.exceptions.ClientError as error:
                if code_of(error) not in MISSING:
                    raise
                self._bucket.require()
                return False
        return True

    def _read(self, key: str) -> Iterator[bytes]:
        client = self._bucket.client
        with self._bucket.translated(f"reading {key}"):
            try:
                answer = client.get_object(Bucket=self._bucket.name, Key=self._prefix + key)
            except client.exceptions.ClientError as error:
                if code_of(error) in MISSING:
                    raise NotFound(f"{key} is not stored in {self._bucket}") from error
                raise
            with closing(answer["Body"]) as body:
                yield from body.iter_chunks(_CHUNK)

    def _keys(self, start: str) -> Iterator[tuple[str, int, dt.datetime]]:
        """Keys without the prefix, sizes and times of all objects whose key begins with `start`, by pages."""
        client = self._bucket.client
        with self._bucket.translated(f"listing {start}"):
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket.name, Prefix=self._prefix + start
            )
            for page in pages:
                for item in page.get("Contents", ()):
                    yield item["Key"].removeprefix(self._prefix), item["Size"], item["LastModified"]
