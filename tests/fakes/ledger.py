"""The in-memory ledger: passes the same contract suite as the SQL ones."""

from __future__ import annotations

import datetime as dt
import secrets
import threading
from collections.abc import Iterable, Iterator, Sequence

from domain.registry.errors import LedgerConflict
from domain.registry.manifest import ModelId
from domain.registry.ports import Batch, Entry, Node, StoredCheckpoint, VersionRow


class FakeLedger:
    """A `LedgerPort` in lists and dictionaries; safe for threads."""

    def __init__(self) -> None:
        self._origin: str | None = None
        self._lock = threading.RLock()
        self._entries: list[Entry] = []
        self._keys: dict[str, Entry] = {}
        self._nodes: dict[tuple[int, int], Node] = {}
        self._versions: list[VersionRow] = []
        self._checkpoints: dict[int, StoredCheckpoint] = {}

    def origin(self) -> str:
        with self._lock:
            self._origin = self._origin or f"veritasvault/ledger/{secrets.token_hex(16)}"
            return self._origin

    def existing_origin(self) -> str | None:
        with self._lock:
            return self._origin

    def adopt(
        self,
        origin: str,
        expected_size: int,
        batches: Iterable[Batch],
        checkpoints: Iterable[StoredCheckpoint],
    ) -> None:
        with self._lock:
            written, notes = list(batches), list(checkpoints)
            if (self._origin or origin) != origin:
                raise LedgerConflict(f"the ledger is {self._origin}, not {origin}")
            if any(note.size in self._checkpoints for note in notes):
                raise LedgerConflict("a note is stored for one of the sizes")
            parts = ("entries", "nodes", "versions")
            together = Batch(
                *(tuple(row for each in written for row in getattr(each, part)) for part in parts)
            )
            self.append(expected_size, together)
            self._origin = origin
            self._checkpoints.update({note.size: note for note in notes})

    def size(self) -> int:
        with self._lock:
            return len(self._entries)

    def append(self, expected_size: int, batch: Batch) -> None:
        with self._lock:
            if len(self._entries) != expected_size:
                raise LedgerConflict(f"the ledger has {len(self._entries)} entries, not {expected_size}")
            keys = [entry.key for entry in batch.entries]
            if len(set(keys)) < len(keys) or any(key in self._keys for key in keys):
                raise LedgerConflict("the ledger has one of the keys already")
            if batch.entries:
                self.origin()
            for entry in batch.entries:
                self._entries.append(entry)
                self._keys[entry.key] = entry
            for node in batch.nodes:
                self._nodes[node.level, node.index] = node
            self._versions.extend(batch.versions)

    def find(self, key: str) -> Entry | None:
        with self._lock:
            return self._keys.get(key)

    def find_each(self, keys: Sequence[str]) -> dict[str, Entry]:
        with self._lock:
            return {key: self._keys[key] for key in keys if key in self._keys}

    def read(self, start: int, stop: int | None = None) -> Iterator[Entry]:
        with self._lock:
            return iter(self._entries[start:stop])

    def nodes(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        with self._lock:
            leaves = {
                (0, index): self._entries[index].leaf_hash
                for level, index in wanted
                if level == 0 and index < len(self._entries)
            }
            return leaves | {place: self._nodes[place].hash for place in wanted if place in self._nodes}

    def all_nodes(self) -> Iterator[Node]:
        with self._lock:
            return iter([self._nodes[place] for place in sorted(self._nodes)])

    def versions(
        self,
        name: str | None = None,
        *,
        as_of: dt.date | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[VersionRow]:
        with self._lock:
            rows = [
                row
                for row in reversed(self._versions)
                if (name is None or row.name == name)
                and (as_of is None or row.as_of == as_of)
                and (before is None or row.index < before)
            ]
            return iter(rows[:limit])

    def models(
        self,
        *,
        containing: str = "",
        after: str | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[VersionRow]:
        newest: dict[str, VersionRow] = {}
        for row in self.versions(before=before):
            newest.setdefault(row.name, row)
        names = [name for name in sorted(newest) if containing in name and (after is None or name > after)]
        return iter([newest[name] for name in names[:limit]])

    def count_models(self, *, containing: str = "", before: int | None = None) -> int:
        return len(list(self.models(containing=containing, before=before)))

    def dated(
        self, name: str, *, later_than: dt.date | None = None, before: int | None = None
    ) -> Iterator[VersionRow]:
        rows = [(row.as_of, row.index, row) for row in self.versions(name, before=before) if row.as_of]
        kept = [found for found in rows if later_than is None or found[0] > later_than]
        return iter([row for *_, row in sorted(kept, key=lambda found: found[:2], reverse=True)])

    def mentioning(self, text: bytes, *, before: int | None = None) -> Iterator[Entry]:
        return (entry for entry in reversed(list(self.read(0, before))) if text in entry.data)

    def version(self, name: str, version: int) -> VersionRow | None:
        return next((row for row in self.versions(name) if row.version == version), None)

    def by_model_id(self, model_id: ModelId) -> VersionRow | None:
        with self._lock:
            return next((row for row in self._versions if row.model_id == model_id), None)

    def add_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        with self._lock:
            if self._checkpoints.setdefault(checkpoint.size, checkpoint) != checkpoint:
                raise LedgerConflict(f"another note is stored for the size {checkpoint.size}")

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        with self._lock:
            return iter([self._checkpoints[size] for size in sorted(self._checkpoints)])

    def last_checkpoint(self) -> StoredCheckpoint | None:
        with self._lock:
            return self._checkpoints[max(self._checkpoints)] if self._checkpoints else None

    def self_check(self) -> Iterator[str]:
        return iter(())
