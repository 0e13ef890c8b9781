"""`veritas keys`: which keys sign, a new one in place of the old, and a revocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from veritasvault.cli.options import json_option
from veritasvault.cli.output import Printer, Styled, print_json

if TYPE_CHECKING:
    from domain.registry.signing.key_management import KeyStatus

_ROLES = ("artifact", "checkpoint")
_SHORT = 16
"""Characters of a fingerprint that a table shows; they are enough to name the key."""


@click.group()
def keys() -> None:
    """The keys that sign artifacts and checkpoints: list, rotate, revoke."""


@keys.command("list")
@json_option
def list_keys(as_json: bool) -> None:
    """List signing keys: what they sign, since which ledger entry, and until which.

    With --json also the public keys: PEM for `model_signing verify key --public_key`, and the one-line
    form of signed notes for `veritas verify --receipt FILE --key KEY`.

    \b
    Examples:
      veritas keys list
      veritas keys list --json
    """
    from veritasvault.bootstrap import bootstrap

    _show(bootstrap().keys.list(), as_json)


@keys.command("rotate")
@click.option("--role", type=click.Choice(_ROLES), help="Only the key of this role; without it both.")
@json_option
def rotate(role: str | None, as_json: bool) -> None:
    """Let new keys sign from here on.

    Signatures of the old keys stay valid, and an old key signs the ledger entry that introduces the
    new one. Revoke an old key only if somebody else may have it.

    \b
    Examples:
      veritas keys rotate
      veritas keys rotate --role artifact --json
    """
    from domain.registry.events.keys import KEY_ROLES
    from veritasvault.bootstrap import bootstrap

    management = bootstrap().keys
    roles = [each for each in KEY_ROLES if role in (None, each)]
    _show([management.rotate(each) for each in roles], as_json)


@keys.command("revoke")
@click.argument("key_id", metavar="KEYID")
@click.option("--reason", metavar="TEXT", required=True, help="Why; kept in the ledger.")
@json_option
def revoke(key_id: str, reason: str, as_json: bool) -> None:
    """Refuse what a key signs from here on.

    KEYID is a key's fingerprint or its first characters, see `veritas keys list`. What the key signed for
    earlier ledger entries stays valid; only a signature's place in the ledger counts, never a time that
    it claims. A key that is in use has to be rotated first.

    \b
    Examples:
      veritas keys revoke 3f0c1d2e9a8b7c6d --reason 'laptop stolen'
    """
    from veritasvault.bootstrap import bootstrap

    _show([bootstrap().keys.revoke(key_id, reason)], as_json)


def _show(found: Any, as_json: bool) -> None:
    if as_json:
        print_json({"keys": [_document(key) for key in found]})
    else:
        Printer().table(
            ("key", "signs", "algorithm", "state", "introduced", "revoked", "reason"),
            [_row(key) for key in found],
        )


def _row(key: KeyStatus) -> tuple[object, ...]:
    return (
        key.fingerprint[:_SHORT],
        f"{key.role}s",
        key.key.algorithm,
        _state(key),
        key.introduced,
        key.revoked,
        key.reason,
    )


def _state(key: KeyStatus) -> Styled:
    if key.revoked is not None:
        return Styled("revoked", "bad")
    return Styled("current", "good") if key.current else Styled("retired", "faint")


def _document(key: KeyStatus) -> dict[str, Any]:
    from domain.registry.ledger.checkpoint import vkey
    from domain.registry.signing.public_keys import to_pem

    return {
        "fingerprint": key.fingerprint,
        "role": key.role,
        "name": key.key.name,
        "algorithm": key.key.algorithm,
        "current": key.current,
        "introduced": key.introduced,
        "revoked": key.revoked,
        "reason": key.reason,
        "pem": to_pem(key.key),
        "vkey": vkey(key.key) if key.role == "checkpoint" else None,
    }
