"""The ledger as the domain uses it: commit events exactly once, sign checkpoints, hand out receipts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from random import SystemRandom

from domain.registry.errors import (
    Contended,
    IntegrityError,
    InvalidInput,
    LedgerConflict,
    NotFound,
    NotVerified,
    Unavailable,
)
from domain.registry.events import DomainEvent, event_to_bytes
from domain.registry.ledger.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from domain.registry.ledger.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
    verify_consistency,
)
from domain.registry.ledger.receipt import Receipt, verify_receipt
from domain.registry.ledger.view import LedgerView, Recorded, project, recorded
from domain.registry.ports import Batch, Entry, LedgerPort, Node, SignerPort, StoredCheckpoint, VersionRow
from domain.registry.signing.key_ring import KeyRing

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 1.0
_LOOK_UPS = 5
_FAILED_APPENDS = 3
_SIGNING_RACES = 20
# Not the shared generator: forked processes would inherit its state and draw the same pauses.
_RANDOM = SystemRandom()


__all__ = ["Decide", "Ledger", "LedgerView", "Recorded", "project", "recorded"]

Decide = Callable[[LedgerView], Sequence[DomainEvent]]
"""A pure function from what the ledger holds to the events that should follow; it may be called again."""


class Ledger:
    """The domain's service over a `LedgerPort` and a `SignerPort`."""

    def __init__(
        self,
        port: LedgerPort,
        signer: SignerPort,
        *,
        deadline: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = _RANDOM.random,
    ) -> None:
        """`deadline` is how many seconds a commit goes on losing races before it gives up."""
        self.port = port
        self.signer = signer
        self._deadline = deadline
        self._clock = clock
        self._sleep = sleep
        self._random = random

    def view(self) -> LedgerView:
        """The ledger as it is now."""
        return LedgerView(self.port, self.port.size())

    def find(self, key: str) -> Recorded | None:
        """The event with this dedupe key. Raises IntegrityError if it was changed."""
        return self.view().recorded(key)

    def events(
        self, start: int = 0, stop: int | None = None, *, skip_unreadable: bool = False
    ) -> Iterator[tuple[int, DomainEvent]]:
        """Index and event of the entries from start up to stop (or the end), in order.

        Raises:
            IntegrityError: an entry was changed, unless `skip_unreadable`, which verification uses because
                it has named the entry already.
        """
        end = self.port.size() if stop is None else stop
        while start < end:
            try:
                for entry in self.port.read(start, end):
                    start = entry.index
                    yield start, recorded(entry).event
                    start += 1
                return
            except IntegrityError:
                if not skip_unreadable:
                    raise
                start += 1

    def event_at(self, index: int) -> DomainEvent:
        """The event of one entry. Raises NotFound, or IntegrityError if it was changed."""
        return recorded(self._entry(index)).event

    def pending(self) -> int:
        """How many entries stand behind the last checkpoint, so that no signature vouches for them yet."""
        last = self.port.last_checkpoint()
        return self.port.size() - (0 if last is None else last.size)

    def verify_entry(self, index: int) -> None:
        """Check one entry: its bytes, its row in the projection, and its proof if it is signed already.

        Raises:
            NotFound: there is no such entry.
            IntegrityError: something about it was changed.
        """
        entry = self._entry(index)
        row = project(recorded(entry).event, index)
        if row is not None and self.port.version(row.name, row.version) != row:
            raise IntegrityError(f"versions row of ledger entry {index}: it is not what the entry says")
        last = self.port.last_checkpoint()
        if last is not None and last.size > index:
            self._proved(entry, last)

    def commit(self, decide: Decide) -> tuple[Recorded, ...]:
        """Append what `decide` wants, all of it in one step, each dedupe key once.

        An event whose key the ledger has already is not appended again; what is returned in its place is
        the one that is there. On a lost race everything is read and decided anew, after a pause of full
        jitter. A reply lost while committing is settled by looking the keys up.

        Raises:
            Contended: every race was lost until the deadline.
            Unavailable: the ledger cannot be written, or a lost reply cannot be settled; a retry of the
                whole command finds out.
            IntegrityError: the stored tree is damaged.
            InvalidInput: two events share a key, or a version is not the next one of its name.
        """
        end = self._clock() + self._deadline
        mine: set[bytes] = set()
        failures = races = 0
        while True:
            view = self.view()
            events = tuple(decide(view))
            kept = _already_there(view, events, mine)
            batch = self._batch(view, [event for event in events if event.key not in kept])
            if batch.entries:
                mine.update(entry.data for entry in batch.entries)
                try:
                    self.port.append(view.size, batch)
                except LedgerConflict as conflict:
                    races += 1
                    self._pause(races, end, conflict)
                    continue
                except Unavailable as error:
                    failures += 1
                    if not self._landed(batch, error):
                        if failures >= _FAILED_APPENDS:
                            raise
                        self._pause(failures, end, error)
                        continue
            appended = {entry.key: recorded(entry, appended=True) for entry in batch.entries}
            return tuple((kept | appended)[event.key] for event in events)

    def checkpoint(self) -> StoredCheckpoint:
        """Sign the ledger as it is now, and keep the note; what is signed already is returned.

        Raises:
            IntegrityError: the ledger does not continue its last checkpoint; nothing is signed.
            SigningKeyRevoked: the ledger revoked the signer's key; nothing is signed.
            Unavailable: ledger or signer cannot be used now.
        """
        for _ in range(_SIGNING_RACES):
            last = self.port.last_checkpoint()
            # Read after the checkpoint: the ledger only grows, so an honest one is at least as long.
            size = self.port.size()
            if last is not None:
                self._require_continuation(last, size)
                if last.size == size:
                    return last
            KeyRing.of(LedgerView(self.port, size)).require_usable("checkpoint", self.signer.public_keys()[0])
            head = Checkpoint(self.port.origin(), size, root_of(size, self.port.nodes))
            signed = StoredCheckpoint(size, sign_checkpoint(head, self.signer))
            try:
                self.port.add_checkpoint(signed)
            except LedgerConflict:
                continue
            return signed
        raise Contended(f"signing the ledger lost {_SIGNING_RACES} races against other signers: retry")

    def receipt(self, index: int) -> Receipt:
        """The proof for one entry, under the newest checkpoint; signs one if none covers the entry yet.

        Raises:
            NotFound: there is no such entry.
            IntegrityError: the stored tree or checkpoint does not prove the entry.
            Unavailable: ledger or signer cannot be used now.
        """
        entry = self._entry(index)
        last = self.port.last_checkpoint()
        if last is None or last.size <= index:
            last = self.checkpoint()
        return self._proved(entry, last)

    def prove(self, index: int, checkpoint: StoredCheckpoint) -> Receipt:
        """The proof for one entry under this checkpoint, which has to cover it.

        Raises:
            NotFound: there is no such entry.
            IntegrityError: the checkpoint is another ledger's, or the stored tree does not lead to its root.
        """
        return self._proved(self._entry(index), checkpoint)

    def _entry(self, index: int) -> Entry:
        entry = next(self.port.read(index, index + 1), None) if index >= 0 else None
        if entry is None:
            raise NotFound(f"ledger entry {index} does not exist: the ledger has {self.port.size()} entries")
        return entry

    def _proved(self, entry: Entry, stored: StoredCheckpoint) -> Receipt:
        """The receipt under a checkpoint that covers the entry. Raises IntegrityError if it does not hold."""
        head = self._open(stored)
        proof = inclusion_proof(entry.index, head.size, self.port.nodes)
        receipt = Receipt(entry.index, entry.data, proof, stored.note)
        try:
            verify_receipt(receipt, self.signer.public_keys(), self.signer.verify)
        except NotVerified as error:
            raise IntegrityError(f"ledger entry {entry.index}: it cannot be proved, {error}") from error
        return receipt

    def _batch(self, view: LedgerView, events: Sequence[DomainEvent]) -> Batch:
        """Everything that one append writes, as `Batch` documents it."""
        if not events:
            return Batch((), (), ())
        frontier = Frontier.of(view.size, self.port.nodes)
        entries: list[Entry] = []
        nodes: list[Node] = []
        versions: list[VersionRow] = []
        for index, event in enumerate(events, start=view.size):
            data = event_to_bytes(event)
            entry = Entry(index, event.key, data, leaf_hash(data))
            entries.append(entry)
            nodes.extend(frontier.append(entry.leaf_hash))
            row = project(event, index)
            if row is not None:
                _require_next(view, versions, row)
                versions.append(row)
        return Batch(tuple(entries), tuple(nodes), tuple(versions))

    def _landed(self, batch: Batch, error: Unavailable) -> bool:
        """Whether an append whose reply was lost was committed after all. Raises `error` if nobody knows."""
        for attempt in range(1, _LOOK_UPS + 1):
            try:
                found = [self.port.find(entry.key) for entry in batch.entries]
            except Unavailable:
                self._sleep(self._random() * _longest(attempt))
                continue
            return all(
                there is not None and there.data == entry.data
                for there, entry in zip(found, batch.entries, strict=True)
            )
        raise error

    def _pause(self, attempt: int, end: float, reason: Unavailable) -> None:
        pause = self._random() * _longest(attempt)
        if self._clock() + pause >= end:
            raise Contended(
                f"the ledger was busy for {self._deadline:g} s, nothing was recorded: retry ({reason})"
            ) from reason
        self._sleep(pause)

    def _require_continuation(self, last: StoredCheckpoint, size: int) -> None:
        """Prove, with O(log n) hashes, that the ledger still begins with its last checkpoint's entries."""
        head = self._open(last)
        nodes = self.port.nodes
        try:
            if size < head.size:
                raise NotVerified(f"it has only {size} entries")
            root = root_of(size, nodes)
            verify_consistency(head.size, size, head.root, root, consistency_proof(head.size, size, nodes))
        except (NotVerified, IntegrityError) as error:
            raise IntegrityError(
                f"the ledger does not continue its checkpoint of size {last.size}, so nothing was signed: "
                f"{error}; run verify, and restore the ledger from a backup"
            ) from error

    def _open(self, stored: StoredCheckpoint) -> Checkpoint:
        try:
            head = open_checkpoint(stored.note, self.signer.public_keys(), self.signer.verify)
        except NotVerified as error:
            raise IntegrityError(f"checkpoint of size {stored.size}: {error}") from error
        if (head.origin, head.size) != (self.port.origin(), stored.size):
            raise IntegrityError(
                f"checkpoint of size {stored.size}: it is the checkpoint of size {head.size} of {head.origin}"
            )
        return head


def _already_there(view: LedgerView, events: Sequence[DomainEvent], mine: set[bytes]) -> dict[str, Recorded]:
    """The events whose keys the ledger has; those this commit wrote itself count as appended."""
    there: dict[str, Recorded] = {}
    keys: set[str] = set()
    for event in events:
        if event.key in keys:
            raise InvalidInput("event key", event.key, "decide on one event for each key")
        keys.add(event.key)
        found = view.recorded(event.key)
        if found is not None:
            appended = event_to_bytes(found.event) in mine
            there[event.key] = Recorded(found.index, found.event, appended)
    return there


def _require_next(view: LedgerView, earlier: Sequence[VersionRow], row: VersionRow) -> None:
    """Refuse a gap or a repeat in the numbers of a name: an append-only ledger could never mend it."""
    of_name = [other.version for other in earlier if other.name == row.name]
    expected = of_name[-1] + 1 if of_name else view.next_version(row.name)
    if row.version != expected:
        raise InvalidInput(f"version of {row.name}", row.version, f"the next one is {expected}")


def _longest(attempt: int) -> float:
    """Upper end of the pause before retry number `attempt`, from 1, in seconds."""
    return float(min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** min(attempt, 20)))
