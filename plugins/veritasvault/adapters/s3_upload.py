"""Uploads one object so that it is never overwritten and never half there, checking what the server got."""

from __future__ import annotations

import base64
import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from domain.registry.artifact import ArtifactFile
from domain.registry.errors import IntegrityError, Unavailable
from domain.registry.staging import unavailable
from veritasvault.adapters.s3_client import TAKEN, S3Bucket, code_of

MIB = 1 << 20
_MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Uploader:
    """Puts objects that are not there yet.

    Attributes:
        threshold: files of more bytes are sent in parts.
        part_size: bytes of a part, at least 5 MiB on AWS; what is held in memory.
    """

    bucket: S3Bucket
    threshold: int
    part_size: int

    def put_bytes(self, key: str, content: bytes) -> bool:
        """Store under a key that is free; False if it is taken."""
        return self._put(key, content, hashlib.sha256(content).digest())

    def put_file(self, key: str, path: Path, file: ArtifactFile) -> bool:
        """Store a file of at most `threshold` bytes under a key that is free; False if it is taken."""
        try:
            with path.open("rb") as content:
                return self._put(key, content, bytes.fromhex(file.sha256))
        except OSError as error:
            raise unavailable(error, f"reading {file.path}") from error

    def _put(self, key: str, content: bytes | IO[bytes], sha256: bytes) -> bool:
        client = self.bucket.client
        with self.bucket.translated(f"storing {key}"):
            try:
                client.put_object(
                    Bucket=self.bucket.name,
                    Key=key,
                    Body=content,
                    IfNoneMatch="*",
                    ChecksumSHA256=_base64(sha256),
                )
            except client.exceptions.ClientError as error:
                # Also when our own first try succeeded and its answer was lost: the caller reads it back.
                if code_of(error) in TAKEN:
                    return False
                raise
        return True

    def put_parts(self, key: str, path: Path, file: ArtifactFile) -> bool:
        """Store a large file in parts; whether the server confirmed the digests of all of them.

        The key must be content-addressed and free: completing an upload conditionally is not something
        every S3 server does, so writers that race write the same bytes.
        """
        client = self.bucket.client
        with self.bucket.translated(f"storing {key}"):
            upload = client.create_multipart_upload(
                Bucket=self.bucket.name, Key=key, ChecksumAlgorithm="SHA256"
            )["UploadId"]
            try:
                parts, composite = self._send(key, upload, path, file)
                answer = client.complete_multipart_upload(
                    Bucket=self.bucket.name, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
                )
            except BaseException:
                with contextlib.suppress(Exception):
                    client.abort_multipart_upload(Bucket=self.bucket.name, Key=key, UploadId=upload)
                raise
        return bool(answer.get("ChecksumSHA256") == composite)

    def _send(
        self, key: str, upload: str, path: Path, file: ArtifactFile
    ) -> tuple[list[dict[str, Any]], str]:
        """Send part by part; the parts as S3 lists them and the checksum of their checksums."""
        size = max(self.part_size, -(-file.size // _MOST_PARTS))
        whole = hashlib.sha256()
        digests = hashlib.sha256()
        parts: list[dict[str, Any]] = []
        try:
            with path.open("rb") as content:
                while part := content.read(size):
                    whole.update(part)
                    digest = hashlib.sha256(part).digest()
                    digests.update(digest)
                    parts.append(self._part(key, upload, len(parts) + 1, part, _base64(digest)))
        except OSError as error:
            raise unavailable(error, f"sending {file.path}") from error
        if whole.hexdigest() != file.sha256:
            raise IntegrityError(f"the staged copy of {file.path} was changed while it was sent")
        return parts, f"{_base64(digests.digest())}-{len(parts)}"

    def _part(self, key: str, upload: str, number: int, part: bytes, checksum: str) -> dict[str, Any]:
        answer = self.bucket.client.upload_part(
            Bucket=self.bucket.name,
            Key=key,
            UploadId=upload,
            PartNumber=number,
            Body=part,
            ChecksumSHA256=checksum,
        )
        if answer.get("ChecksumSHA256", checksum) != checksum:
            raise Unavailable(f"part {number} of {key} arrived with another checksum: run it again")
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": checksum}


def _base64(sha256: bytes) -> str:
    return base64.b64encode(sha256).decode()
