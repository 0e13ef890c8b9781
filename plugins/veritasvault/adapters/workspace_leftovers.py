"""What runs left in the workspace, and can be made again: rows, feature sets, candidates and more."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from domain.registry.collection.references import References
from domain.registry.errors import NotFound
from domain.registry.ledger.ledger import Ledger
from domain.registry.ports import Leftover, ModelRegistryPort
from domain.registry.staging import unavailable

_KINDS = {
    "rows": "rows of a snapshot",
    "features": "feature set",
    "validations": "validation",
    "candidates": "candidate",
    "searches": "notes of a search",
}
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SCRATCH, _GOING = ".scratch-", ".scratch-collected-"


class WorkspaceLeftovers:
    """The workspace as a `LeftoversPort`.

    What the manifest of a registered model names, its rows, stays. Age is counted from when a thing was made
    or last taken up by a run; what is taken from a run under way can be made again by clearing its tasks.
    """

    def __init__(self, root: Path, repository: ModelRegistryPort, ledger: Ledger) -> None:
        self._root = root
        self._repository = repository
        self._ledger = ledger

    def leftovers(self) -> Iterator[Leftover]:
        try:
            found = list(self._found())
        except OSError as error:
            raise unavailable(error, f"looking through {self._root}") from error
        named = self._named() if any(path.parent != self._root for path, _ in found) else set()
        for path, kind in found:
            if path.name not in named:
                with suppress(FileNotFoundError):
                    yield _described(path, kind)

    def remove_leftover(self, leftover: Leftover) -> None:
        place = Path(leftover.name)
        away = self._root / f"{_GOING}{place.parent.name}-{place.name}"
        try:
            # In one step, so that no run opens half of it.
            with suppress(FileNotFoundError):
                place.rename(away)
                shutil.rmtree(away)
        except OSError as error:
            raise unavailable(error, f"removing {place}") from error

    def _found(self) -> Iterator[tuple[Path, str]]:
        if not self._root.is_dir():
            return
        for path in sorted(self._root.glob(f"{_SCRATCH}*")):
            yield path, "scratch"
        for folder, kind in _KINDS.items():
            for path in sorted((self._root / folder).glob("*")):
                if _DIGEST.fullmatch(path.name):
                    yield path, kind

    def _named(self) -> set[str]:
        """The digests in the manifests of all registered models."""
        found: set[str] = set()
        for model_id in References().read(self._ledger.view()).models():
            with suppress(NotFound):
                found.update(_DIGEST.findall(self._repository.read_manifest(model_id).decode()))
        return found


def _described(path: Path, kind: str) -> Leftover:
    files = [each for each in path.rglob("*") if each.is_file() and not each.is_symlink()]
    modified = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
    return Leftover(kind, str(path), sum(each.stat().st_size for each in files), modified)
