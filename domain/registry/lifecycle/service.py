"""Commands of the lifecycle: what people, the promotion pipeline and the command line call.

The policy is asked while a command is decided, about the very state that is decided on; where a lost race
makes the ledger decide anew, it is asked anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from domain.registry.canonical import Digest
from domain.registry.catalog import ModelCatalog
from domain.registry.collection.collector import Collector
from domain.registry.collection.state import require_still_stored, storing_from
from domain.registry.errors import InvalidInput, NotFound, NotPermitted
from domain.registry.events import ModelRegisteredEvent
from domain.registry.events.lifecycle import (
    EVERY_MODEL,
    Action,
    LifecycleEvent,
    ModelApprovedEvent,
    PromotionRefusedEvent,
)
from domain.registry.evidence import EVIDENCE, GateResult
from domain.registry.ledger.ledger import Ledger, LedgerView
from domain.registry.lifecycle import decisions
from domain.registry.lifecycle.offers import Offer, Situation, offers_in
from domain.registry.lifecycle.rules import (
    Actor,
    Candidate,
    Proposal,
    given_approvals,
    involved,
    missing_roles,
    objections,
    require_current,
)
from domain.registry.lifecycle.state import Lifecycle, halt_of
from domain.registry.metadata import RiskTier
from domain.registry.policy import (
    Decision,
    PolicyAction,
    PolicyActor,
    PolicyApproval,
    PolicyCandidate,
    PolicyGate,
    PolicyIncumbent,
    PolicyInput,
)
from domain.registry.ports import Clock, PolicyPort
from domain.registry.records import as_text

AUTHORS = ("author", "author_email", "triggered_by")
"""Names in a version's provenance of people who had a part in making it; of an email, its user counts too."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command.

    Attributes:
        events: what it put into the ledger; empty if everything was so already.
        reasons: why a proposal was refused.
    """

    state: Lifecycle
    events: tuple[LifecycleEvent, ...]
    reasons: tuple[str, ...] = ()


class ModelLifecycle:
    """Promotes, rolls back, retires, rejects and halts; each command exactly once, on what its author saw."""

    def __init__(
        self,
        catalog: ModelCatalog,
        ledger: Ledger,
        policies: PolicyPort,
        *,
        roles: Mapping[str, Sequence[str]],
        clock: Clock,
        people: Mapping[str, str] | None = None,
        collector: Collector | None = None,
    ) -> None:
        """
        Args:
            roles: by a person's name, what the configuration gives them.
            people: the one name of a person by each other that they go by, such as a login's or a commit's.
                Commands given under any of them are recorded under the one.
            collector: finishes what a killed gc was deleting of a version that is evaluated; without one,
                that evaluation fails until gc runs again.
        """
        self._catalog = catalog
        self._ledger = ledger
        self._policy = policies
        self._roles = roles
        self._clock = clock
        self._people = people or {}
        self._collector = collector

    def actor(self, name: str) -> Actor:
        """The person whom a name means, with the roles they have."""
        person = self._people.get(name, name)
        return Actor(as_text("actor", person), frozenset(self._roles.get(person, ())))

    def state(self, name: str) -> Lifecycle:
        """The lifecycle of a name as it is now. Raises NotFound if nothing was ever registered under it."""
        view = self._ledger.view()
        self._require_known(view, name)
        return Lifecycle.of(view, name)

    def candidate(self, name: str, version: int) -> Candidate:
        """What decisions have to know of a version.

        Raises:
            NotFound: it is not registered.
            IntegrityError: its manifest or its event was changed.
        """
        return self._candidate(Lifecycle.of(self._ledger.view(), name), version)

    def propose(
        self, action: Action, name: str, version: int, reason: str, actor: str, *, automatic: bool = False
    ) -> Proposal:
        """A proposal on things as they are now, to be approved and then carried out.

        Args:
            version: for a rollback, the earlier champion.
            automatic: whether a run proposes and not a person.

        Raises:
            NotFound: the version is not registered.
            InvalidInput: the version has no evidence to decide on.
        """
        state = self.state(name)
        candidate = self._candidate(state, version)
        if candidate.evidence is None:
            raise InvalidInput("version", f"{name}@{version}", "evaluate it first, it has no evidence")
        return Proposal(
            action, version, state.champion, candidate.evidence, as_text("reason", reason),
            self.actor(actor).name, self._clock.now(), automatic,
        )  # fmt: skip

    def carry_out(self, name: str, proposal: Proposal) -> Outcome:
        """Promote or roll back, if nothing stands against it; otherwise the refusal is in the ledger.

        Raises:
            StaleDecision: champion or evidence are not those of the proposal any more.
            NotFound: the version is not registered.
        """
        proposal = self._by_person(proposal)

        def decide(view: LedgerView) -> Sequence[LifecycleEvent]:
            state = Lifecycle.of(view, name)
            candidate = self._candidate(state, proposal.version)
            halted = halt_of(view, state)
            actor = self.actor(proposal.actor)
            approvals = state.approvals_of(
                proposal.action, proposal.version, proposal.incumbent, proposal.evidence
            )

            def ask() -> Decision:
                return self._ask(
                    proposal.action,
                    state,
                    candidate,
                    actor,
                    halted is not None,
                    automatic=proposal.automatic,
                    approvals=approvals,
                )

            return decisions.decide_proposal(state, candidate, proposal, halted, ask)

        outcome = self._commit(name, decide)
        # Without an event the version is champion already, or the same refusal is the last event there is.
        done = not outcome.events and outcome.state.champion == proposal.version
        refusal = None if done else (*outcome.events, outcome.state.last)[0]
        reasons = refusal.reasons if isinstance(refusal, PromotionRefusedEvent) else ()
        return replace(outcome, reasons=reasons)

    def approve(self, name: str, proposal: Proposal, role: str) -> Outcome:
        """Record that the proposal's actor approves it in a role.

        Raises:
            NotPermitted: an author of the version, or somebody without the role.
            StaleDecision: champion or evidence are not those of the proposal any more.
        """
        proposal = self._by_person(proposal)

        def decide(view: LedgerView) -> Sequence[LifecycleEvent]:
            state = Lifecycle.of(view, name)
            candidate = self._candidate(state, proposal.version)
            return decisions.decide_approval(state, candidate, proposal, self.actor(proposal.actor), role)

        return self._commit(name, decide)

    def is_waiting(self, name: str, proposal: Proposal) -> bool:
        """Whether people are asked about exactly this, and it can still be followed."""
        state = Lifecycle.of(self._ledger.view(), name)
        case = (proposal.version, proposal.incumbent, proposal.evidence)
        return state.champion == proposal.incumbent and state.is_waiting(*case)

    def is_approved(self, name: str, version: int) -> bool:
        """Whether a promotion of the version, in today's champion's place, needs no more approval."""
        state = Lifecycle.of(self._ledger.view(), name)
        candidate = self._candidate(state, version)
        if candidate.evidence is None:
            return False
        proposal = Proposal(
            "promote", version, state.champion, candidate.evidence, "-", "-", self._clock.now()
        )
        return not missing_roles(state, candidate, proposal)

    def foreseen(
        self, name: str, proposal: Proposal, approvers: Mapping[str, Sequence[str]]
    ) -> tuple[str, ...]:
        """Why a promotion would be refused even if all of these approved it; empty if nothing is known.

        Args:
            approvers: as `approvers` returns them.
        """
        proposal = self._by_person(proposal)
        view = self._ledger.view()
        state = Lifecycle.of(view, name)
        candidate = self._candidate(state, proposal.version)
        pretended = replace(state, approvals=(*state.approvals, *_pretended(state, proposal, approvers)))
        halted = halt_of(view, state)
        wanted = (proposal.action, proposal.version, proposal.incumbent, proposal.evidence)
        answer = self._ask(
            proposal.action,
            pretended,
            candidate,
            self.actor(proposal.actor),
            halted is not None,
            automatic=proposal.automatic,
            approvals=pretended.approvals_of(*wanted),
        )
        return (*objections(pretended, candidate, proposal, halted), *answer.reasons)

    def offers(self, name: str, version: int, actor: str) -> tuple[Offer, ...]:
        """What a person may do about a version now, and if not, why.

        Raises:
            NotFound: the version is not registered.
            IntegrityError: its manifest or its event was changed.
        """
        view = self._ledger.view()
        state = Lifecycle.of(view, name)
        candidate, who, halted = self._candidate(state, version), self.actor(actor), halt_of(view, state)

        def ask(action: PolicyAction, approvals: Sequence[ModelApprovedEvent]) -> Decision:
            return self._ask(action, state, candidate, who, halted is not None, approvals=approvals)

        return offers_in(Situation(state, candidate, who, halted, self._clock.now()), ask)

    def way_of(self, name: str, version: int) -> Action:
        """How a version can become champion: an earlier champion is rolled back to. Raises NotFound."""
        return self.state(name).way_of(version)

    def open(self, name: str, proposal: Proposal) -> Outcome:
        """Record that a promotion waits for people. Raises StaleDecision as `carry_out`."""
        proposal = self._by_person(proposal)

        def decide(view: LedgerView) -> Sequence[LifecycleEvent]:
            state = Lifecycle.of(view, name)
            return decisions.decide_opening(state, self._candidate(state, proposal.version), proposal)

        return self._commit(name, decide)

    def approvers(self, name: str, proposal: Proposal) -> Mapping[str, tuple[str, ...]]:
        """Who may approve a proposal, sorted, by each role in which somebody still has to.

        Raises:
            NotPermitted: nobody may in one of the roles.
        """
        state = Lifecycle.of(self._ledger.view(), name)
        candidate = self._candidate(state, proposal.version)
        proposal = self._by_person(proposal)
        barred = involved(candidate, proposal)
        given = {(one.role, one.actor) for one in given_approvals(state, candidate, proposal)}
        found = {}
        for role in missing_roles(state, candidate, proposal):
            people = sorted(who for who, roles in self._roles.items() if role in roles and who not in barred)
            # Who fills another role already cannot fill this one too, unless there is nobody else.
            elsewhere = {who for one, who in given if one != role}
            found[role] = tuple(who for who in people if who not in elsewhere) or tuple(people)
            if not found[role]:
                raise NotPermitted(
                    f"nobody may approve {name}@{proposal.version} as {role}: give the role to somebody who "
                    "neither owns it, wrote it nor triggered it"
                )
        return found

    def expire(self, name: str, proposal: Proposal) -> Outcome:
        """Record that nobody answered a proposal in time; nothing if it does not wait any more."""
        proposal = self._by_person(proposal)
        return self._commit(name, lambda view: decisions.decide_expiry(Lifecycle.of(view, name), proposal))

    def evaluate(
        self,
        name: str,
        version: int,
        evidence: Digest,
        gates: tuple[GateResult, ...],
        actor: str,
        *,
        attach: Callable[[], object] = lambda: None,
    ) -> Outcome:
        """Record that a version was judged on new evidence.

        Args:
            attach: stores the evidence as an attachment of the version, if that was not done before. What it
                stores, or finds stored, is there when the evaluation is recorded, whatever gc does meanwhile.

        Raises:
            NotFound: the version is not registered.
            CondemnedMeanwhile, CollectionUnderWay: gc takes an attachment of the version at this moment; a
                retry succeeds.
        """
        at, who = self._clock.now(), self.actor(actor).name
        row = self._catalog.resolve(f"{name}@{version}")
        if self._collector is None:
            since = storing_from(self._ledger.view(), row.model_id)
        else:
            since = self._collector.settled(row.model_id, {"actor": who})
        attach()

        def decide(view: LedgerView) -> Sequence[LifecycleEvent]:
            require_still_stored(view, since, row.model_id)
            state = Lifecycle.of(view, name)
            candidate = self._candidate(state, version)
            return decisions.decide_evaluation(state, candidate, evidence, gates, who, at)

        return self._commit(name, decide)

    def reject(
        self, name: str, version: int, reason: str, actor: str, *, seen: Proposal | None = None
    ) -> Outcome:
        """Say no to a version on its present evidence.

        Args:
            seen: the proposal that was shown; None for things as they are now.

        Raises:
            NotPermitted: the person has none of the roles that approve.
            StaleDecision: the version is the champion, or things are not any more as they were seen.
        """
        at, who, reason = self._clock.now(), self.actor(actor), as_text("reason", reason)

        def decide(view: LedgerView) -> Sequence[LifecycleEvent]:
            state = Lifecycle.of(view, name)
            candidate = self._candidate(state, version)
            if candidate.evidence is None:
                raise InvalidInput("version", f"{name}@{version}", "evaluate it first, it has no evidence")
            if seen is not None:
                require_current(state, candidate, seen)
            return decisions.decide_rejection(state, version, candidate.evidence, who, reason, at)

        return self._commit(name, decide)

    def retire(self, name: str, version: int, reason: str, actor: str) -> Outcome:
        """Take a version out of use for good. Raises NotPermitted."""
        at, who, reason = self._clock.now(), self.actor(actor), as_text("reason", reason)

        def decide(view: LedgerView) -> Sequence[LifecycleEvent]:
            state = Lifecycle.of(view, name)
            candidate = self._candidate(state, version)
            policy = self._ask("retire", state, candidate, who, halt_of(view, state) is not None)
            return decisions.decide_retirement(state, version, who, reason, at, policy)

        return self._commit(name, decide)

    def halt(self, scope: str, reason: str, actor: str) -> Outcome:
        """Stop promotions of a name, or of every model ('*'). Raises NotPermitted."""
        at, who, reason = self._clock.now(), self.actor(actor), as_text("reason", reason)

        def decide(view: LedgerView) -> Sequence[LifecycleEvent]:
            self._require_known(view, scope)
            return decisions.decide_halt(Lifecycle.of(view, scope), who, reason, at)

        return self._commit(scope, decide)

    def resume(self, scope: str, reason: str, actor: str) -> Outcome:
        """End the halt of this scope. Raises NotPermitted."""
        at, who, reason = self._clock.now(), self.actor(actor), as_text("reason", reason)

        def decide(view: LedgerView) -> Sequence[LifecycleEvent]:
            self._require_known(view, scope)
            return decisions.decide_resumption(Lifecycle.of(view, scope), who, reason, at)

        return self._commit(scope, decide)

    def _commit(self, scope: str, decide: Callable[[LedgerView], Sequence[LifecycleEvent]]) -> Outcome:
        recorded = self._ledger.commit(decide)
        events = tuple(done.event for done in recorded if isinstance(done.event, LifecycleEvent))
        if events:
            self._ledger.checkpoint()
        return Outcome(Lifecycle.of(self._ledger.view(), scope), events)

    def _ask(
        self,
        action: PolicyAction,
        state: Lifecycle,
        candidate: Candidate,
        actor: Actor,
        halted: bool,
        *,
        automatic: bool = False,
        approvals: Sequence[ModelApprovedEvent] = (),
    ) -> Decision:
        incumbent = None if state.champion is None else self._candidate(state, state.champion)
        return self._policy.decide(
            action,
            PolicyInput(
                action=action,
                name=state.name,
                risk_tier=candidate.risk_tier,
                owner=candidate.owner,
                automatic=automatic,
                actor=PolicyActor(actor.name, tuple(actor.roles)),
                authors=tuple(candidate.authors),
                halted=halted,
                candidate=PolicyCandidate(
                    version=candidate.version,
                    as_of=candidate.as_of,
                    evidence=candidate.evidence,
                    gates=tuple(PolicyGate.of(gate) for gate in candidate.gates),
                    barred=candidate.version in state.barred,
                ),
                incumbent=None if incumbent is None else PolicyIncumbent(incumbent.version, incumbent.as_of),
                latest_champion_as_of=state.latest_champion_as_of,
                approvals=tuple(PolicyApproval(one.actor, one.role, one.evidence) for one in approvals),
            ),
        )

    def _candidate(self, state: Lifecycle, version: int) -> Candidate:
        shown = self._catalog.show(f"{state.name}@{version}")
        event, metadata = shown.event, shown.manifest.metadata
        evaluated = state.evaluated.get(version)
        made = {event.provenance[field] for field in AUTHORS if field in event.provenance}
        return Candidate(
            version=version,
            risk_tier=self._tier(state, version, metadata.risk_tier),
            owner=metadata.owner,
            as_of=event.as_of,
            evidence=_evidence_of(event) if evaluated is None else evaluated.evidence,
            gates=event.gates if evaluated is None else evaluated.gates,
            authors=self._with_all_names({metadata.owner, *made, *(name.partition("@")[0] for name in made)}),
        )

    def _tier(self, state: Lifecycle, version: int, own: RiskTier) -> RiskTier:
        """What displaces a model that needs approval needs as much, whatever it says of itself."""
        if state.champion in (None, version):
            return own
        champion = self._catalog.show(f"{state.name}@{state.champion}").manifest.metadata
        return min(own, champion.risk_tier)

    def _by_person(self, proposal: Proposal) -> Proposal:
        return replace(proposal, actor=self.actor(proposal.actor).name)

    def _with_all_names(self, names: set[str]) -> frozenset[str]:
        """These names, and all others of the same people: somebody may have acted under another before."""
        people = {self._people.get(name, name) for name in names}
        others = {name for name, person in self._people.items() if person in people}
        return frozenset(names | people | others)

    def _require_known(self, view: LedgerView, name: str) -> None:
        if name != EVERY_MODEL and next(view.versions(name, limit=1), None) is None:
            raise NotFound(f"model {name} is not registered: see veritas models list")


def _pretended(
    state: Lifecycle, proposal: Proposal, approvers: Mapping[str, Sequence[str]]
) -> Iterator[ModelApprovedEvent]:
    """An approval by everybody in every role that they may fill; rules and policy find who fills which."""
    for role, people in approvers.items():
        for person in people:
            yield ModelApprovedEvent(
                state.name, state.sequence, proposal.version, proposal.action, proposal.incumbent,
                proposal.evidence, role, proposal.reason, person, proposal.at,
            )  # fmt: skip


def _evidence_of(event: ModelRegisteredEvent) -> Digest | None:
    return next((kept.sha256 for kept in event.attachments if kept.name == EVIDENCE), None)
