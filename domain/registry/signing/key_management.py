"""Looking after signing keys: which there are, a new one in place of the old, and taking one's trust away."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.registry.canonical import Digest
from domain.registry.errors import InvalidInput, NotFound, SigningKeyRevoked
from domain.registry.events import DomainEvent, KeyRevokedEvent, KeyRole, Provenance
from domain.registry.ledger.ledger import Ledger, LedgerView
from domain.registry.ports import Clock, PublicKey, SignerPort
from domain.registry.records import as_text
from domain.registry.signing.key_ring import KeyRing, KnownKey
from domain.registry.signing.public_keys import fingerprint

_SHORTEST = 8
"""Fewest characters by which a person may name a key."""


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """What is known of a signing key.

    Attributes:
        current: whether the signer of its role signs with it now.
        introduced: index of the ledger entry that introduced it; None if none did yet.
        revoked: index of the entry that revoked it, and `reason` why; None if it is good.
    """

    role: KeyRole
    key: PublicKey
    fingerprint: Digest
    current: bool
    introduced: int | None
    revoked: int | None
    reason: str | None


class KeyManagement:
    """The one service that changes signing keys; every change is an event of the ledger."""

    def __init__(
        self,
        ledger: Ledger,
        signers: Mapping[KeyRole, SignerPort],
        *,
        clock: Clock,
        provenance: Provenance,
    ) -> None:
        """`provenance` says who and what asks for the changes."""
        self._ledger = ledger
        self._signers = signers
        self._clock = clock
        self._provenance = provenance

    def list(self) -> tuple[KeyStatus, ...]:
        """Keys that the ledger knows in the order of their introduction, then others that signers have.

        A signer that has not signed for this ledger is not asked, because asking could make its key.

        Raises:
            IntegrityError: an event about keys was changed.
            Unavailable: ledger or signers cannot be read now.
        """
        ring = KeyRing.of(self._ledger.view())
        roles: set[KeyRole] = {known.role for known in ring.keys.values()}
        if self._ledger.port.last_checkpoint() is not None:
            roles.add("checkpoint")
        held = {role: signer.public_keys() for role, signer in self._signers.items() if role in roles}
        current = {fingerprint(keys[0]) for keys in held.values()}
        known = [_status(each, each.fingerprint in current) for each in ring.keys.values()]
        unknown = [
            KeyStatus(role, key, fingerprint(key), fingerprint(key) in current, None, None, None)
            for role, keys in held.items()
            for key in keys
            if fingerprint(key) not in ring.keys
        ]
        return (*known, *unknown)

    def rotate(self, role: KeyRole) -> KeyStatus:
        """Let a new key sign from here on; signatures of the old one stay valid.

        The new key is introduced in the ledger before it can sign, under a checkpoint by the key that signs
        checkpoints until then, so that an old key vouches for the new one. A crash on the way leaves the old
        key in force, and at most the introduction of a key that never signs.

        Raises:
            Unavailable: ledger or signer cannot be used now.
        """
        signer = self._signers[role]
        old = signer.public_keys()[0]

        def announce(new: PublicKey) -> None:
            self._ledger.commit(lambda view: self._introductions(view, ((role, old), (role, new))))
            # A revoked key vouches for nothing; then the new one signs first.
            with contextlib.suppress(SigningKeyRevoked):
                self._ledger.checkpoint()

        new = signer.rotate(announce)
        self._ledger.checkpoint()
        return self._named(fingerprint(new))

    def revoke(self, key_id: str, reason: str) -> KeyStatus:
        """Refuse what a key signs from here on. Revoking it again changes nothing.

        Args:
            key_id: its fingerprint, or the first characters of it.

        Raises:
            NotFound: no key is named so.
            InvalidInput: several are, the key is in use, or the reason is no text.
            Unavailable: ledger or signer cannot be used now.
        """
        as_text("reason", reason)
        found = self._named(key_id)
        if found.current:
            raise InvalidInput(
                "KEYID",
                key_id,
                f"it is the current {found.role} key, put another in its place first: "
                f"veritas keys rotate --role {found.role}",
            )
        at = self._clock.now()
        self._ledger.commit(lambda view: self._revocation(view, found, reason, at))
        self._ledger.checkpoint()
        return self._named(found.fingerprint)

    def _introductions(
        self, view: LedgerView, keys: Sequence[tuple[KeyRole, PublicKey]]
    ) -> Sequence[DomainEvent]:
        return KeyRing.of(view).introductions(keys, self._provenance, self._clock.now())

    def _revocation(
        self, view: LedgerView, found: KeyStatus, reason: str, at: dt.datetime
    ) -> Sequence[DomainEvent]:
        ring = KeyRing.of(view)
        known = ring.keys.get(found.fingerprint)
        if known is not None and known.revoked is not None:
            return ()
        introductions = ring.introductions([(found.role, found.key)], self._provenance, at)
        sequence = ring.events + len(introductions)
        return (
            *introductions,
            KeyRevokedEvent(sequence, found.fingerprint, reason, self._provenance, at),
        )

    def _named(self, key_id: str) -> KeyStatus:
        if len(key_id) < _SHORTEST:
            raise InvalidInput("KEYID", key_id, f"give at least {_SHORTEST} characters of the fingerprint")
        found = [each for each in self.list() if each.fingerprint.startswith(key_id)]
        if not found:
            raise NotFound(f"no key has the fingerprint {key_id}: see veritas keys list")
        if len(found) > 1:
            raise InvalidInput("KEYID", key_id, "several keys begin so, give the whole fingerprint")
        return found[0]


def _status(known: KnownKey, current: bool) -> KeyStatus:
    reason = None if known.revocation is None else known.revocation.reason
    return KeyStatus(
        known.role, known.key, known.fingerprint, current, known.introduced, known.revoked, reason
    )
