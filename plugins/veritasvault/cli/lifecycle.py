"""`veritas promote`, `approve`, `rollback` and the other decisions on registered versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from veritasvault.cli.failures import BAD, GOOD
from veritasvault.cli.options import json_option, reference_argument
from veritasvault.cli.output import Printer, Styled, count, print_json

if TYPE_CHECKING:
    from domain.registry.events.lifecycle import Action
    from domain.registry.inventory.models import ChampionInUse
    from domain.registry.lifecycle.rules import Proposal
    from domain.registry.lifecycle.service import Outcome
    from veritasvault.bootstrap import Application

_ROLES = ("risk_officer", "model_validator")

reason_option = click.option("--reason", metavar="TEXT", required=True, help="Why; kept in the ledger.")
incumbent_option = click.option(
    "--incumbent",
    metavar="N",
    help="The champion you saw, a version or 'none': refused if it is another one now.",
)
evidence_option = click.option(
    "--evidence", metavar="DIGEST", help="The evidence you saw: refused if there is other evidence now."
)
scope_argument = click.argument("scope", metavar="NAME", required=False)
every_option = click.option("--all", "everything", is_flag=True, help="Every model instead of one.")


@click.command()
@reference_argument
@reason_option
@incumbent_option
@evidence_option
@json_option
@click.pass_context
def promote(context: click.Context, /, reference: str, **given: Any) -> None:
    """Make a version the champion of its name.

    Its gates have to be passed, the policy has to allow it, and its risk tier's
    approvals have to be given before, see veritas approve. A version that has seen
    less than a champion once had is refused; use veritas rollback for an earlier
    champion. Exit code 1 with the reasons if it is refused; these are in the ledger.

    \b
    Examples:
      veritas promote volatility_forecast@challenger --reason 'quarterly review'
      veritas promote volatility_forecast@7 --incumbent 5 --reason 'quarterly review'
    """
    context.exit(_carry_out("promote", reference, **given))


@click.command()
@reference_argument
@reason_option
@incumbent_option
@evidence_option
@json_option
@click.pass_context
def rollback(context: click.Context, /, reference: str, **given: Any) -> None:
    """Make an earlier champion the champion again.

    It needs approval in every tier: veritas approve REF --of rollback. What it
    displaces does not promote itself any more. A halt does not stop it.

    \b
    Examples:
      veritas rollback volatility_forecast@5 --reason 'version 7 drifts'
    """
    context.exit(_carry_out("rollback", reference, **given))


@click.command()
@reference_argument
@click.option("--role", type=click.Choice(_ROLES), required=True, help="The role in which you approve.")
@click.option("--of", "action", type=click.Choice(("promote", "rollback")), default="promote")
@reason_option
@incumbent_option
@evidence_option
@json_option
@click.pass_context
def approve(
    context: click.Context, /, reference: str, role: str, action: Action, as_json: bool, **given: Any
) -> None:
    """Approve that a version becomes champion, on the evidence it has now.

    You are whom your token speaks for (see veritas --help), or else the user of the
    operating system, with the roles that VERITAS_ROLES gives you; nobody approves
    what they own, wrote or triggered. The approval counts for this champion and
    this evidence alone.

    \b
    Examples:
      veritas approve volatility_forecast@7 --role risk_officer --reason 'QLIKE and drift are fine'
      veritas approve volatility_forecast@5 --of rollback --role risk_officer --reason 'version 7 drifts'
    """
    from veritasvault.bootstrap import bootstrap

    application = bootstrap()
    name, proposal = _proposal(application, action, reference, **given)
    outcome = application.lifecycle.approve(name, proposal, role)
    context.exit(_tell(name, f"{name}@{proposal.version} is approved by {proposal.actor}", outcome, as_json))


@click.command()
@reference_argument
@reason_option
@json_option
@click.pass_context
def reject(context: click.Context, reference: str, reason: str, as_json: bool) -> None:
    """Say no to a version on the evidence it has now.

    \b
    Examples:
      veritas reject volatility_forecast@7 --reason 'trained over a data outage'
    """
    context.exit(_on_version("reject", "rejected", reference, reason, as_json))


@click.command()
@reference_argument
@reason_option
@json_option
@click.pass_context
def retire(context: click.Context, reference: str, reason: str, as_json: bool) -> None:
    """Take a version out of use for good; a retired champion leaves its place empty.

    \b
    Examples:
      veritas retire volatility_forecast@3 --reason 'replaced by version 5'
    """
    context.exit(_on_version("retire", "retired", reference, reason, as_json))


@click.command()
@scope_argument
@every_option
@reason_option
@json_option
@click.pass_context
def halt(context: click.Context, scope: str | None, everything: bool, reason: str, as_json: bool) -> None:
    """Freeze promotions of a model, or of all, until veritas resume.

    \b
    Examples:
      veritas halt volatility_forecast --reason 'odd prices since Monday'
      veritas halt --all --reason 'change freeze'
    """
    context.exit(_on_scope("halt", "halted", scope, everything, reason, as_json))


@click.command()
@scope_argument
@every_option
@reason_option
@json_option
@click.pass_context
def resume(context: click.Context, scope: str | None, everything: bool, reason: str, as_json: bool) -> None:
    """End a halt.

    \b
    Examples:
      veritas resume volatility_forecast --reason 'prices were corrected'
      veritas resume --all --reason 'freeze is over'
    """
    context.exit(_on_scope("resume", "resumed", scope, everything, reason, as_json))


@click.command()
@click.argument("name", metavar="NAME")
@json_option
def lifecycle(name: str, as_json: bool) -> None:
    """Show who is champion of a name and until when, who wants to be, and how it came about.

    \b
    Examples:
      veritas lifecycle volatility_forecast
    """
    from domain.registry.lifecycle.state import challenger, halt_of
    from veritasvault.bootstrap import bootstrap

    application = bootstrap()
    state = application.lifecycle.state(name)
    view = application.ledger.view()
    row, halted = challenger(view, state), halt_of(view, state)
    champion = application.inventory.model(name).champion
    wanting = None if row is None else row.version
    found = [(done.index, done.event) for done in view.lifecycle(name)]
    if as_json:
        events = [{"index": index, "kind": event.KIND, **event.to_json()} for index, event in found]
        print_json(
            {
                "name": name,
                "champion": state.champion,
                "challenger": wanting,
                "halted": halted,
                **_deadline_document(champion),
                "events": events,
            }
        )
        return
    printer = Printer()
    printer.fields(
        (
            ("champion", _version(name, state.champion)),
            ("challenger", _version(name, wanting)),
            *([] if champion is None else [("deadline", _deadline(champion))]),
            ("promotions", "go on" if halted is None else Styled(f"halted: {halted}", "bad")),
        )
    )
    if found:
        printer.table(
            ("entry", "at", "event", "version", "by", "why"), [_row(index, event) for index, event in found]
        )


def _carry_out(action: Action, reference: str, as_json: bool, **given: Any) -> int:
    from veritasvault.bootstrap import bootstrap

    application = bootstrap()
    name, proposal = _proposal(application, action, reference, **given)
    outcome = application.lifecycle.carry_out(name, proposal)
    return _tell(name, f"{name}@{proposal.version} is the champion", outcome, as_json)


def _proposal(
    application: Application,
    action: Action,
    reference: str,
    reason: str,
    incumbent: str | None,
    evidence: str | None,
) -> tuple[str, Proposal]:
    """The proposal on what its author says that they saw, or else on what there is now."""
    from dataclasses import replace

    from domain.registry.canonical import as_digest
    from domain.registry.errors import InvalidInput

    row = application.catalog.resolve(reference)
    proposal = application.lifecycle.propose(action, row.name, row.version, reason, application.person)
    if evidence is not None:
        proposal = replace(proposal, evidence=as_digest("--evidence", evidence))
    if incumbent == "none":
        proposal = replace(proposal, incumbent=None)
    elif incumbent is not None:
        if not incumbent.isdecimal() or incumbent == "0":
            raise InvalidInput("--incumbent", incumbent, "give the number of a version, or none")
        proposal = replace(proposal, incumbent=int(incumbent))
    return row.name, proposal


def _on_version(command: str, done: str, reference: str, reason: str, as_json: bool) -> int:
    from veritasvault.bootstrap import bootstrap

    application = bootstrap()
    row = application.catalog.resolve(reference)
    act: Callable[..., Outcome] = getattr(application.lifecycle, command)
    outcome = act(row.name, row.version, reason, application.person)
    return _tell(row.name, f"{row.name}@{row.version} is {done}", outcome, as_json)


def _on_scope(command: str, done: str, name: str | None, everything: bool, reason: str, as_json: bool) -> int:
    from domain.registry.events.lifecycle import EVERY_MODEL
    from veritasvault.bootstrap import bootstrap

    if (name is None) != everything:
        raise click.UsageError("give one of NAME and --all")
    scope = EVERY_MODEL if name is None else name
    application = bootstrap()
    act: Callable[..., Outcome] = getattr(application.lifecycle, command)
    outcome = act(scope, reason, application.person)
    return _tell(scope, f"promotions of {name or 'every model'} are {done}", outcome, as_json)


def _tell(name: str, sentence: str, outcome: Outcome, as_json: bool) -> int:
    """Say what became of a command; its exit code."""
    refused = bool(outcome.reasons)
    if as_json:
        print_json(
            {
                "name": name,
                "champion": outcome.state.champion,
                "done": not refused,
                "reasons": list(outcome.reasons),
                "events": [{"kind": event.KIND, **event.to_json()} for event in outcome.events],
            }
        )
        return BAD if refused else GOOD
    printer = Printer()
    if refused:
        printer.line(Styled("refused", "bad"), f"{len(outcome.reasons)} reasons:")
        for reason in outcome.reasons:
            printer.line(f"  {reason}")
        return BAD
    printer.line(sentence if outcome.events else f"{sentence} already, nothing was added")
    return GOOD


def _deadline_document(champion: ChampionInUse | None) -> dict[str, Any]:
    if champion is None or champion.deadline is None:
        return {"deadline": None, "overdue_days": None}
    return {"deadline": champion.deadline.last_day.isoformat(), "overdue_days": champion.overdue_days}


def _deadline(champion: ChampionInUse) -> Styled:
    """Until when a champion may be in use, and whether it is too late."""
    deadline, overdue = champion.deadline, champion.overdue_days
    if deadline is None:
        return Styled("not known, its record cannot be read: run veritas verify", "unsure")
    text = f"{deadline.last_day}, {deadline.days} days after {deadline.since}"
    return Styled(f"{text}: overdue by {count(overdue, 'day')}", "bad") if overdue else Styled(text, "good")


def _version(name: str, version: int | None) -> str:
    return "none" if version is None else f"{name}@{version}"


def _row(index: int, event: Any) -> tuple[object, ...]:
    version = getattr(event, "version", None)
    why = "; ".join(getattr(event, "reasons", ())) or getattr(event, "reason", None)
    at = event.at.strftime("%Y-%m-%d %H:%M:%S")
    return index, at, event.KIND, version, event.actor, why


def commands() -> tuple[click.Command, ...]:
    """Every command of this module."""
    return (promote, rollback, approve, reject, retire, halt, resume, lifecycle)
