"""The workspace: where the steps of a run leave data for each other, each thing at its content's address."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.registry.artifact import Artifact, ArtifactFile
from domain.registry.canonical import Digest, digest, encode
from domain.registry.errors import NotFound, Unavailable
from domain.registry.evidence import Attachment

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.risk.block_store import BlockStore
    from domain.risk.dataset import Dataset
    from domain.risk.objects import ObjectsPort

_RECORD = "record.json"
_ATTACHMENTS = "attachments"


class Workspace:
    """A directory that all tasks of a run can reach; it may be emptied when no run is under way."""

    def __init__(self, root: Path, blocks: Callable[[str], ObjectsPort]) -> None:
        """
        Args:
            blocks: gives the place of the block store's `FILES` and of its `RECORDS`, which workers of
                engines reach, wherever they run; they need not reach `root`.
        """
        self._root = root
        self._blocks = blocks

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new directory that is gone afterwards, unless it was kept."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            path = Path(tempfile.mkdtemp(prefix=".scratch-", dir=self._root))
        except OSError as error:
            raise Unavailable(
                f"workspace {self._root} cannot be written ({error.strerror}): mend it"
            ) from error
        try:
            yield path
        except OSError as error:
            raise Unavailable(f"workspace {self._root} failed ({error}): free space or mend it") from error
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def blocks(self, environment: Digest) -> BlockStore:
        """The blocks that runs share, of one environment; see `BlockStore`."""
        from domain.risk.block_store import FILES, RECORDS, BlockStore

        return BlockStore(self._blocks(FILES), self._blocks(RECORDS), environment)

    def dataset(self, path: Path) -> Dataset:
        """Open a dataset that a step left here.

        Raises:
            NotFound: it is gone, or its blocks are in another place than this workspace's.
        """
        from domain.risk.block_store import FILES
        from domain.risk.dataset import Dataset

        return Dataset.open(path, self._blocks(FILES))

    def place(self, kind: str, key: Digest) -> Path:
        """Where something kept is, if it still is."""
        return self._root / kind / key

    def kept(self, kind: str) -> list[Path]:
        """Everything of a kind, by its address."""
        root = self._root / kind
        return sorted(root.iterdir()) if root.is_dir() else []

    def keep(self, made: Path, kind: str, key: Digest) -> Path:
        """Move a finished directory to its address; whoever was first there made the same content."""
        home = self.place(kind, key)
        home.parent.mkdir(parents=True, exist_ok=True)
        try:
            made.rename(home)
        except OSError:
            if not home.is_dir():
                raise
            os.utime(home)  # gc takes what nobody took up for long
        return home


def write_record(directory: Path, record: Mapping[str, Any], attachments: Sequence[Attachment]) -> None:
    """Write a step's result: plain JSON, and attachments beside it."""
    folder = directory / _ATTACHMENTS
    folder.mkdir()
    for attachment in attachments:
        (folder / attachment.name).write_bytes(attachment.content)
    listed = [{"name": item.name, "media_type": item.media_type} for item in attachments]
    (directory / _RECORD).write_bytes(encode({**record, "attachments": listed}))


def read_record(directory: Path) -> tuple[Mapping[str, Any], tuple[Attachment, ...]]:
    """Read what `write_record` wrote.

    Raises:
        NotFound: the workspace was emptied in between.
    """
    try:
        record = json.loads((directory / _RECORD).read_bytes())
        attachments = tuple(
            Attachment(
                item["name"], item["media_type"], (directory / _ATTACHMENTS / item["name"]).read_bytes()
            )
            for item in record.pop("attachments")
        )
    except OSError as error:
        raise NotFound(f"{directory} is gone from the workspace: clear the task that made it") from error
    return record, attachments


def artifact_in(directory: Path) -> Artifact:
    """Sizes and digests of the files below a directory."""
    paths = [path for path in directory.rglob("*") if path.is_file()]
    contents = {path.relative_to(directory).as_posix(): path.read_bytes() for path in paths}
    return Artifact(tuple(ArtifactFile(name, len(data), digest(data)) for name, data in contents.items()))
