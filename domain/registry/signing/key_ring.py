"""The signing keys that a ledger knows: which sign what, since which entry, and until which."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from domain.registry.canonical import Digest
from domain.registry.errors import IntegrityError, NotVerified, SigningKeyRevoked
from domain.registry.events import KeyIntroducedEvent, KeyRevokedEvent, KeyRole, Provenance
from domain.registry.ledger.checkpoint import Verify, open_checkpoint
from domain.registry.ledger.view import LedgerView, Recorded
from domain.registry.ports import PublicKey, StoredCheckpoint
from domain.registry.signing.public_keys import fingerprint


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key that the ledger introduced.

    Attributes:
        introduced: index of the entry that did.
        revocation: the event that revoked it, if one did.
        revoked: that event's index.
    """

    role: KeyRole
    key: PublicKey
    fingerprint: Digest
    introduced: int
    event: KeyIntroducedEvent
    revocation: KeyRevokedEvent | None = None
    revoked: int | None = None


@dataclass(frozen=True, slots=True)
class KeyRing:
    """All keys of a ledger as it was at one size, in the order of their introduction.

    Attributes:
        events: how many events about keys there are; the next one has this number.
    """

    keys: Mapping[Digest, KnownKey]
    events: int

    @classmethod
    def of(cls, view: LedgerView) -> KeyRing:
        """Read the events about keys; there are few of them, and no others are read.

        Raises:
            IntegrityError: one of them was changed, or revokes a key that was never introduced.
        """
        return cls.from_events(view.key_events())

    @classmethod
    def from_events(cls, recorded: Iterable[Recorded]) -> KeyRing:
        """The keys that these events, all about keys and in the order of the ledger, introduce and revoke.

        Raises:
            IntegrityError: one of them revokes a key that was never introduced.
        """
        keys: dict[Digest, KnownKey] = {}
        events = 0
        for found in recorded:
            events += 1
            event = found.event
            if isinstance(event, KeyIntroducedEvent):
                key = event.to_public_key()
                known = KnownKey(event.role, key, event.fingerprint, found.index, event)
                keys.setdefault(event.fingerprint, known)
            elif isinstance(event, KeyRevokedEvent) and event.fingerprint in keys:
                known = keys[event.fingerprint]
                if known.revoked is None:
                    keys[event.fingerprint] = replace(known, revocation=event, revoked=found.index)
            else:
                raise IntegrityError(
                    f"ledger entry {found.index}: it neither introduces a key nor revokes a known one"
                )
        return cls(keys, events)

    def require(self, role: KeyRole, named: Digest, index: int) -> PublicKey:
        """The key that may have signed, in this role, what entry `index` records.

        Raises:
            NotVerified: it was not introduced before that entry, or was revoked before it.
        """
        known = self.keys.get(named)
        if known is None or known.role != role or known.introduced >= index:
            raise NotVerified(f"the ledger did not know the {role} key {named} before entry {index}")
        if known.revoked is not None and known.revoked < index:
            raise NotVerified(f"the {role} key {named} is revoked since ledger entry {known.revoked}")
        return known.key

    def revoked_signers(
        self, checkpoint: StoredCheckpoint, keys: Sequence[PublicKey], verify: Verify
    ) -> Iterator[KnownKey]:
        """The keys that signed a checkpoint which covers the entry by which they are revoked.

        A note can have several signatures, so a key signed it if it does not open without that key.

        Args:
            keys: all that may sign checkpoints; one that does not open with them all is not judged here.
        """
        if not _opens(checkpoint, keys, verify):
            return
        for known in self.keys.values():
            if known.revoked is None or known.revoked >= checkpoint.size:
                continue
            others = [key for key in keys if fingerprint(key) != known.fingerprint]
            if not _opens(checkpoint, others, verify):
                yield known

    def signs_artifacts(self, *, before: int) -> bool:
        """Whether artifacts were signed before this entry, so that one without a signature was not registered
        by this system; ledgers that are older than signatures begin with such entries."""
        return any(known.role == "artifact" and known.introduced < before for known in self.keys.values())

    def require_usable(self, role: KeyRole, key: PublicKey) -> None:
        """Let a key sign what comes next. A key that was not introduced yet may; it is introduced with it.

        Raises:
            SigningKeyRevoked: the ledger revoked it.
        """
        known = self.keys.get(fingerprint(key))
        if known is not None and known.revoked is not None:
            raise SigningKeyRevoked(
                f"nothing was signed, the {role} key {known.fingerprint} is revoked since ledger entry "
                f"{known.revoked}: run veritas keys rotate"
            )

    def introductions(
        self, keys: Iterable[tuple[KeyRole, PublicKey]], provenance: Provenance, at: dt.datetime
    ) -> tuple[KeyIntroducedEvent, ...]:
        """The events that introduce those of the keys that the ledger does not know yet."""
        unknown = [(role, key) for role, key in keys if fingerprint(key) not in self.keys]
        return tuple(
            KeyIntroducedEvent.of(sequence, role, key, provenance, at)
            for sequence, (role, key) in enumerate(unknown, start=self.events)
        )


def _opens(checkpoint: StoredCheckpoint, keys: Sequence[PublicKey], verify: Verify) -> bool:
    try:
        open_checkpoint(checkpoint.note, keys, verify)
    except NotVerified:
        return False
    return True
