"""The tasks of the monitoring pipeline: which champions are due, what is found, and that people are told."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from domain.risk.spec import ModelSpec
from veritasvault.bootstrap import bootstrap
from veritasvault.tasks.assets import DRIFTS, drift_of
from veritasvault.tasks.failures import final_failures

Reference = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Found:
    """What a monitoring found, for the tasks that follow and for whoever retrains.

    Attributes:
        as_of: the session, YYYY-MM-DD.
        reason: what drifted, in one sentence; empty if nothing did.
        retrain: whether it starts a retraining.
        index: of the ledger entry.
        report: where the page for people is.
    """

    reference: str
    as_of: str
    reason: str
    retrain: bool
    index: int
    report: str


@task
def champions(specs: list[str], **context: Any) -> list[str]:
    """The specifications of the models that have a champion, and whose schedule is not over."""
    params, application = context["params"], bootstrap()
    with final_failures():
        return [
            spec
            for spec in specs
            if params["model"] in (None, ModelSpec.load(Path(spec)).name)
            and (params["as_of"] or not _is_over(spec, context))
            and application.monitoring(Path(spec)).champion() is not None
        ]


@task(outlets=[DRIFTS])
def monitor(spec: str, **context: Any) -> Reference:
    """Compare the last sessions with those the champion was trained on; drift starts a retraining, once."""
    from domain.risk.monitoring.service import NothingNew, NotMonitored
    from domain.risk.pipeline import RunRequest
    from veritasvault.monitoring_reports import write_report

    application, run = bootstrap(), context["dag_run"]
    request = RunRequest(run.run_after, context.get("logical_date"), context["params"]["as_of"])
    person = getattr(run, "triggering_user_name", None)
    provenance = {**application.provenance(), "dag_id": run.dag_id, "run_id": run.run_id}
    with final_failures():
        monitoring = application.monitoring(Path(spec))
        champion = monitoring.champion()
        if champion is None:
            raise AirflowSkipException("it has no champion any more")
        try:
            done = monitoring.monitor(
                champion, request, {**provenance, **({"triggered_by": person} if person else {})}
            )
        except (NothingNew, NotMonitored) as error:
            raise AirflowSkipException(str(error)) from None
        page = write_report(done, application.settings.monitorings)
    outcome = done.outcome
    found = Found(
        done.reference, outcome.as_of.isoformat(), done.reason, done.retrain, done.event.index, str(page)
    )
    if found.retrain:
        told = {**asdict(found), "reason": f"drift of {found.reference}: {found.reason}"}
        context["outlet_events"][DRIFTS].add(drift_of(outcome.name), extra=told)
    return asdict(found)


@task
def require_no_drift(found: Reference) -> None:
    """Fail where there is drift, with what drifted, so that people are told as of any failure."""
    if found["reason"]:
        raise AirflowFailException(
            f"{found['reference']} drifted by {found['as_of']}: {found['reason']}; see {found['report']}"
        )


def _is_over(spec: str, context: Any) -> bool:
    """Whether the model's scheduled runs ended before the moment that this run stands for."""
    end = ModelSpec.load(Path(spec)).schedule.end
    moment = context.get("logical_date") or context["dag_run"].run_after
    return end is not None and moment.date() > end
