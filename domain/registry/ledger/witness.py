"""Witnesses: copies of checkpoints where the operator of the ledger cannot change them.

Whoever replaces a ledger as a whole, with its checkpoints and even signed by its own keys, cannot replace the
copies; a ledger has to continue each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from domain.registry.errors import IntegrityError, NotVerified
from domain.registry.ledger.checkpoint import Checkpoint, open_checkpoint
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.merkle import Frontier, leaf_hash, root_of
from domain.registry.ledger.remembered_witness import RememberedWitness
from domain.registry.ledger.verification import Problem
from domain.registry.ports import LedgerPort, SignerPort, StoredCheckpoint, WitnessPort


@dataclass(frozen=True, slots=True)
class WitnessReport:
    """How many witnessed checkpoints were compared with the ledger, and which it does not continue."""

    checkpoints: int
    problems: tuple[Problem, ...]


def witness(ledger: Ledger, port: RememberedWitness, *, new: bool = False) -> StoredCheckpoint:
    """Sign what is pending and hand the newest checkpoint to a witness; a second call changes nothing.

    Args:
        new: begin with a place that has nothing, and hand over again what a place has lost.

    Raises:
        IntegrityError: the ledger does not continue what the witness has, or, unless `new`, the witness has
            nothing or has lost something; nothing is handed over.
        SigningKeyRevoked, Unavailable: see `Ledger.checkpoint` and `WitnessPort`.
    """
    newest = ledger.checkpoint()
    lost = port.lost()
    given = [(f"checkpoint of size {each.size} that was given to {port}", each) for each in lost]
    seen = verify_seen(ledger.port, ledger.signer, [*_kept(port), *given])
    problems = seen.problems if new else (*seen.problems, *losses(port))
    if problems:
        raise IntegrityError(f"{problems[0]}; nothing was handed to the witness")
    for each in (*lost, newest):
        port.put(each)
    return newest


def losses(port: RememberedWitness) -> Iterator[Problem]:
    """What a witness of a signed ledger lacks: any checkpoint at all, or one that it was given."""
    start = f"run veritas ledger witness {port} --new"
    lost = ", ".join(str(checkpoint.size) for checkpoint in port.lost())
    if lost:
        reason = f"it has lost what it was given, of size {lost}: find out why, then {start}"
        yield Problem(f"witness {port}", reason)
    elif next(port.sizes(), None) is None:
        reason = f"it has no checkpoint: correct its address, or, if it is new, {start}"
        yield Problem(f"witness {port}", reason)


def require_continued(port: LedgerPort, signer: SignerPort, checkpoint: StoredCheckpoint) -> None:
    """Check that the ledger's stored tree continues one checkpoint, with O(log n) hashes.

    That all entries fit this tree is what `verify_witnessed` shows.

    Raises:
        NotVerified: it does not, or the checkpoint is not of this ledger.
        IntegrityError: hashes of the tree are missing.
    """
    head = _opened(checkpoint, port, signer)
    size = port.size()
    if size < head.size:
        raise NotVerified(f"the ledger has only {size} entries, its end was cut off")
    if root_of(head.size, port.nodes) != head.root:
        raise NotVerified(
            f"the ledger's first {head.size} entries are not those it signs: history was rewritten"
        )


def verify_witnessed(port: LedgerPort, signer: SignerPort, witnesses: Iterable[WitnessPort]) -> WitnessReport:
    """Compare the ledger with every witnessed checkpoint, by roots made of the entries as they are stored.

    A witness is of one ledger: a checkpoint of another one there is a problem too.

    Raises:
        Unavailable: ledger or witness cannot be read now.
    """
    return verify_seen(port, signer, [seen for each in witnesses for seen in _kept(each)])


def verify_seen(
    port: LedgerPort, signer: SignerPort, seen: Iterable[tuple[str, StoredCheckpoint]]
) -> WitnessReport:
    """Compare the ledger with checkpoints that were seen somewhere, each with what problems call it.

    Raises:
        Unavailable: the ledger cannot be read now.
    """
    problems: list[Problem] = []
    heads: dict[Checkpoint, str] = {}
    count = 0
    for what, stored in seen:
        count += 1
        try:
            heads.setdefault(_opened(stored, port, signer), what)
        except NotVerified as error:
            problems.append(Problem(what, str(error)))
    problems.extend(_differences(port, heads))
    return WitnessReport(count, tuple(problems))


def _kept(port: WitnessPort) -> Iterator[tuple[str, StoredCheckpoint]]:
    """What a witness has, with what problems call it."""
    for stored in port.all():
        yield f"witnessed checkpoint of size {stored.size} at {port}", stored


def _opened(stored: StoredCheckpoint, port: LedgerPort, signer: SignerPort) -> Checkpoint:
    head = open_checkpoint(stored.note, signer.public_keys(), signer.verify)
    if head.size != stored.size:
        raise NotVerified(f"it is signed for the size {head.size}")
    if head.origin != port.origin():
        raise NotVerified(f"it is signed for the ledger {head.origin}, this one is {port.origin()}")
    return head


def _differences(port: LedgerPort, heads: dict[Checkpoint, str]) -> Iterator[Problem]:
    wanted = sorted(heads, key=lambda head: head.size)
    tree = Frontier()
    entries = port.read(0)
    for head in wanted:
        while tree.size < head.size:
            entry = next(entries, None)
            if entry is None:
                reason = f"the ledger has only {tree.size} entries, its end was cut off"
                yield Problem(heads[head], reason)
                break
            tree.append(leaf_hash(entry.data))
        else:
            if tree.root() != head.root:
                yield Problem(
                    heads[head],
                    f"the ledger's first {head.size} entries are not those it signs: history was rewritten",
                )
