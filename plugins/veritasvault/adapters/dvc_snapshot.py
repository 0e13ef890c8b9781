"""Snapshots of raw data kept by DVC, in a local directory and optionally on a remote such as S3."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain.registry.canonical import Digest, as_digest, decode, encode
from domain.registry.errors import DomainException, IntegrityError, InvalidInput, NotFound, Unavailable
from domain.registry.records import Fields
from domain.risk.ports import Snapshot
from veritasvault.adapters.durable_files import copy_hashed, hash_file, sync, write_durably
from veritasvault.adapters.file_lock import file_lock
from veritasvault.adapters.s3_client import airflow_client

REMOTE = "snapshots"


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """How a snapshot is found again: DVC knows its bytes by MD5 alone, which is no proof of anything.

    Attributes:
        suffix: the extension of the file, .parquet or .csv.
        remote: where DVC pushed it to; None when it is only here.
    """

    sha256: Digest
    md5: str
    size: int
    suffix: str
    remote: str | None

    @property
    def snapshot(self) -> Snapshot:
        return Snapshot(self.sha256, f"md5:{self.md5}", self.size)

    def to_bytes(self) -> bytes:
        return encode({name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def from_bytes(cls, data: bytes, what: str) -> SnapshotEntry:
        """Read what `to_bytes` writes. Raises IntegrityError."""
        try:
            return cls(**Fields.of("snapshot", decode(data, what), tuple(cls.__slots__)).values)
        except InvalidInput as error:
            raise IntegrityError(f"{what} was changed: {error}") from error


class DvcSnapshots:
    """A DVC repository without source control that tracks each snapshot as `raw/<sha256>`.

    A small index from SHA-256 to DVC's MD5 answers for snapshots that exist without importing DVC. One lock
    serialises the rest, as DVC itself gives up after seconds when it meets its own.

    Args:
        directory: the repository; made when first needed.
        remote_url: a directory or s3://bucket/prefix that snapshots are pushed to; None keeps them here.
        endpoint_url: of the S3 server; None is AWS.
        aws_connection: id of the Airflow connection that has the S3 credentials.
        access_key: with `secret_key`, instead of a connection; without either the usual AWS chain is taken.
            Keys are never written to disk.
    """

    def __init__(
        self,
        directory: Path,
        remote_url: str | None = None,
        *,
        endpoint_url: str | None = None,
        aws_connection: str | None = None,
        access_key: str | None = None,
        secret_key: str | None = None,
        region_name: str | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._remote = remote_url
        self._connection = aws_connection
        self._options = {
            "endpointurl": endpoint_url,
            "access_key_id": access_key,
            "secret_access_key": secret_key,
            "region": region_name,
        }

    def snapshot(self, path: Path) -> Snapshot:
        """Keep a file's bytes; the same bytes give the same snapshot.

        Raises:
            InvalidInput: the file cannot be read.
            Unavailable: the repository or its remote cannot be written now.
        """
        try:
            sha256, size = hash_file(path)
        except OSError as error:
            raise InvalidInput("snapshot", str(path), f"give a file that can be read ({error})") from error
        known = self._known(sha256)
        if known is not None:
            return known.snapshot
        with self._locked():
            known = self._known(sha256)
            return (known or self._track(path, sha256, size)).snapshot

    def materialize(self, sha256: Digest, destination: Path) -> Path:
        """Write a snapshot's file, named by its SHA-256, into the directory `destination`.

        Raises:
            NotFound: no such snapshot here or on the remote.
            IntegrityError: its bytes changed.
            Unavailable: the remote cannot be reached or `destination` cannot be written.
        """
        return self._written(sha256, destination, as_kept=False)

    def examine(self, sha256: Digest, destination: Path) -> Path:
        """Write what is kept for a snapshot, changed or not; see `SnapshotPort.examine`."""
        return self._written(sha256, destination, as_kept=True)

    def _written(self, sha256: Digest, destination: Path, *, as_kept: bool) -> Path:
        """The file, under the snapshot's name once it is complete; a changed one only `as_kept`."""
        as_digest("snapshot", sha256)
        entry = self._indexed(sha256)
        if entry is None or not self._object(entry.md5).exists():
            entry = self._fetch(sha256)
        target = destination / f"{sha256}{entry.suffix}"
        temporary = destination / f".{target.name}.{uuid.uuid4().hex}"
        try:
            destination.mkdir(parents=True, exist_ok=True)
            found, _ = copy_hashed(self._object(entry.md5), temporary)
            if found != sha256 and not as_kept:
                raise IntegrityError(f"snapshot {sha256} changed: the SHA-256 of its bytes is {found}")
            temporary.replace(target)
        except OSError as error:
            raise Unavailable(f"snapshot {sha256} cannot be written to {destination}: {error}") from error
        finally:
            temporary.unlink(missing_ok=True)
        return target

    def _index(self, sha256: str) -> Path:
        return self._directory / "index" / f"{sha256}.json"

    def _object(self, md5: str) -> Path:
        """DVC's own layout of its cache, version 3."""
        return self._directory / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]

    def _indexed(self, sha256: str) -> SnapshotEntry | None:
        path = self._index(sha256)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise Unavailable(f"{path} cannot be read: {error}") from error
        entry = SnapshotEntry.from_bytes(data, str(path))
        if entry.sha256 != sha256:
            raise IntegrityError(f"{path} was changed: it names snapshot {entry.sha256}")
        return entry

    def _known(self, sha256: str) -> SnapshotEntry | None:
        """The entry of a snapshot that is here, and on the remote where there is one."""
        entry = self._indexed(sha256)
        if entry is None or entry.remote != self._remote:
            return None
        try:
            return entry if self._object(entry.md5).stat().st_size == entry.size else None
        except OSError:
            return None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            with file_lock(self._directory / ".lock", f"the snapshots in {self._directory}"):
                yield
        except OSError as error:
            raise Unavailable(f"the snapshots in {self._directory} cannot be written: {error}") from error

    def _track(self, path: Path, sha256: Digest, size: int) -> SnapshotEntry:
        """Have DVC add the file and push it; the index entry, written last, makes it a snapshot."""
        working = self._directory / "raw" / sha256
        try:
            working.parent.mkdir(parents=True, exist_ok=True)
            found, _ = copy_hashed(path, working)
            if found != sha256:
                raise Unavailable(f"{path} changed while it was read: retry when it is complete")
            with self._repository() as repository:
                stage = repository.add([str(working)], force=True)[0]
                md5 = str(stage.outs[0].hash_info.value)
                entry = SnapshotEntry(sha256, md5, size, path.suffix, self._remote)
                self._mend(md5, working)
                sync(self._object(md5))
                if self._remote is not None:
                    repository.push([f"{working}.dvc"])
                    self._push_entry(repository, entry)
        finally:
            working.unlink(missing_ok=True)
        write_durably(self._index(sha256), entry.to_bytes())
        return entry

    def _mend(self, md5: str, working: Path) -> None:
        """Replace a cached object that is not what was just hashed: DVC trusts its name."""
        cached = self._object(md5)
        if hash_file(cached) != hash_file(working):
            temporary = cached.with_name(f".{cached.name}.{uuid.uuid4().hex}")
            copy_hashed(working, temporary)
            temporary.replace(cached)

    def _push_entry(self, repository: Any, entry: SnapshotEntry) -> None:
        """Put the index entry beside the pushed bytes, so that other machines find them by SHA-256."""
        remote = repository.cloud.get_remote(REMOTE)
        staged = self._directory / f".entry-{uuid.uuid4().hex}"
        try:
            staged.write_bytes(entry.to_bytes())
            remote.fs.put_file(str(staged), self._remote_entry(remote, entry.sha256))
        finally:
            staged.unlink(missing_ok=True)

    def _fetch(self, sha256: Digest) -> SnapshotEntry:
        """Bring entry and bytes from the remote."""
        if self._remote is None:
            raise NotFound(f"snapshot {sha256} is not kept in {self._directory}")
        with self._locked(), self._repository() as repository:
            entry = self._indexed(sha256) or self._pulled_entry(repository, sha256)
            if not self._object(entry.md5).exists():
                tracked = self._directory / "raw" / f"{sha256}.dvc"
                tracked.parent.mkdir(exist_ok=True)
                tracked.write_text(_dvc_file(entry), encoding="utf-8")
                repository.fetch([str(tracked)])
            if not self._object(entry.md5).exists():
                raise NotFound(f"snapshot {sha256} is listed, but its bytes are gone from {self._remote}")
            sync(self._object(entry.md5))
            write_durably(self._index(sha256), entry.to_bytes())
        return entry

    def _pulled_entry(self, repository: Any, sha256: str) -> SnapshotEntry:
        remote = repository.cloud.get_remote(REMOTE)
        staged = self._directory / f".entry-{uuid.uuid4().hex}"
        try:
            remote.fs.get_file(self._remote_entry(remote, sha256), str(staged))
            return SnapshotEntry.from_bytes(staged.read_bytes(), f"index entry {sha256} of {self._remote}")
        except FileNotFoundError as error:
            raise NotFound(
                f"snapshot {sha256} is neither in {self._directory} nor on {self._remote}"
            ) from error
        finally:
            staged.unlink(missing_ok=True)

    def _remote_entry(self, remote: Any, sha256: str) -> str:
        return str(remote.fs.join(remote.path, "snapshots", f"{sha256}.json"))

    @contextmanager
    def _repository(self) -> Iterator[Any]:
        """The DVC repository; call it under the lock."""
        from dvc.repo import Repo

        logging.getLogger("dvc").setLevel(logging.WARNING)  # importing it makes it print to stdout
        home = self._directory / ".dvc"
        try:
            if not (home / "config").exists():
                Repo.init(str(self._directory), no_scm=True, force=True).close()
            # Left by a process that was killed; nobody else is here under our lock.
            (home / "tmp" / "rwlock").unlink(missing_ok=True)
            with Repo(str(self._directory), config=self._config()) as repository:
                yield repository
        except DomainException:
            raise
        except Exception as error:  # DVC lets through what its many remotes raise
            where = self._remote or self._directory
            raise Unavailable(f"snapshots cannot be kept in {where} now: {_reason(error)}") from error

    def _config(self) -> dict[str, Any]:
        core: dict[str, Any] = {
            "analytics": False,
            "check_update": False,
            "autostage": False,
            "site_cache_dir": str(self._directory / ".dvc" / "site"),
        }
        if self._remote is None:
            return {"core": core}
        remote: dict[str, Any] = {"url": self._remote}
        if self._remote.startswith("s3://"):
            options = self._options | self._from_connection()
            # A server that is away is told as such, not waited for.
            remote |= {"connect_timeout": 5, "read_timeout": 60}
            remote |= {name: value for name, value in options.items() if value is not None}
        return {"core": {**core, "remote": REMOTE}, "remote": {REMOTE: remote}}

    def _from_connection(self) -> dict[str, str | None]:
        """Endpoint and keys of the Airflow connection; DVC cannot read it itself."""
        if self._connection is None:
            return {}
        client = airflow_client(self._connection, self._options["endpointurl"])()
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        credentials = S3Hook(aws_conn_id=self._connection).get_credentials()
        return {
            "access_key_id": credentials.access_key,
            "secret_access_key": credentials.secret_key,
            "session_token": credentials.token,
            "endpointurl": client.meta.endpoint_url,
        }


def _dvc_file(entry: SnapshotEntry) -> str:
    """What `dvc add` writes for the snapshot."""
    return f"outs:\n- md5: {entry.md5}\n  size: {entry.size}\n  hash: md5\n  path: {entry.sha256}\n"


def _reason(error: BaseException) -> str:
    """The innermost cause, on one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split()) or type(error).__name__
