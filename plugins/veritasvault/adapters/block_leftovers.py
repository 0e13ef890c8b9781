"""Blocks that runs shared and nobody uses any more: files that no dataset lists, and records."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from domain.registry.ports import Leftover
from domain.registry.staging import unavailable
from domain.risk.block_store import FILES, RECORDS
from domain.risk.dataset import INDEX


class BlockLeftovers:
    """The block store of a workspace as a `LeftoversPort`.

    Age is counted from the last use, which a store marks within an hour. A file that an index in the
    workspace lists stays, so that a dataset that is there can be read, whether a run or a registered model
    needs it. Whatever goes is made again by who looks for it: a record is only believed if its files are
    there.
    """

    def __init__(self, workspace: Path, store: Path) -> None:
        """
        Args:
            store: the directory of the block store; which environment's keys are in it does not matter.
        """
        self._workspace = workspace
        self._kinds = {store / FILES: "block", store / RECORDS: "record of blocks"}

    def leftovers(self) -> Iterator[Leftover]:
        try:
            # First, so that no index appears in between that lists what is taken for garbage.
            found = [(path, kind) for folder, kind in self._kinds.items() for path in sorted(_files(folder))]
            listed = self._listed() if found else set()
            for path, kind in found:
                if path.name not in listed:
                    with suppress(FileNotFoundError):
                        yield Leftover(kind, str(path), path.stat().st_size, _used(path))
        except OSError as error:
            raise unavailable(error, f"looking through the blocks in {self._workspace}") from error

    def remove_leftover(self, leftover: Leftover) -> None:
        place = Path(leftover.name)
        try:
            with suppress(FileNotFoundError):
                # A run that took it up since then has marked it.
                if _used(place) == leftover.modified:
                    place.unlink()
        except OSError as error:
            raise unavailable(error, f"removing {place}") from error

    def _listed(self) -> set[str]:
        """The digests of all parts of the workspace's datasets."""
        found: set[str] = set()
        for index in self._workspace.glob(f"*/*/{INDEX}"):
            with suppress(FileNotFoundError):
                found.update(part["sha256"] for part in json.loads(index.read_bytes())["parts"])
        return found


def _files(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())


def _used(path: Path) -> dt.datetime:
    """When a file was used last, at the latest."""
    return dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
