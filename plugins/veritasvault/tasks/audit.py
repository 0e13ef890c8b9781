"""The task of the audit: verify the registry, record and witness it, and fail loudly if something differs."""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import task

from domain.registry.errors import IntegrityError
from veritasvault.bootstrap import Application, bootstrap
from veritasvault.tasks.failures import final_failures

if TYPE_CHECKING:
    from domain.registry.daily_audit import DailyAuditReport

_LOG = logging.getLogger(__name__)
Reference = dict[str, Any]


@task
def audit(**context: Any) -> Reference:
    """Verify the ledger and today's share of the stored models; the run's day decides whose turn it is."""
    application, run = bootstrap(), context["dag_run"]
    moment = context.get("logical_date") or run.run_after
    provenance = {**application.provenance(), "dag_id": run.dag_id, "run_id": run.run_id}
    with final_failures():
        report = application.daily_audit.run(moment.astimezone(dt.UTC).date(), provenance)
        _tell(report)
        measure(application, verified=report.found.verified)
        report.require_verified()
    return {
        "index": report.index,
        "entries": report.found.entries,
        "versions": report.found.versions,
        "read": len(report.found.read),
        "witnesses": list(report.witnesses),
    }


def _tell(report: DailyAuditReport) -> None:
    found = report.found
    for problem in found.problems:
        _LOG.error("%s", problem)
    _LOG.info("%d entries verified, %d of %d versions read", found.entries, len(found.read), found.versions)
    if report.index is None:
        why = "the ledger is empty" if found.ledger_verified else "the ledger is not what it should be"
        _LOG.warning("nothing was recorded, signed or witnessed: %s", why)
    elif not report.witnesses:
        _LOG.warning("no witness has this checkpoint: VERITAS_WITNESSES names none")
    for place in report.witnesses:
        _LOG.info("%s has the checkpoint", place)


def measure(application: Application, *, verified: bool) -> None:
    """Hand the figures of `veritas metrics` to whatever Airflow's own metrics go to."""
    from airflow.sdk.observability.stats import Stats

    try:
        for gauge in application.gauges():
            Stats.gauge(f"veritas.{gauge.name}", gauge.value, tags=dict(gauge.labels))
    except IntegrityError as error:
        _LOG.warning("figures on champions are missing: %s", error)
    # What is recorded is older, where nothing could be recorded now.
    Stats.gauge("veritas.audit_verified", int(verified))
