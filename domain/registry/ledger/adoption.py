"""Carrying a ledger to another place as it is: the same name, entries and checkpoints, all of it or nothing.

The copy is the same ledger: receipts, proofs and witnessed checkpoints hold against it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol

from domain.registry.errors import IntegrityError, LedgerConflict, NotFound, NotVerified
from domain.registry.ledger.checkpoint import Checkpoint, open_checkpoint
from domain.registry.ledger.merkle import Frontier
from domain.registry.ledger.view import project, recorded
from domain.registry.ports import Batch, Entry, LedgerPort, SignerPort, StoredCheckpoint

_PAGE = 500


class AdoptingLedgerPort(LedgerPort, Protocol):
    """A ledger that can begin, and later go on, as the copy of another one."""

    def existing_origin(self) -> str | None:
        """The name of this ledger; None if there is none yet, and none is made."""

    def adopt(
        self,
        origin: str,
        expected_size: int,
        batches: Iterable[Batch],
        checkpoints: Iterable[StoredCheckpoint],
    ) -> None:
        """Continue the ledger named `origin`, which begins to exist if there is none, in one transaction.

        Batches are drawn while the transaction is open. Whatever drawing them raises, and the death of the
        process, leaves everything as it was, also that there was no ledger.

        Raises:
            LedgerConflict: the ledger has another name or another size, one of the keys is taken, or a note
                is stored for the size of one of the checkpoints.
        """


def head_of(port: LedgerPort, signer: SignerPort) -> Checkpoint:
    """The newest signed state of a ledger, which is what can be carried elsewhere.

    Raises:
        NotFound: the ledger is empty.
        NotVerified: nothing of it is signed, or not by a known key.
    """
    if port.size() == 0:
        raise NotFound("the source's ledger is empty, there is nothing to move: check its address")
    last = port.last_checkpoint()
    if last is None or last.size == 0:
        raise NotVerified("nothing in the source's ledger is signed: run veritas ledger checkpoint there")
    return open_checkpoint(last.note, signer.public_keys(), signer.verify)


def require_copy(source: LedgerPort, copy: AdoptingLedgerPort, head: Checkpoint) -> None:
    """Accept a place without a ledger, or with an earlier copy of the source; nothing is written.

    Raises:
        IntegrityError: another ledger is there, or one that went other ways since it was copied.
    """
    origin = copy.existing_origin()
    if origin is None:
        return
    if origin != head.origin:
        raise _refused(f"it is the ledger {origin}, the source is {head.origin}: give an empty place")
    size = copy.size()
    if size > head.size:
        raise _refused(
            f"it has {size} entries, the source's newest checkpoint covers {head.size}: it was written to "
            "since it was copied, so it is the one to go on with"
        )
    for theirs, ours in zip(copy.read(0, size), source.read(0, size), strict=False):
        if theirs != ours:
            raise _refused(f"its entry {ours.index} is not the source's: give an empty place")
    notes = {note.size: note for note in source.checkpoints()}
    for note in copy.checkpoints():
        if notes.get(note.size, note) != note:
            raise _refused(f"its checkpoint of size {note.size} is not the source's: give an empty place")


def adopt(source: LedgerPort, copy: AdoptingLedgerPort, head: Checkpoint) -> int:
    """Write what the copy lacks of the source, up to the checkpoint; return how many entries that was.

    Raises:
        IntegrityError: the entries are not those that the checkpoint signs, or those of the copy are not the
            source's any more; nothing was written.
        LedgerConflict: somebody else wrote to the copy meanwhile; nothing was written.
    """
    size = copy.size()
    if size > head.size:
        raise LedgerConflict(
            f"the destination's ledger grew to {size} entries meanwhile, the source's checkpoint covers "
            f"{head.size}: nothing was written there, find out who writes to it"
        )
    stored = {note.size for note in copy.checkpoints()}
    notes = [note for note in source.checkpoints() if note.size <= head.size and note.size not in stored]
    if size < head.size or notes:
        # Read before the transaction begins: the copy may admit no reader while it is written.
        tree = Frontier.of(size, copy.nodes)
        copy.adopt(head.origin, size, _batches(tree, source.read(size, head.size), head), notes)
    else:
        # Nothing to write, so nothing compares what somebody may have written since the models were begun.
        require_copy(source, copy, head)
    return head.size - size


def _batches(tree: Frontier, entries: Iterator[Entry], head: Checkpoint) -> Iterator[Batch]:
    """The entries with their subtrees and rows; in the end the tree has to be the one that was signed."""
    while page := tuple(islice(entries, _PAGE)):
        nodes = tuple(node for entry in page for node in tree.append(entry.leaf_hash))
        rows = (project(recorded(entry).event, entry.index) for entry in page)
        yield Batch(page, nodes, tuple(row for row in rows if row is not None))
    if (tree.size, tree.root()) != (head.size, head.root):
        raise IntegrityError(
            f"the source's first {head.size} entries are not those that its checkpoint signs: "
            "run veritas verify --all there; nothing was written to the destination's ledger"
        )


def _refused(reason: str) -> IntegrityError:
    return IntegrityError(f"the destination's ledger is refused and unchanged, {reason}")
