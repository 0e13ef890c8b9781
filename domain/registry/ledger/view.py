"""Reading the ledger: events with their places, and a view that later appends do not change."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count

from domain.registry.errors import IntegrityError
from domain.registry.events import DomainEvent, ModelRegisteredEvent, event_from_bytes
from domain.registry.events.audit import audit_key
from domain.registry.events.collection import collection_key
from domain.registry.events.keys import key_event_key
from domain.registry.events.lifecycle import lifecycle_key
from domain.registry.events.monitoring import monitoring_key
from domain.registry.events.reproduction import reproduction_key
from domain.registry.ledger.merkle import leaf_hash
from domain.registry.manifest import ModelId
from domain.registry.ports import Entry, LedgerPort, VersionRow

_PAGE = 64
_BATCH, _FEWEST = 512, 4
"""Keys in one look-up for many scopes, and for each of them at least."""
_MOST_NUMBERED = (1 << 40) - 1


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event and its place in the ledger.

    Attributes:
        appended: whether the `commit` that returned it wrote it; False wherever it is only read.
    """

    index: int
    event: DomainEvent
    appended: bool = False


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The ledger as it was at `size` entries: later ones are hidden, so all reads agree with each other."""

    port: LedgerPort
    size: int

    def recorded(self, key: str) -> Recorded | None:
        """The event with this dedupe key, with its place. Raises IntegrityError if it was changed."""
        entry = self.port.find(key)
        return None if entry is None or entry.index >= self.size else recorded(entry)

    def find(self, key: str) -> DomainEvent | None:
        found = self.recorded(key)
        return None if found is None else found.event

    def lifecycle(self, scope: str) -> Iterator[Recorded]:
        """The events of a name's lifecycle, or of `EVERY_MODEL`, in their order. Raises IntegrityError."""
        return self._numbered(lambda sequence: lifecycle_key(scope, sequence))

    def lifecycles(self, scopes: Sequence[str]) -> dict[str, tuple[Recorded, ...]]:
        """The events of many names' lifecycles, by name; as `lifecycle`, in far fewer look-ups."""
        found: dict[str, list[Recorded]] = {scope: [] for scope in scopes}
        unfinished = set(found)
        while unfinished:
            width = max(_FEWEST, _BATCH // len(unfinished))
            keys = {
                scope: [lifecycle_key(scope, len(found[scope]) + number) for number in range(width)]
                for scope in unfinished
            }
            there = self.port.find_each([key for of_scope in keys.values() for key in of_scope])
            for scope, of_scope in keys.items():
                for key in of_scope:
                    if key not in there or there[key].index >= self.size:
                        unfinished.remove(scope)
                        break
                    found[scope].append(recorded(there[key]))
        return {scope: tuple(events) for scope, events in found.items()}

    def key_events(self) -> Iterator[Recorded]:
        """The events about signing keys, in their order. Raises IntegrityError."""
        return self._numbered(key_event_key)

    def reproductions(self, name: str, version: int) -> Iterator[Recorded]:
        """The events about reproductions of a version, in their order. Raises IntegrityError."""
        return self._numbered(lambda sequence: reproduction_key(name, version, sequence))

    def monitoring(self, name: str) -> Iterator[Recorded]:
        """The events about the monitoring of a name, in their order. Raises IntegrityError."""
        return self._numbered(lambda sequence: monitoring_key(name, sequence))

    def collection_events(self, start: int = 0) -> Iterator[Recorded]:
        """The events about collections of garbage from this number on, in order. Raises IntegrityError."""
        return self._numbered(collection_key, start)

    def collections(self) -> int:
        """How many events about collections there are, found by their keys alone."""
        return self._how_many(collection_key)

    def newest_monitoring(self, names: Sequence[str]) -> dict[str, Recorded]:
        """The newest event about the monitoring of each name that has one. Raises IntegrityError."""
        counts = self._how_many_each({name: partial(monitoring_key, name) for name in names})
        keys = {name: monitoring_key(name, count - 1) for name, count in counts.items() if count}
        found = self.port.find_each(list(keys.values()))
        return {name: recorded(found[key]) for name, key in keys.items()}

    def audit_events(self, start: int = 0) -> Iterator[Recorded]:
        """The audits of the registry from this number on, in order. Raises IntegrityError."""
        return self._numbered(audit_key, start)

    def audits(self) -> int:
        """How many audits of the registry there are, found by their keys alone."""
        return self._how_many(audit_key)

    def _how_many(self, key_of: Callable[[int], str]) -> int:
        """How many events there are with keys that are numbered from 0 without gaps, in O(log n) look-ups."""
        return self._how_many_each({"": key_of})[""]

    def _how_many_each(self, keys_of: Mapping[str, Callable[[int], str]]) -> dict[str, int]:
        """As `_how_many`, for many scopes in as many look-ups as for one."""
        fewest = dict.fromkeys(keys_of, 0)
        most = dict.fromkeys(keys_of, _MOST_NUMBERED)
        powers = [1 << power for power in range(_MOST_NUMBERED.bit_length())]
        guesses = dict.fromkeys(keys_of, powers)
        while guesses:
            keys = {
                scope: {number: keys_of[scope](number - 1) for number in numbers}
                for scope, numbers in guesses.items()
            }
            found = self.port.find_each([key for of_scope in keys.values() for key in of_scope.values()])
            for scope, of_scope in keys.items():
                for number, key in of_scope.items():
                    if key in found and found[key].index < self.size:
                        fewest[scope] = max(fewest[scope], number)
                    else:
                        most[scope] = min(most[scope], number - 1)
            guesses = {
                scope: list(range(low + 1, most[scope] + 1, max(1, (most[scope] - low) // _PAGE)))
                for scope, low in fewest.items()
                if low < most[scope]
            }
        return fewest

    def _numbered(self, key_of: Callable[[int], str], first: int = 0) -> Iterator[Recorded]:
        """The events whose dedupe keys are numbered without gaps, from `first` on, a page at a time."""
        for start in count(first, _PAGE):
            keys = [key_of(sequence) for sequence in range(start, start + _PAGE)]
            found = self.port.find_each(keys)
            for key in keys:
                if key not in found or found[key].index >= self.size:
                    return
                yield recorded(found[key])

    def versions(
        self,
        name: str | None = None,
        *,
        as_of: dt.date | None = None,
        before: int | None = None,
        limit: int | None = None,
    ) -> Iterator[VersionRow]:
        """Versions of one name or all, of one as-of date or all, newest first."""
        return self.port.versions(name, as_of=as_of, before=self._end(before), limit=limit)

    def models(
        self, *, containing: str = "", after: str | None = None, limit: int | None = None
    ) -> Iterator[VersionRow]:
        """The newest version of each name, in the order of names."""
        return self.port.models(containing=containing, after=after, before=self.size, limit=limit)

    def count_models(self, *, containing: str = "") -> int:
        return self.port.count_models(containing=containing, before=self.size)

    def dated(self, name: str, *, later_than: dt.date | None = None) -> Iterator[VersionRow]:
        """Versions of a name that have an as-of date, the latest first."""
        return self.port.dated(name, later_than=later_than, before=self.size)

    def about(self, name: str, *, before: int | None = None) -> Iterator[Recorded]:
        """All events about a model, newest first. Raises IntegrityError if one was changed.

        Args:
            before: only entries before this index.
        """
        # Names are plain ASCII, so canonical JSON has them as they are.
        found = self.mentioning(f'"name":"{name}"'.encode(), before=before)
        return (one for one in found if getattr(one.event, "name", None) == name)

    def mentioning(self, text: bytes, *, before: int | None = None) -> Iterator[Recorded]:
        """The events whose canonical bytes contain a text, newest first. Raises IntegrityError."""
        return map(recorded, self.port.mentioning(text, before=self._end(before)))

    def version(self, name: str, version: int) -> VersionRow | None:
        return self._seen(self.port.version(name, version))

    def by_model_id(self, model_id: ModelId) -> VersionRow | None:
        return self._seen(self.port.by_model_id(model_id))

    def next_version(self, name: str) -> int:
        """The number that the next registration under this name gets."""
        newest = next(self.versions(name, limit=1), None)
        return 1 if newest is None else newest.version + 1

    def _end(self, before: int | None) -> int:
        return self.size if before is None else min(before, self.size)

    def _seen(self, row: VersionRow | None) -> VersionRow | None:
        return None if row is None or row.index >= self.size else row


def project(event: DomainEvent, index: int) -> VersionRow | None:
    """The row that an event adds to the projection of versions; None if it adds none."""
    if not isinstance(event, ModelRegisteredEvent):
        return None
    return VersionRow(
        event.name,
        event.version,
        event.model_id,
        event.recipe,
        event.as_of,
        event.artifact_digest,
        index,
    )


def recorded(entry: Entry, *, appended: bool = False) -> Recorded:
    """The event of an entry, checked against the entry's leaf hash and key. Raises IntegrityError."""
    what = f"ledger entry {entry.index}"
    if leaf_hash(entry.data) != entry.leaf_hash:
        raise IntegrityError(f"{what}: its bytes do not have its leaf hash")
    event = event_from_bytes(entry.data, what)
    if event.key != entry.key:
        raise IntegrityError(f"{what}: it is filed under the key {entry.key!r}, its event has {event.key!r}")
    return Recorded(entry.index, event, appended)
