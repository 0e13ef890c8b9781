"""The check of the witnesses: reachable, of this ledger, complete, and how far behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from veritasvault.cli.checks import Check
from veritasvault.cli.output import count

if TYPE_CHECKING:
    from domain.registry.ledger.ledger import Ledger
    from domain.registry.ledger.remembered_witness import RememberedWitness
    from veritasvault.bootstrap import Application


def witnesses(application: Application) -> Check:
    """Whether each witness has what it was given and the ledger continues its newest checkpoint."""
    addresses = application.settings.witnesses
    if not addresses:
        told = "none, so that only a kept receipt tells a replaced ledger"
        return Check("witnesses", "ok", f"{told}; see veritas ledger witness --help")
    ledger = application.ledger
    if ledger.port.last_checkpoint() is None:
        return Check("witnesses", "ok", "nothing is signed yet that they could have")
    found = [_witness(ledger, application.witness(address)) for address in addresses]
    return next((check for check in found if check.status == "fail"), None) or Check(
        "witnesses", "ok", "; ".join(check.detail for check in found)
    )


def _witness(ledger: Ledger, witness: RememberedWitness) -> Check:
    """One witness, without reading all that it has."""
    from domain.registry.errors import NotVerified
    from domain.registry.ledger.witness import losses, require_continued

    problem = next(losses(witness), None)
    if problem is not None:
        return Check("witnesses", "fail", str(problem), "veritas verify --all, then as the sentence says")
    newest = witness.read(max(witness.sizes()))
    try:
        require_continued(ledger.port, ledger.signer, newest)
    except NotVerified as error:
        detail = f"checkpoint of size {newest.size} at {witness}: {error}"
        return Check("witnesses", "fail", detail, "veritas verify --all")
    behind = count(ledger.port.size() - newest.size, "entry", "entries")
    return Check("witnesses", "ok", f"{witness}: {newest.size} entries, {behind} behind")
