"""The task of the scoring pipeline: what a champion forecasts for a session."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow.sdk import task
from airflow.sdk.exceptions import AirflowSkipException

from veritasvault.bootstrap import bootstrap
from veritasvault.tasks.failures import final_failures

Reference = dict[str, Any]


@task
def score(spec: str, **context: Any) -> Reference:
    """Forecast the run's session by the champion, and say where the forecasts are."""
    from domain.risk.pipeline import RunRequest
    from domain.risk.scoring.service import NotByRow

    params, run = context["params"], context["dag_run"]
    request = RunRequest(run.run_after, context.get("logical_date"), params["as_of"])
    since = dt.date.fromisoformat(params["since"]) if params["since"] else None
    with final_failures():
        scoring = bootstrap().scoring(Path(spec))
        champion = scoring.champion()
        if champion is None:
            raise AirflowSkipException("it has no champion any more")
        try:
            return asdict(scoring.score(champion, request, params["engine"], since))
        except NotByRow as error:
            raise AirflowSkipException(str(error)) from None
