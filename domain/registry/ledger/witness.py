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
from domain.registry.ledger.merkle import Frontier, leaf_hash
from domain.registry.ledger.verification import Problem
from domain.registry.ports import LedgerPort, SignerPort, StoredCheckpoint, WitnessPort


@dataclass(frozen=True, slots=True)
class WitnessReport:
    """How many witnessed checkpoints were compared with the ledger, and which it does not continue."""

    checkpoints: int
    problems: tuple[Problem, ...]


def witness(ledger: Ledger, port: WitnessPort) -> StoredCheckpoint:
    """Sign what is pending and hand the newest checkpoint to a witness; a second call changes nothing.

    Raises:
        IntegrityError: the ledger does not continue what the witness has; nothing is handed over.
        SigningKeyRevoked, Unavailable: see `Ledger.checkpoint` and `WitnessPort`.
    """
    newest = ledger.checkpoint()
    problems = verify_witnessed(ledger.port, ledger.signer, [port]).problems
    if problems:
        raise IntegrityError(f"{problems[0]}; nothing was handed to the witness")
    port.put(newest)
    return newest


def verify_witnessed(port: LedgerPort, signer: SignerPort, witnesses: Iterable[WitnessPort]) -> WitnessReport:
    """Compare the ledger with every witnessed checkpoint, by roots made of the entries as they are stored.

    A witness is of one ledger: a checkpoint of another one there is a problem too.

    Raises:
        Unavailable: ledger or witness cannot be read now.
    """
    seen = [
        (f"witnessed checkpoint of size {stored.size} at {each}", stored)
        for each in witnesses
        for stored in each.all()
    ]
    return verify_seen(port, signer, seen)


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
