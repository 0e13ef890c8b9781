"""Model storage on a file system: every object appears whole or not at all, and survives a power cut."""

from __future__ import annotations

import datetime as dt
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domain.registry.artifact import StagedArtifact, as_artifact_path
from domain.registry.canonical import Digest, as_digest, digest
from domain.registry.errors import IntegrityError, InvalidInput, NotFound, Unavailable
from domain.registry.manifest import ModelId, as_model_id
from domain.registry.ports import Leftover, StillOurs, StoredAttachment, StoredFile, StoredModel
from domain.registry.staging import flush_directory, make_directories, private_directory, unavailable
from veritasvault.adapters.retrieval import require_same, retrieve, verified_manifest
from veritasvault.adapters.staging_leftovers import StagingLeftovers

_CHUNK = 1 << 20
_MISSING = (errno.ENOENT, errno.ENOTDIR)
_ATTACHMENT = re.compile(r"attachments/[0-9a-f]{64}")


class FilesystemModelRegistry:
    """`models/{model_id}/…` below a directory of a local disk; the default `CollectablePort`.

    An object is written beside its place, flushed, and then linked under its name, which fails if the name
    is taken: of many writers one wins, and a reader never sees half a file. The directories that changed
    are flushed before the manifest is linked, so a manifest on disk means that its files are. A model is
    deleted by one rename out of `models`, so nobody sees half of it either.
    """

    def __init__(self, root: Path) -> None:
        """`root` is made when the first model is stored."""
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 - resolve() would need it to exist
        self.staging = self.root / ".staging"
        # The model directory whose way from the root was flushed last, with its inode.
        self._reachable: tuple[Path, int] | None = None

    def store_model(self, model_id: ModelId, artifact: StagedArtifact, manifest: bytes) -> None:
        verified = verified_manifest(as_model_id("model_id", model_id), manifest)
        if verified.artifact != artifact.artifact:
            raise InvalidInput("manifest", model_id, "it lists other files than the artifact holds")
        home = self._home(model_id)
        self._reachable = None
        with self._translated(f"storing model {model_id} in {self.root}"):
            for file in artifact.artifact.files:
                place = home / "artifact" / file.path
                self._make_directories(place.parent)
                if not self._put_file(artifact.root / file.path, place):
                    self._adopt(place, file.size, file.sha256)
            self._refuse_unlisted(model_id, {file.path for file in artifact.artifact.files})
            # Also when all was adopted: another writer may have linked and not flushed yet.
            self._flush_directories(home, (home / "artifact" / file.path for file in artifact.artifact.files))
            self._put_bytes(manifest, home, "metadata.json")

    def retrieve_model(self, model_id: ModelId, destination: Path) -> None:
        retrieve(self, as_model_id("model_id", model_id), destination)

    def attach(self, model_id: ModelId, content: bytes) -> Digest:
        sha256 = digest(content)
        home = self._home(model_id)
        with self._translated(f"attaching to model {model_id} in {self.root}"):
            self._make_directories(home / "attachments")
            self._put_bytes(content, home, f"attachments/{sha256}")
        return sha256

    def exists(self, model_id: ModelId) -> bool:
        place = self._home(model_id) / "metadata.json"
        with self._translated(f"looking for {self._name(place)}"):
            return _stat(place) is not None

    def list(self) -> Iterator[ModelId]:
        for model_id in self._directories():
            if self.exists(model_id):
                yield model_id

    def read_manifest(self, model_id: ModelId) -> bytes:
        return b"".join(self._read(self._home(model_id) / "metadata.json"))

    def read_attachment(self, model_id: ModelId, sha256: Digest) -> bytes:
        return b"".join(self._read(self._home(model_id) / "attachments" / as_digest("attachment", sha256)))

    def contents(self, model_id: ModelId) -> Iterator[StoredFile]:
        root = self._home(model_id) / "artifact"
        with self._translated(f"listing {self._name(root)}"):
            yield from sorted(_walk(root, ""), key=lambda file: file.path)

    def read_file(self, model_id: ModelId, path: str) -> Iterator[bytes]:
        return self._read(self._home(model_id) / "artifact" / as_artifact_path("path", path))

    def stored(self) -> Iterator[StoredModel]:
        for model_id in self._directories():
            home = self._home(model_id)
            with self._translated(f"listing {self._name(home)}"):
                found = {file.path: (file.size, time) for file, time in _walk_with_times(home)}
                # An empty directory is all that a process left that was killed before its first file.
                stat_of_home = _stat(home)
            if stat_of_home is None:
                continue
            times = [time for _, time in found.values()] or [_time(stat_of_home)]
            attachments = tuple(
                StoredAttachment(Digest(path.removeprefix("attachments/")), *found[path])
                for path in sorted(found)
                if _ATTACHMENT.fullmatch(path)
            )
            yield StoredModel(model_id, max(times), attachments)

    def delete_model(self, model_id: ModelId, still_ours: StillOurs) -> None:
        home = self._home(model_id)
        with self._translated(f"deleting model {model_id} in {self.root}"):
            self._take_away(home, still_ours)

    def delete_attachment(self, model_id: ModelId, sha256: Digest, still_ours: StillOurs) -> None:
        place = self._home(model_id) / "attachments" / as_digest("attachment", sha256)
        with self._translated(f"deleting {self._name(place)}"):
            self._take_away(place, still_ours)

    def leftovers(self) -> Iterator[Leftover]:
        return StagingLeftovers(self.staging).leftovers()

    def remove_leftover(self, leftover: Leftover) -> None:
        StagingLeftovers(self.staging).remove_leftover(leftover)

    def ledger_mark(self) -> bytes | None:
        try:
            return b"".join(self._read(self.root / "ledger.json"))
        except NotFound:
            return None

    def set_ledger_mark(self, mark: bytes) -> None:
        with (
            self._translated(f"writing ledger.json in {self.root}"),
            private_directory(self.staging) as temporary,
        ):
            _write(temporary / "file", iter((mark,)))
            (temporary / "file").replace(self.root / "ledger.json")
            flush_directory(self.root)

    def _directories(self) -> Iterator[ModelId]:
        """The ids that have a directory, in order."""
        with self._translated(f"listing {self.root}"):
            try:
                names = sorted(path.name for path in (self.root / "models").iterdir())
            except FileNotFoundError:
                return
        for name in names:
            try:
                yield as_model_id("model_id", name)
            except InvalidInput:
                continue

    def _take_away(self, place: Path, still_ours: StillOurs) -> None:
        """Rename something into private staging, which removes it at exit, or sweeps it after a crash."""
        if _stat(place) is None:
            return
        with private_directory(self.staging) as temporary:
            still_ours()
            try:
                place.rename(temporary / "deleted")
            except FileNotFoundError:
                return
            flush_directory(place.parent)

    def _home(self, model_id: ModelId) -> Path:
        return self.root / "models" / as_model_id("model_id", model_id)

    def _name(self, place: Path) -> str:
        return place.relative_to(self.root).as_posix()

    def _read(self, place: Path) -> Iterator[bytes]:
        with self._translated(f"reading {self._name(place)}"):
            try:
                fd = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            except OSError as error:
                if error.errno in _MISSING:
                    raise NotFound(f"{self._name(place)} is not stored in {self.root}") from error
                if error.errno in (errno.ELOOP, errno.ENXIO):
                    raise self._not_a_file(place) from error
                raise
            try:
                if not stat.S_ISREG(os.fstat(fd).st_mode):
                    raise self._not_a_file(place)
                while chunk := os.read(fd, _CHUNK):
                    yield chunk
            finally:
                os.close(fd)

    def _adopt(self, place: Path, size: int, sha256: Digest) -> None:
        """Accept what is stored already if re-reading it gives the same content."""
        found = hashlib.sha256()
        count = 0
        for chunk in self._read(place):
            found.update(chunk)
            count += len(chunk)
        require_same(self._name(place), size, sha256, count, found.hexdigest())

    def _put_file(self, source: Path, place: Path) -> bool:
        """Give a staged, flushed file its name; False if the name is taken."""
        source.chmod(0o444)
        try:
            return _link(source, place)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                raise
        with private_directory(self.staging) as temporary:
            copy = temporary / "file"
            with source.open("rb") as content:
                _write(copy, iter(lambda: content.read(_CHUNK), b""))
            return _link(copy, place)

    def _put_bytes(self, content: bytes, home: Path, name: str) -> None:
        """Store and flush under the name, or adopt what is there, and flush the way to it."""
        place = home / name
        if _stat(place) is None:
            with private_directory(self.staging) as temporary:
                _write(temporary / "file", iter((content,)))
                linked = _link(temporary / "file", place)
        else:
            linked = False
        if not linked:
            self._adopt(place, len(content), digest(content))
        self._flush_directories(home, iter((place,)))

    def _refuse_unlisted(self, model_id: ModelId, listed: set[str]) -> None:
        for file in self.contents(model_id):
            if file.path not in listed:
                name = f"models/{model_id}/artifact/{file.path}"
                raise IntegrityError(f"{name} is not in the manifest, remove it")

    def _make_directories(self, directory: Path) -> None:
        try:
            make_directories(directory)
        except (FileExistsError, NotADirectoryError) as error:
            ways = (*reversed(directory.parents), directory)
            broken = next((path for path in ways if not path.is_dir()), None)
            if broken is None or _stat(broken) is None:
                message = f"{self._name(directory)} was deleted while it was made: run it again"
                raise Unavailable(message) from error
            raise self._not_a_directory(broken) from error

    def _flush_directories(self, home: Path, places: Iterator[Path]) -> None:
        """Flush every directory from the places up to the root, each once, the deepest first.

        Those above a model's own directory hold no more than its name, so that what follows in the same
        registration need not flush them again.
        """
        directories = {parent for place in places for parent in place.parents if self._inside(parent)}
        reachable = (home, home.stat().st_ino)
        if reachable == self._reachable:
            directories.difference_update(home.parents)
        for directory in sorted(directories, key=lambda path: len(path.parts), reverse=True):
            flush_directory(directory)
        self._reachable = reachable

    def _inside(self, path: Path) -> bool:
        return path == self.root or self.root in path.parents

    def _not_a_file(self, place: Path) -> IntegrityError:
        return IntegrityError(f"{self._name(place)} is not a regular file, restore it from a backup")

    def _not_a_directory(self, place: Path) -> IntegrityError | Unavailable:
        if place == self.root or not self._inside(place):
            return Unavailable(f"{place} is not a directory: give the registry a directory")
        return IntegrityError(f"{self._name(place)} is not a directory, remove it")

    @contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unavailable(error, doing) from error


def _stat(place: Path) -> os.stat_result | None:
    try:
        return place.lstat()
    except OSError as error:
        if error.errno in _MISSING:
            return None
        raise


def _link(source: Path, place: Path) -> bool:
    try:
        os.link(source, place, follow_symlinks=False)
    except FileExistsError:
        return False
    return True


def _write(place: Path, chunks: Iterator[bytes]) -> None:
    with place.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    place.chmod(0o444)


def _walk(root: Path, prefix: str) -> Iterator[StoredFile]:
    """Everything below that is not a directory, symlinks and special files included."""
    return (file for file, _ in _walk_with_times(root, prefix))


def _walk_with_times(root: Path, prefix: str = "") -> Iterator[tuple[StoredFile, dt.datetime]]:
    try:
        entries = list(os.scandir(root / prefix))
    except FileNotFoundError:
        return
    for entry in entries:
        path = f"{prefix}/{entry.name}" if prefix else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _walk_with_times(root, path)
            continue
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            continue  # deleted since it was listed
        yield StoredFile(path, found.st_size), _time(found)


def _time(found: os.stat_result) -> dt.datetime:
    return dt.datetime.fromtimestamp(found.st_mtime, dt.UTC)
