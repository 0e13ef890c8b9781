"""Moving a registry: models first, then the ledger that lists them, whole or not at all.

Nothing at the destination is listed before everything is there and was read back, so that an interrupted move
looks like what it is, and the same call goes on with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from domain.registry.collection.mark import mark_before_copying, mark_if_new
from domain.registry.errors import IntegrityError
from domain.registry.ledger.adoption import AdoptingLedgerPort, adopt, head_of, require_copy
from domain.registry.ledger.ledger import Ledger
from domain.registry.ledger.prefix import LedgerPrefix
from domain.registry.ledger.verification import Problem, verify_ledger
from domain.registry.ports import CollectablePort, LedgerPort, SignerPort, VersionRow
from domain.registry.signing.key_ring import KeyRing
from domain.registry.signing.public_keys import fingerprint
from domain.registry.transfer import ModelTransfer

Step = Literal["comparing", "copying", "verifying"]
Progress = Callable[[Step, int, int, str], None]
"""Is told what begins: the step, how many are done of how many, and the version; the ledger has none."""


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a move did.

    Attributes:
        origin: the name of the ledger, here and there.
        checkpoint: how many entries the checkpoint covers up to which everything was copied.
        versions: how many versions that is.
        copied: how many of them this call copied; the others were at the destination already.
        entries: how many ledger entries this call wrote there.
        left_behind: how many entries the source has behind the checkpoint; signing it and moving again
            brings them.
        ledger_moves: whether the ledger was to be copied; otherwise it stays, and lists what was left behind.
        signer_known: whether the ledger knows the key that would sign its next checkpoint, and has not
            revoked it.
        problems: what cannot be copied or does not verify. If there are any, the ledger was not copied, and
            the destination lists no more than before.
    """

    origin: str
    checkpoint: int
    versions: int
    copied: int
    entries: int
    left_behind: int
    ledger_moves: bool
    signer_known: bool
    problems: tuple[Problem, ...]

    @property
    def complete(self) -> bool:
        """Whether the destination has all that its ledger lists, every byte read back and verified.

        A ledger that moves lists there what the checkpoint covers. One that stays lists its newest entries
        too, and the models of those are not at the destination.
        """
        return not self.problems and (self.ledger_moves or not self.left_behind)


class Migration:
    """Copies what a ledger lists from one registry to another, and the ledger itself.

    The source is only read. What no entry lists, such as the leftovers of a registration that was cut off,
    stays behind.
    """

    def __init__(
        self,
        source: CollectablePort,
        source_ledger: LedgerPort,
        destination: CollectablePort,
        destination_ledger: AdoptingLedgerPort | None,
        *,
        signer: SignerPort,
        staging: Path,
    ) -> None:
        """
        Args:
            destination_ledger: None leaves the ledger where it is and moves the models alone.
            signer: knows the keys of the ledger's checkpoints; nothing is signed.
            staging: a directory with room for one model, best on the destination's file system.
        """
        self._source = source
        self._source_ledger = source_ledger
        self._destination = destination
        self._destination_ledger = destination_ledger
        self._signer = signer
        self._staging = staging

    def run(self, progress: Progress = lambda *_: None) -> MigrationReport:
        """Copy everything up to the source's newest checkpoint; what is there already is verified only.

        Raises:
            NotFound, NotVerified: the source's ledger is empty, or nothing of it is signed by a known key.
            InvalidInput: the destination belongs to another ledger, or may do so; nothing was changed.
            IntegrityError: the source's ledger does not verify, or the destination holds something else,
                which is named; nothing was changed.
            LedgerConflict: somebody wrote to the destination's ledger meanwhile.
            Unavailable: one of the places cannot be used now; the same call goes on where it was.
        """
        head = head_of(self._source_ledger, self._signer)
        # The source may grow while it is copied.
        port = LedgerPrefix(self._source_ledger, head.size)
        ledger = Ledger(port, self._signer)
        progress("verifying", 0, 1, "")
        _require_verified("source's", port, self._signer)
        if self._destination_ledger is not None:
            require_copy(port, self._destination_ledger, head)
        models = ModelTransfer(self._source, self._destination, ledger, self._staging)
        rows = sorted(port.versions(), key=lambda row: row.index)
        missing: list[VersionRow] = []
        for done, row in enumerate(rows):
            progress("comparing", done, len(rows), _name(row))
            if not models.is_there(row):
                missing.append(row)
        if missing:
            mark_before_copying(self._destination, ledger, {row.model_id for row in rows})
        else:
            mark_if_new(self._destination, ledger)
        problems: list[Problem] = []
        copied = entries = 0
        for done, row in enumerate(missing):
            progress("copying", done, len(missing), _name(row))
            found = models.copy(row)
            problems.extend(found)
            copied += not found
        if self._destination_ledger is not None and not problems:
            entries = adopt(port, self._destination_ledger, head)
            progress("verifying", 0, 1, "")
            _require_verified("destination's", self._destination_ledger, self._signer)
        return MigrationReport(
            origin=head.origin,
            checkpoint=head.size,
            versions=len(rows),
            copied=copied,
            entries=entries,
            left_behind=self._source_ledger.size() - head.size,
            ledger_moves=self._destination_ledger is not None,
            signer_known=_is_known(ledger),
            problems=tuple(problems),
        )


def _require_verified(whose: str, port: LedgerPort, signer: SignerPort) -> None:
    problems = verify_ledger(port, signer).problems
    if problems:
        raise IntegrityError(
            f"the {whose} ledger does not verify, {problems[0]} ({len(problems)} in all): "
            "run veritas verify --all there"
        )


def _name(row: VersionRow) -> str:
    return f"{row.name}@{row.version}"


def _is_known(ledger: Ledger) -> bool:
    """Whether the key that signs next is in force in the ledger."""
    known = KeyRing.of(ledger.view()).keys.get(fingerprint(ledger.signer.public_keys()[0]))
    return known is not None and known.revoked is None
