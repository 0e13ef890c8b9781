"""The tasks of the promotion pipeline: what is due, what people are asked, and what becomes of it."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from domain.registry.errors import NotPermitted
from domain.risk.spec import ModelSpec
from veritasvault.bootstrap import Application, bootstrap
from veritasvault.tasks.failures import final_failures

if TYPE_CHECKING:
    from airflow.sdk import XComArg

    from domain.risk.promotion import Promotions

Reference = dict[str, Any]
SHOWN = "shown"
"""Key of the result in which a task that asks keeps what people were shown."""


@task
def challenged(specs: list[str], **context: Any) -> list[str]:
    """The specifications of the models whose challenger has something to be decided."""
    only, application = context["params"]["model"], bootstrap()
    wanted = [spec for spec in specs if only in (None, ModelSpec.load(Path(spec)).name)]
    with final_failures():
        return [spec for spec in wanted if _promotions(spec, application).due(again=only is not None)]


@task
def review(spec: str, **context: Any) -> Reference:
    """Compare the challenger with the champion on the same sessions, and propose it."""
    application = bootstrap()
    person = getattr(context["dag_run"], "triggering_user_name", None) or application.person
    # A try that failed may have proposed already: people have to be asked all the same.
    again = context["params"]["model"] is not None or context["ti"].try_number > 1
    with final_failures():
        try:
            found = _promotions(spec, application).review(person, again=again)
        except NotPermitted as error:
            if application.roles:
                raise
            # Nobody has set up who decides yet: not a failure, and nothing to be decided either.
            raise AirflowSkipException(f"{error}, in {application.settings.roles}") from None
    if found is None:
        raise AirflowSkipException("another run has done what there was to do")
    return asdict(found)


@task(trigger_rule="none_failed_min_one_success")
def promote(review: Reference) -> Reference:
    """Put the challenger in the champion's place, if nothing stands against it."""
    from domain.risk.promotion import Review

    application, asked = bootstrap(), Review(**review)
    with final_failures():
        # Airflow skips what follows a rejection, but not within a mapped group.
        if application.lifecycle.state(asked.name).was_rejected(asked.version, asked.proposal.evidence):
            raise AirflowSkipException(f"{asked.name}@{asked.version} was rejected")
        proposal = replace(asked.proposal, at=application.clock.now())
        outcome = application.lifecycle.carry_out(asked.name, proposal)
        application.mlflow_projector.sync(everything=False)
    return {
        "champion": outcome.state.champion,
        "events": [event.KIND for event in outcome.events],
        "reasons": list(outcome.reasons),
    }


class Approval(ApprovalOperator):  # type: ignore[misc]
    """Waits, holding no slot, until somebody who may approves or rejects; the answer goes into the ledger.

    Only those can answer who have the role and had no part in the version; the domain checks it again.
    Skipped where the proposal needs no approval in this role.
    """

    template_fields = (*ApprovalOperator.template_fields, "review")

    def __init__(self, *, role: str, review: XComArg, **settings: Any) -> None:
        """Ask for the approval of a `Review` in a role."""
        super().__init__(subject="", **settings)
        self.role = role
        self.review: Any = review

    def execute(self, context: Any) -> Any:
        from domain.risk.promotion import Review

        application, asked = bootstrap(), Review(**self.review)
        if self.role not in asked.approvers:
            raise AirflowSkipException(f"it needs no approval as {self.role}")
        with final_failures():
            # Asked anew at each try: somebody may have decided meanwhile.
            if not application.lifecycle.is_waiting(asked.name, asked.proposal):
                raise AirflowSkipException(f"{asked.name}@{asked.version} was decided on or overtaken")
            people = application.lifecycle.approvers(asked.name, asked.proposal).get(self.role)
        if people is None:
            raise AirflowSkipException(f"{asked.name}@{asked.version} is approved as {self.role} already")
        # What people are shown is what their answer counts for, whatever becomes of the other task's result.
        context["ti"].xcom_push(SHOWN, self.review)
        self.subject, self.body = asked.subject, asked.body
        self.assigned_users = [{"id": name, "name": name} for name in people]
        self.response_timeout = dt.timedelta(hours=asked.hours)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        instance = context["ti"]
        self.review = instance.xcom_pull(instance.task_id, key=SHOWN, map_indexes=instance.map_index)
        if "error" not in event:
            self._record(event["chosen_options"][0], event["responded_by_user"]["id"], event["responded_at"])
        return super().execute_complete(context, event)

    def process_trigger_event_error(self, event: dict[str, Any]) -> None:
        from domain.risk.promotion import Review

        if event["error_type"] == "timeout":
            application, asked = bootstrap(), Review(**self.review)
            reason = f"nobody answered as {self.role} within {asked.hours:g} hours"
            with final_failures():
                expired = asked.answered_by(application.person, reason, application.clock.now())
                application.lifecycle.expire(asked.name, expired)
            # A retry would ask again.
            raise AirflowFailException(reason)
        super().process_trigger_event_error(event)

    def _record(self, answer: str, person: str, at: dt.datetime) -> None:
        from domain.risk.promotion import Review

        application, asked = bootstrap(), Review(**self.review)
        reason = f"answered {answer} in Airflow"
        with final_failures():
            answered = asked.answered_by(person, reason, at)
            if answer == self.APPROVE:
                application.lifecycle.approve(asked.name, answered, self.role)
            else:
                application.lifecycle.reject(asked.name, asked.version, reason, person, seen=answered)


def approval(role: str, review: XComArg) -> Approval:
    """The task that asks for an approval in a role; its id is the role."""
    return Approval(task_id=role, role=role, review=review)


def _promotions(spec: str, application: Application) -> Promotions:
    from domain.risk.promotion import Promotions

    return Promotions(ModelSpec.load(Path(spec)), application)
