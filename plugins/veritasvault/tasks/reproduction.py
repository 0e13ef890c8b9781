"""The tasks of the reproduction pipeline: train a version again, and fail the run if it is not the same."""

from __future__ import annotations

import logging
from typing import Any

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowFailException

from veritasvault.bootstrap import bootstrap
from veritasvault.tasks.failures import final_failures

Reference = dict[str, Any]


@task
def reproduce(**context: Any) -> Reference:
    """Train the version again from its record, and say what differs; the result is in the ledger."""
    from domain.risk.reproduction.service import Request
    from veritasvault.reproduction_reports import write_report

    application, params, run = bootstrap(), context["params"], context["dag_run"]
    person = getattr(run, "triggering_user_name", None)
    provenance = {**application.provenance(), "dag_id": run.dag_id, "run_id": run.run_id}
    request = Request(
        params["reference"],
        run.run_id,
        {**provenance, **({"triggered_by": person} if person else {})},
        params["engine"],
        params["here"],
    )
    with final_failures():
        found = application.reproductions.reproduce(request, _told)
        report = write_report(found, application.settings.reproductions)
    return {
        "reference": found.record.reference,
        "reproduced": found.verdict.reproduced,
        "stage": found.verdict.stage,
        "reason": found.verdict.reason,
        "index": found.event.index,
        "report": str(report),
    }


def _told(stage: str) -> None:
    logging.getLogger(__name__).info("reproducing: %s", stage)


@task
def require_reproduced(found: Reference) -> None:
    """Fail the run if the version was not reproduced, with the stage that first differs and by how much."""
    if not found["reproduced"]:
        raise AirflowFailException(
            f"{found['reference']} was not reproduced, first different is {found['stage']}: "
            f"{found['reason']}; see {found['report']}"
        )
