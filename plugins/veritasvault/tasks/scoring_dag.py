"""Turns a function that scores champions into an Airflow DAG with a form."""

from __future__ import annotations

import datetime as dt
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain.risk.spec import ModelSpec
from veritasvault.bootstrap import ENGINES, bootstrap
from veritasvault.tasks.alerts import alerts
from veritasvault.tasks.dags import day_param, default_args, model_param

if TYPE_CHECKING:
    from airflow.sdk import DAG


def model_scoring(compose: Callable[[list[str]], Any]) -> DAG:
    """Decorate a function that scores champions, given the paths of all specifications beside its file.

    It runs daily, and tries again for as long as a session's data may still arrive.
    """
    from airflow.sdk import Param, dag

    paths = sorted(Path(inspect.getfile(compose)).parent.glob("*.toml"))
    specs = [ModelSpec.load(path) for path in paths]
    wait = max((spec.data.wait_hours * 3600 for spec in specs), default=0.0)
    args = default_args()
    retries = args["retries"] + math.ceil(wait / bootstrap().settings.retry_seconds)

    @dag(
        dag_id=compose.__name__,
        description="Writes what champions forecast for the last session.",
        doc_md=inspect.getdoc(compose),
        params={
            "model": model_param(
                (spec.name for spec in specs),
                "Forecasts of this model's champion alone. Empty: of all models'.",
            ),
            "as_of": day_param(
                "As-of date", "The session to forecast on. Empty: that of the run's logical date, or now."
            ),
            "since": day_param(
                "Since", "Forecast on every session from this day on, too. Empty: on the one session."
            ),
            "engine": Param(
                ENGINES[0],
                type="string",
                enum=list(ENGINES),
                title="Engine",
                description="What distributes the work. Every engine gives the same bytes.",
            ),
        },
        schedule="@daily",
        start_date=dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        catchup=False,
        default_args={**args, "retries": retries, "on_failure_callback": alerts()},
        tags=["scoring"],
    )
    def pipeline() -> None:
        compose([str(path) for path in paths])

    return pipeline()
