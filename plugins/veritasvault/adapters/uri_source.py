"""Raw data by URI: samples, files, S3 objects and snapshots."""

from __future__ import annotations

import gzip
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from domain.registry.canonical import as_digest
from domain.registry.errors import InvalidInput, NoSuchSource, Unavailable
from domain.risk.ports import SnapshotPort
from veritasvault.adapters.s3_client import MISSING, S3Bucket, airflow_client, code_of, own_client
from veritasvault.adapters.samples import FLOWS, PRICES, sample_name, write_sample
from veritasvault.source_address import require_open

FORMATS = (".parquet", ".csv", ".csv.gz")
SCHEMES = f"use {PRICES}, {FLOWS}SEED, a path, file://, s3://bucket/key or snapshot:<sha256>"
_CHUNK = 1 << 20


class UriSource:
    """Copies raw data from where a URI points to; Parquet and CSV by the name's extension.

    Args:
        snapshots: where `snapshot:` URIs are looked up; None refuses them.
        endpoint_url: of the S3 server; None is AWS, or what the Airflow connection says.
        aws_connection: id of the Airflow connection that has the S3 credentials.
        access_key: with `secret_key`, instead of a connection; without either the usual AWS chain is taken.
    """

    def __init__(
        self,
        snapshots: SnapshotPort | None = None,
        *,
        endpoint_url: str | None = None,
        aws_connection: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        region_name: str | None = None,
    ) -> None:
        self._snapshots = snapshots
        keys = {"aws_access_key_id": access_key, "aws_secret_access_key": secret_key}
        self._s3 = (
            airflow_client(aws_connection, endpoint_url)
            if aws_connection
            else own_client(endpoint_url, region_name, {name: key for name, key in keys.items() if key})
        )

    def fetch(self, uri: str, destination: Path) -> Path:
        """Copy the bytes behind a URI into the directory `destination`, and return the file.

        The file ends in .parquet or .csv; a .csv.gz is unpacked.

        Raises:
            NoSuchSource: the file or the object does not exist.
            InvalidInput: no such scheme or bucket, or a format that is neither Parquet nor CSV.
            Unavailable: the store cannot be reached, or `destination` cannot be written.
        """
        if any(ord(character) < 32 for character in uri):
            raise InvalidInput("source", uri, "remove control characters from it")
        require_open("source", uri)
        try:
            destination.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(destination, error) from error
        scheme, _, rest = uri.partition(":")
        if uri.startswith("snapshot:"):
            return self._snapshot(uri, rest, destination)
        if uri.startswith("sample://"):
            return _sample(uri, destination)
        if uri.startswith("s3://"):
            bucket, key = _bucket_and_key(uri)
            return _received(uri, key, destination, lambda to: self._download(uri, bucket, key, to))
        if uri.startswith("file://"):
            parts = urlsplit(uri)
            if parts.netloc not in ("", "localhost"):
                raise InvalidInput("source", uri, "write file:///path, with three slashes")
            return _copied(uri, Path(unquote(parts.path)), destination)
        if "://" in uri or (rest and "/" not in scheme and not Path(uri).exists()):
            raise InvalidInput("source", uri, f"no such scheme, {SCHEMES}")
        return _copied(uri, Path(uri), destination)

    def grows(self, uri: str) -> bool:
        """Whether later rows may still arrive; False for samples and snapshots."""
        return not uri.startswith(("sample://", "snapshot:"))

    def _download(self, uri: str, bucket: str, key: str, to: IO[bytes]) -> None:
        store = S3Bucket(bucket, self._s3)
        with store.translated(f"reading {key}"):
            try:
                store.client.download_fileobj(bucket, key, to)
            except store.client.exceptions.ClientError as error:
                if code_of(error) not in MISSING:
                    raise
                store.require()
                raise NoSuchSource(
                    "source", uri, f"name an object that exists, {store} has no {key}"
                ) from error

    def _snapshot(self, uri: str, sha256: str, destination: Path) -> Path:
        if self._snapshots is None:
            raise InvalidInput("source", uri, "configure a snapshot store before replaying a snapshot")
        return self._snapshots.materialize(as_digest("source", sha256), destination)


def _copied(uri: str, path: Path, destination: Path) -> Path:
    if path.is_dir():
        raise InvalidInput("source", uri, "name a file, this is a directory")

    def copy(to: IO[bytes]) -> None:
        try:
            source = path.open("rb")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            refused = NoSuchSource if isinstance(error, FileNotFoundError) else InvalidInput
            raise refused("source", uri, f"name a file that can be read ({reason})") from error
        with source:
            shutil.copyfileobj(source, to, _CHUNK)

    return _received(uri, path.name, destination, copy)


def _received(uri: str, name: str, destination: Path, write: Callable[[IO[bytes]], None]) -> Path:
    """Write a file under its own name, complete or not at all, unpacked and of the format its name says."""
    extension = next((e for e in FORMATS if name.lower().endswith(e)), None)
    if not name or extension is None:
        raise InvalidInput("source", uri, f"name a file that ends in {', '.join(FORMATS)}")
    stem = Path(name).name[: -len(extension)]
    target = destination / f"{stem or 'raw'}{'.parquet' if extension == '.parquet' else '.csv'}"
    with _appearing(target) as temporary:
        with temporary.open("wb") as file:
            write(file)
        if extension == ".csv.gz":
            _unpack(uri, temporary)
        _check_format(uri, temporary, target.suffix)
    return target


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """A path to write to; the target appears, complete, once that is done, and not at all if it fails."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"{path} cannot be written ({error.strerror or error}): free space or choose another place"
    )


def _unpack(uri: str, path: Path) -> None:
    unpacked = path.with_name(f"{path.name}.unpacked")
    try:
        with gzip.open(path) as packed, unpacked.open("wb") as file:
            shutil.copyfileobj(packed, file, _CHUNK)
        unpacked.replace(path)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise InvalidInput("source", uri, f"give a complete gzip file ({error})") from error
    finally:
        unpacked.unlink(missing_ok=True)


def _check_format(uri: str, path: Path, suffix: str) -> None:
    with path.open("rb") as file:
        head = file.read(4096)
    if not head:
        raise InvalidInput("source", uri, "give a file that is not empty")
    if suffix == ".parquet" and not head.startswith(b"PAR1"):
        raise InvalidInput("source", uri, "give a Parquet file, it does not begin as one")
    if suffix == ".csv" and b"\0" in head:
        raise InvalidInput("source", uri, "give a CSV file in UTF-8, it holds binary data")


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not bucket or not key or key.endswith("/"):
        raise InvalidInput("source", uri, "write s3://bucket/key")
    return bucket, key


def _sample(uri: str, destination: Path) -> Path:
    target = destination / sample_name(uri)
    with _appearing(target) as temporary:
        write_sample(uri, temporary)
    return target
