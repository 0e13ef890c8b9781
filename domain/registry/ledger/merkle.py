"""The Merkle tree of RFC 6962 / RFC 9162: hashes, appended subtrees, roots, proofs and their verification.

A tree is given by the hashes of its complete subtrees. The subtree (level, index) covers the leaves
`index << level` up to `(index + 1) << level`; level 0 are the leaves. All hashes are 32 bytes of SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence

from domain.registry.errors import IntegrityError, NotVerified
from domain.registry.ports import Node

Coordinate = tuple[int, int]
"""(level, index) of a complete subtree."""

Nodes = Callable[[Sequence[Coordinate]], Mapping[Coordinate, bytes]]
"""Looks up hashes of complete subtrees, leaves too; it leaves out what it does not have."""

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """RFC 9162 section 2.1.1: SHA-256(0x00 || data)."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """RFC 9162 section 2.1.1: SHA-256(0x01 || left || right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def complete_subtrees(start: int, stop: int) -> list[Coordinate]:
    """The fewest complete subtrees that cover the leaves start up to stop, from left to right.

    `start` has to be a multiple of the largest power of two below `stop - start`, as every range in a
    proof is; the sizes then fall from left to right.
    """
    found = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


class Frontier:
    """The right edge of a growing tree: the hashes of its largest complete subtrees, O(log n) of them."""

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        """Start at a tree of `size` leaves; `hashes` belong to `complete_subtrees(0, size)`."""
        self.size = size
        self._hashes = list(hashes)

    @classmethod
    def of(cls, size: int, nodes: Nodes) -> Frontier:
        """The frontier of a stored tree. Raises IntegrityError for a missing subtree hash."""
        return cls(size, _look_up(complete_subtrees(0, size), nodes))

    def copy(self) -> Frontier:
        """Another frontier of the same tree, which grows by itself."""
        return Frontier(self.size, self._hashes)

    def append(self, leaf: bytes) -> list[Node]:
        """Add a leaf hash; return the subtrees above the leaves that it completes, lowest first."""
        completed = []
        level, index = 0, self.size
        while index & 1:
            leaf = node_hash(self._hashes.pop(), leaf)
            level, index = level + 1, index >> 1
            completed.append(Node(level, index, leaf))
        self._hashes.append(leaf)
        self.size += 1
        return completed

    def root(self) -> bytes:
        return _fold(self._hashes)


def root_of(size: int, nodes: Nodes) -> bytes:
    """The root of the first `size` leaves. Raises IntegrityError for a missing subtree hash."""
    return Frontier.of(size, nodes).root()


def inclusion_proof(index: int, size: int, nodes: Nodes) -> tuple[bytes, ...]:
    """RFC 9162 section 2.1.3.1: the hashes that lead from leaf `index` to the root of `size` leaves.

    Raises:
        ValueError: unless 0 <= index < size.
        IntegrityError: a subtree hash is missing.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    ranges = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            ranges.append((middle, stop))
            stop = middle
        else:
            ranges.append((start, middle))
            start = middle
    return _hashes_of(ranges[::-1], nodes)


def consistency_proof(old: int, new: int, nodes: Nodes) -> tuple[bytes, ...]:
    """RFC 9162 section 2.1.4.1: the hashes that show that the first `old` of `new` leaves are unchanged.

    Raises:
        ValueError: unless 0 <= old <= new.
        IntegrityError: a subtree hash is missing.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} is not the beginning of a tree of {new}")
    if old in (0, new):
        return ()
    ranges = []
    start, stop = 0, new
    while stop > old:
        middle = start + _split(stop - start)
        if old <= middle:
            ranges.append((middle, stop))
            stop = middle
        else:
            ranges.append((start, middle))
            start = middle
    if start > 0:
        # Otherwise the range is the whole old tree, whose root the verifier has.
        ranges.append((start, stop))
    return _hashes_of(ranges[::-1], nodes)


def root_from_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes]) -> bytes:
    """RFC 9162 section 2.1.3.2: the root that an inclusion proof leads to.

    Raises:
        NotVerified: the proof has the wrong length for this place and size.
    """
    if not 0 <= index < size:
        raise NotVerified(f"the inclusion proof is for leaf {index}, which a tree of {size} does not have")
    place, last, root = index, size - 1, leaf
    for step in proof:
        if last == 0:
            raise NotVerified(f"the inclusion proof for leaf {index} of {size} is too long")
        if place & 1 or place == last:
            root = node_hash(step, root)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            root = node_hash(root, step)
        place, last = place >> 1, last >> 1
    if last:
        raise NotVerified(f"the inclusion proof for leaf {index} of {size} is too short")
    return root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """RFC 9162 section 2.1.4.2: check that a tree of `new` leaves begins with the tree of `old` leaves.

    Raises:
        NotVerified: it does not, or the proof has the wrong length.
    """
    if not 0 <= old <= new:
        raise NotVerified(f"a tree of {new} leaves cannot begin with a tree of {old}")
    if old in (0, new):
        expected = EMPTY_ROOT if old == 0 else new_root
        if proof or old_root != expected:
            raise NotVerified(f"the roots of the trees of {old} and {new} leaves do not belong together")
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    roots = _roots_from_consistency(old, new, path)
    if roots != (old_root, new_root):
        raise NotVerified(f"the tree of {new} leaves does not begin with the tree of {old} leaves")


def _roots_from_consistency(old: int, new: int, path: Sequence[bytes]) -> tuple[bytes, bytes] | None:
    """The two roots that a consistency proof leads to; None if it has the wrong length."""
    if not path:
        return None
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = path[0]
    for step in path[1:]:
        if last == 0:
            return None
        if place & 1 or place == last:
            first, second = node_hash(step, first), node_hash(step, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = node_hash(second, step)
        place, last = place >> 1, last >> 1
    return None if last else (first, second)


def _split(width: int) -> int:
    """The largest power of two smaller than width."""
    return 1 << ((width - 1).bit_length() - 1)


def _fold(hashes: Sequence[bytes]) -> bytes:
    """The root over complete subtrees of falling size."""
    if not hashes:
        return EMPTY_ROOT
    root = hashes[-1]
    for left in reversed(hashes[:-1]):
        root = node_hash(left, root)
    return root


def _hashes_of(ranges: Sequence[tuple[int, int]], nodes: Nodes) -> tuple[bytes, ...]:
    """The hash of each range of leaves, with one look-up for all of them."""
    covers = [complete_subtrees(start, stop) for start, stop in ranges]
    hashes = iter(_look_up([coordinate for cover in covers for coordinate in cover], nodes))
    return tuple(_fold([next(hashes) for _ in cover]) for cover in covers)


def _look_up(wanted: Sequence[Coordinate], nodes: Nodes) -> list[bytes]:
    found = nodes(wanted) if wanted else {}
    for level, index in wanted:
        if (level, index) not in found:
            what = f"entry {index}" if level == 0 else f"node (level {level}, index {index})"
            raise IntegrityError(f"ledger {what} is missing: restore the ledger from a backup")
    return [found[coordinate] for coordinate in wanted]
