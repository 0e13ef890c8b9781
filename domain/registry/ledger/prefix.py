"""A ledger as it was at one size: what came later is not there, whatever is asked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from domain.registry.errors import InvalidInput
from domain.registry.manifest import ModelId
from domain.registry.ports import Batch, Entry, LedgerPort, Node, StoredCheckpoint, VersionRow


@dataclass(frozen=True, slots=True)
class LedgerPrefix:
    """A `LedgerPort` for reading: the first `length` entries of another one, which may grow meanwhile."""

    port: LedgerPort
    length: int

    def origin(self) -> str:
        return self.port.origin()

    def size(self) -> int:
        return self.length

    def append(self, expected_size: int, batch: Batch) -> None:
        raise InvalidInput("ledger", self.port.origin(), "append to it as a whole, not to what it was before")

    def find(self, key: str) -> Entry | None:
        return self.find_each((key,)).get(key)

    def find_each(self, keys: Sequence[str]) -> dict[str, Entry]:
        found = self.port.find_each(keys)
        return {key: entry for key, entry in found.items() if entry.index < self.length}

    def read(self, start: int, stop: int | None = None) -> Iterator[Entry]:
        return self.port.read(start, self._end(stop))

    def nodes(self, wanted: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
        return self.port.nodes([place for place in wanted if self._covers(*place)])

    def all_nodes(self) -> Iterator[Node]:
        return (node for node in self.port.all_nodes() if self._covers(node.level, node.index))

    def versions(
        self,
        name: str | None = None,
        *,
        as_of: dt.date | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[VersionRow]:
        return self.port.versions(name, as_of=as_of, before=self._end(before), limit=limit)

    def models(
        self,
        *,
        containing: str = "",
        after: str | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[VersionRow]:
        end = self._end(before)
        return self.port.models(containing=containing, after=after, before=end, limit=limit)

    def count_models(self, *, containing: str = "", before: int | None = None) -> int:
        return self.port.count_models(containing=containing, before=self._end(before))

    def dated(
        self, name: str, *, later_than: dt.date | None = None, before: int | None = None
    ) -> Iterator[VersionRow]:
        return self.port.dated(name, later_than=later_than, before=self._end(before))

    def mentioning(self, text: bytes, *, before: int | None = None) -> Iterator[Entry]:
        return self.port.mentioning(text, before=self._end(before))

    def version(self, name: str, version: int) -> VersionRow | None:
        return self._seen(self.port.version(name, version))

    def by_model_id(self, model_id: ModelId) -> VersionRow | None:
        return self._seen(self.port.by_model_id(model_id))

    def add_checkpoint(self, checkpoint: StoredCheckpoint) -> None:
        raise InvalidInput("ledger", self.port.origin(), "sign it as a whole, not what it was before")

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        return (checkpoint for checkpoint in self.port.checkpoints() if checkpoint.size <= self.length)

    def last_checkpoint(self) -> StoredCheckpoint | None:
        last = self.port.last_checkpoint()
        if last is None or last.size <= self.length:
            return last
        return max(self.checkpoints(), key=lambda checkpoint: checkpoint.size, default=None)

    def self_check(self) -> Iterator[str]:
        return self.port.self_check()

    def _end(self, before: int | None) -> int:
        return self.length if before is None else min(before, self.length)

    def _covers(self, level: int, index: int) -> bool:
        return (index + 1) << level <= self.length

    def _seen(self, row: VersionRow | None) -> VersionRow | None:
        return None if row is None or row.index >= self.length else row
