"""Verification: recompute what the ledger stores and name every object that differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from itertools import groupby

from domain.registry.canonical import digest
from domain.registry.errors import DomainException, IntegrityError, NotVerified
from domain.registry.events import event_from_bytes
from domain.registry.ledger.checkpoint import Checkpoint, open_checkpoint
from domain.registry.ledger.merkle import HASH_SIZE, Frontier, leaf_hash, node_hash, root_of
from domain.registry.ledger.receipt import Proven, Receipt, verify_receipt
from domain.registry.ledger.view import project
from domain.registry.ports import Entry, LedgerPort, Node, PublicKey, SignerPort, VersionRow


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that differs from what it should be: which object, and a sentence on how."""

    object: str
    reason: str

    def __str__(self) -> str:
        return f"{self.object}: {self.reason}"


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """What a verification of the ledger found.

    Attributes:
        problems: empty if the ledger is what it should be.
        entries: how many entries there are.
        pending: how many of them stand behind the last checkpoint; no signature vouches for these.
    """

    problems: tuple[Problem, ...]
    entries: int
    pending: int

    @property
    def verified(self) -> bool:
        return not self.problems


def verify_ledger(port: LedgerPort, signer: SignerPort) -> LedgerReport:
    """Recompute all of the ledger: entries, keys, tree, projection, checkpoints.

    Entries are read as a stream; kept are one hash of 32 bytes for each leaf and each version. Entries
    appended while this runs are left to the next verification.

    Raises:
        Unavailable: the ledger cannot be read now.
    """
    try:
        return _LedgerVerification(port, signer).run()
    except IntegrityError as error:
        return LedgerReport((_problem_of(error, "ledger"),), 0, 0)


def verify_receipt_against(port: LedgerPort, signer: SignerPort, receipt: Receipt) -> Proven:
    """Check a receipt by itself, and that the present ledger continues what it proves.

    This compares the receipt's entry and the stored tree; that all other entries fit this tree is
    what `verify_ledger` shows.

    Raises:
        NotVerified: the receipt does not hold, is another ledger's, or the ledger was cut off or rewritten.
        IntegrityError: what the ledger stores cannot be read or is missing.
        Unavailable: the ledger cannot be read now.
    """
    proven = verify_receipt(receipt, signer.public_keys(), signer.verify)
    head = proven.checkpoint
    if head.origin != port.origin():
        raise NotVerified(f"the receipt is from the ledger {head.origin}, this one is {port.origin()}")
    size = port.size()
    if size < head.size:
        raise NotVerified(
            f"the ledger has {size} entries, but the receipt's checkpoint was signed at {head.size}: "
            "its end was cut off"
        )
    entry = next(port.read(receipt.index, receipt.index + 1), None)
    if entry is None or entry.data != receipt.entry:
        raise NotVerified(f"ledger entry {receipt.index} is not the one that the receipt proves")
    if root_of(head.size, port.nodes) != head.root:
        raise NotVerified(
            f"the ledger's first {head.size} entries are not those of the receipt's checkpoint: "
            "its history was rewritten"
        )
    return proven


@dataclass(slots=True)
class _Level:
    """The hashes of one level of the tree, side by side; `unknown` are the places that have none to trust."""

    hashes: bytearray = field(default_factory=bytearray)
    unknown: set[int] = field(default_factory=set)

    def __len__(self) -> int:
        return len(self.hashes) // HASH_SIZE

    def add(self, value: bytes | None) -> None:
        if value is None:
            self.unknown.add(len(self))
        self.hashes += value or bytes(HASH_SIZE)

    def parent(self, index: int) -> bytes | None:
        """The hash over the places 2 * index and 2 * index + 1; None if one of them is unknown."""
        left = 2 * index
        if left in self.unknown or left + 1 in self.unknown:
            return None
        start = left * HASH_SIZE
        middle = start + HASH_SIZE
        return node_hash(bytes(self.hashes[start:middle]), bytes(self.hashes[middle : middle + HASH_SIZE]))


_LEVELS = 64
"""More levels than a tree of any ledger has."""


class _LedgerVerification:
    """One pass over the ledger, gathering problems."""

    def __init__(self, port: LedgerPort, signer: SignerPort) -> None:
        self._port = port
        self._size = port.size()
        self._signer = signer
        self._problems: list[Problem] = []
        self._leaves = _Level()
        self._rows: dict[int, str] = {}
        self._newest: dict[str, int] = {}
        self._signed_size = 0
        self._signed = self._good_checkpoints()

    def run(self) -> LedgerReport:
        for part, check in (
            ("ledger entries", self._check_entries),
            ("ledger checkpoints", self._check_other_checkpoints),
            ("ledger nodes", self._check_nodes),
            ("versions rows", self._check_versions),
            ("ledger file", self._check_store),
        ):
            try:
                check()
            except IntegrityError as error:
                self._problems.append(_problem_of(error, part))
        return LedgerReport(
            tuple(self._problems), self._size, self._size - min(self._signed_size, self._size)
        )

    def _report(self, what: str, reason: str) -> None:
        self._problems.append(Problem(what, reason))

    def _check_entries(self) -> None:
        """Every entry by itself, and the roots of the checkpoints on the way."""
        for stray in self._port.read(-(2**62), 0):
            self._report(f"ledger entry {stray.index}", "the ledger starts at 0")
        roots = _Roots(self._signed, self._report)
        roots.compare(0)
        for entry in self._port.read(0, self._size):
            expected = len(self._leaves)
            if entry.index != expected:
                missing = f"entry {expected}" if entry.index == expected + 1 else f"entries from {expected}"
                self._report(f"ledger {missing}", f"missing, the next one there is {entry.index}")
                return
            computed = leaf_hash(entry.data)
            self._check_entry(entry, computed)
            self._leaves.add(computed if computed == entry.leaf_hash else None)
            roots.append(entry.leaf_hash, computed)
        if len(self._leaves) < self._size:
            self._report(
                f"ledger entry {len(self._leaves)}", f"missing, there should be {self._size} entries"
            )
        roots.finish(self._port.size())

    def _check_entry(self, entry: Entry, computed: bytes) -> None:
        what = f"ledger entry {entry.index}"
        if computed != entry.leaf_hash:
            self._report(what, "its bytes do not have its leaf hash")
        try:
            event = event_from_bytes(entry.data, what)
        except DomainException as error:
            self._report(what, str(error).removeprefix(f"{what} "))
            return
        if event.key != entry.key:
            self._report(what, f"it is filed under the key {entry.key!r}, its event has {event.key!r}")
        row = project(event, entry.index)
        if row is None:
            return
        self._rows[entry.index] = digest(repr(row).encode())
        expected = self._newest.get(row.name, 0) + 1
        if row.version != expected:
            self._report(
                what, f"it registers version {row.version} of {row.name}, the next one is {expected}"
            )
        self._newest[row.name] = row.version

    def _good_checkpoints(self) -> Iterator[Checkpoint]:
        """The checkpoints that are what they should be, in the order of sizes; the others are reported."""
        keys: tuple[PublicKey, ...] = ()
        for stored in self._port.checkpoints():
            # Asked for late: where nothing was signed, looking makes no key.
            keys = keys or self._signer.public_keys()
            what = f"checkpoint of size {stored.size}"
            try:
                head = open_checkpoint(stored.note, keys, self._signer.verify)
            except NotVerified as error:
                self._report(what, str(error))
                continue
            if head.origin != self._port.origin():
                self._report(
                    what, f"it is signed for the ledger {head.origin}, this one is {self._port.origin()}"
                )
            elif head.size != stored.size:
                self._report(what, f"it is signed for the size {head.size}")
            else:
                self._signed_size = head.size
                yield head

    def _check_other_checkpoints(self) -> None:
        """Those that `_check_entries` did not come to."""
        for _ in self._signed:
            pass

    def _check_nodes(self) -> None:
        """Every stored subtree against its two children, level by level from the leaves up."""
        if len(self._leaves) < self._size:
            return
        below, done = self._leaves, 0
        for level, stored in groupby(self._port.all_nodes(), key=lambda node: node.level):
            # A damaged level can be any number; there are no more than the bits of the size.
            for missing in range(done + 1, min(level, self._size.bit_length())):
                below, done = self._check_level(missing, iter(()), below), missing
            if 0 < level < _LEVELS:
                below = self._check_level(level, stored, below)
                done = level
            else:
                for node in stored:
                    self._report(_name(node), "it is not a subtree of this ledger")
        while len(below) > 1:
            done += 1
            below = self._check_level(done, iter(()), below)

    def _check_level(self, level: int, stored: Iterator[Node], below: _Level) -> _Level:
        """Compare one level; return it as it should be."""
        here = _Level()
        count = self._size >> level
        for node in stored:
            while len(here) < min(node.index, count):
                self._missing_node(level, here, below)
            if node.index < len(here):
                self._report(_name(node), "it is not a subtree of this ledger")
                continue
            if node.index >= count:
                # Beyond the end: either extra, or appended since this verification began.
                if (node.index + 1) << level > self._port.size():
                    self._report(_name(node), "it is not a subtree of this ledger")
                continue
            expected = below.parent(node.index)
            if expected is not None and expected != node.hash:
                self._report(_name(node), "it is not the hash of the two subtrees below it")
            here.add(expected or node.hash)
        while len(here) < count:
            self._missing_node(level, here, below)
        return here

    def _missing_node(self, level: int, here: _Level, below: _Level) -> None:
        self._report(f"ledger node (level {level}, index {len(here)})", "missing")
        here.add(below.parent(len(here)))

    def _check_versions(self) -> None:
        for row in self._port.versions():
            what = f"versions row of ledger entry {row.index}"
            if row.index >= self._size:
                if row.index >= self._port.size():
                    self._report(what, "the ledger has no such entry")
                continue
            if row.index >= len(self._leaves):
                # Its entry could not be read, which is reported.
                continue
            expected = self._rows.pop(row.index, None)
            if expected is None:
                self._report(what, "its entry registers no version")
            elif expected != digest(repr(row).encode()):
                self._report(what, self._difference(row))
        for index in sorted(self._rows):
            self._report(f"versions row of ledger entry {index}", "missing")

    def _difference(self, row: VersionRow) -> str:
        """Which field of a row is not what its entry says."""
        entry = next(self._port.read(row.index, row.index + 1))
        expected = project(event_from_bytes(entry.data, f"ledger entry {entry.index}"), entry.index)
        different = [
            f"{item.name} is {getattr(row, item.name)!r}, its entry has {getattr(expected, item.name)!r}"
            for item in fields(VersionRow)
            if getattr(row, item.name) != getattr(expected, item.name)
        ]
        return ", ".join(different) or "it differs from its entry"

    def _check_store(self) -> None:
        for finding in self._port.self_check():
            self._report("ledger file", finding)


class _Roots:
    """Compares the signed roots, in the order of sizes, with the tree as it grows.

    From the first leaf hash that is not its entry's on, the tree is grown twice, from stored and from
    computed ones. That entry is reported, so a checkpoint that fits either is not reported for the same
    fault again.
    """

    def __init__(self, signed: Iterator[Checkpoint], report: Callable[[str, str], None]) -> None:
        self._signed = signed
        self._report = report
        self._stored = self._computed = Frontier()
        self._good = 0
        self._faulty = False
        self._next = next(signed, None)

    def append(self, stored: bytes, computed: bytes) -> None:
        if stored != computed and self._computed is self._stored:
            self._computed = self._stored.copy()
        if self._computed is not self._stored:
            self._computed.append(computed)
        self._stored.append(stored)
        self.compare(self._stored.size)

    def compare(self, size: int) -> None:
        """Compare with the checkpoint of this size, if there is one."""
        if self._next is None or self._next.size != size:
            return
        root = self._next.root
        self._next = next(self._signed, None)
        if root in (self._stored.root(), self._computed.root()):
            self._good = size
        elif not self._faulty:
            self._faulty = True
            what = f"ledger entries {self._good} to {size - 1}" if size else "checkpoint of size 0"
            self._report(what, f"not what the checkpoint of size {size} signs; no later one was compared")

    def finish(self, present_size: int) -> None:
        """Report the checkpoints beyond the end, which may have moved: `present_size` is read last."""
        while self._next is not None:
            if self._next.size > present_size:
                self._report(
                    f"checkpoint of size {self._next.size}",
                    f"the ledger has only {present_size} entries, its end was cut off",
                )
            self._next = next(self._signed, None)


def _problem_of(error: IntegrityError, part: str) -> Problem:
    """Errors of single rows begin with the object's name; others are about a part as a whole."""
    what, separator, reason = str(error).partition(": ")
    named = what.startswith(("ledger entry ", "ledger node ", "ledger row", "versions row ", "checkpoint "))
    return Problem(what, reason) if separator and named else Problem(part, str(error))


def _name(node: Node) -> str:
    return f"ledger node (level {node.level}, index {node.index})"
