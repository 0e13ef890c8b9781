"""The steps of a pipeline as Airflow tasks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import XComArg, task

from domain.risk.spec import ModelSpec
from veritasvault.bootstrap import Application, bootstrap
from veritasvault.tasks.assets import REGISTERED, of_model, started_by
from veritasvault.tasks.failures import final_failures

if TYPE_CHECKING:
    from domain.risk.pipeline import ModelPipeline

Reference = dict[str, Any]


def ingest(spec: str) -> XComArg:
    """Snapshot the source and write the rows the run may see; tries again while data may still arrive."""
    wait = ModelSpec.load(Path(spec)).data.wait_hours * 3600
    retries = 3 + math.ceil(wait / bootstrap().settings.retry_seconds)
    return _ingest.override(retries=retries)(spec)


@task(task_id="ingest")
def _ingest(spec: str, **context: Any) -> Reference:
    from domain.risk.pipeline import RunRequest

    params, run = context["params"], context["dag_run"]
    request = RunRequest(
        run_after=run.run_after,
        logical_date=context.get("logical_date"),
        # What drift was found on, so that the new version knows these sessions and no later ones.
        as_of=params["as_of"] or started_by(context).get("as_of"),
        source=params["source"],
        assets=params["assets"] and tuple(params["assets"]),
    )
    with _pipeline(spec) as pipeline:
        return asdict(pipeline.ingest(request))


@task
def prepare(spec: str, rows: Reference, **context: Any) -> Reference:
    """Compute the feature set on the engine the run asks for."""
    from domain.risk.pipeline import Rows

    with _pipeline(spec) as pipeline:
        return asdict(pipeline.prepare(Rows(**rows), context["params"]["engine"]))


@task
def validate(spec: str, features: Reference, **context: Any) -> Reference:
    """Check rows and features against the expectations."""
    from domain.risk.pipeline import Features

    with _pipeline(spec) as pipeline:
        return asdict(pipeline.validate(Features(**features), context["run_id"]))


@task
def train(spec: str, features: Reference, **context: Any) -> Reference:
    """Evaluate out of sample and train the candidate."""
    from domain.risk.pipeline import Features

    with _pipeline(spec) as pipeline:
        given = {name: context["params"].get(name) for name in pipeline.parameters}
        chosen = {name: value for name, value in given.items() if value is not None}
        return asdict(pipeline.train(Features(**features), chosen))


def register(spec: str, candidate: XComArg, validation: XComArg) -> XComArg:
    """Judge the candidate and register it; events of its asset and of `REGISTERED` tell of it."""
    asset = of_model(ModelSpec.load(Path(spec)).name, Path(spec).stem)
    return _register.override(outlets=[asset, REGISTERED])(spec, candidate, validation)


@task(task_id="register")
def _register(spec: str, candidate: Reference, validation: Reference, **context: Any) -> Reference:
    from domain.risk.pipeline import Candidate, Validation

    application = bootstrap()
    with _pipeline(spec, application) as pipeline:
        registered = pipeline.register(
            Candidate(**candidate), Validation(**validation), {**application.provenance(), **_run(context)}
        )
        application.mlflow_projector.sync(everything=False)
    result = {
        "reference": f"{registered.name}@{registered.version}",
        "outcome": registered.outcome,
        "model_id": registered.model_id,
        "index": registered.index,
        "report": validation["report"],
    }
    for outlet in context["outlets"]:
        context["outlet_events"][outlet].extra = result
    return result


def _run(context: Any) -> dict[str, str]:
    run, instance = context["dag_run"], context["ti"]
    person, reason = getattr(run, "triggering_user_name", None), started_by(context).get("reason")
    return {
        **({"triggered_by": person} if person else {}),
        **({"retrain_reason": reason} if reason else {}),
        "dag_id": run.dag_id,
        "run_id": run.run_id,
        "run_type": str(getattr(run.run_type, "value", run.run_type)),
        "try_number": str(instance.try_number),
    }


@contextmanager
def _pipeline(spec: str, application: Application | None = None) -> Iterator[ModelPipeline]:
    """The pipeline of a specification; what no retry can mend fails the task for good, with its sentence."""
    with final_failures():
        yield (application or bootstrap()).pipeline(Path(spec))
