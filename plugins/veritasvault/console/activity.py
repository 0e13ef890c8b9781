"""Routes about what happened: a model's measures and events over time, and what a run came to."""

import datetime as dt
from collections.abc import Mapping

from fastapi import APIRouter
from pydantic import BaseModel

from domain.registry.inventory.history import History, history
from domain.registry.inventory.runs import RunResult, results_of_run
from domain.registry.inventory.timeline import Happening, timeline
from domain.registry.inventory.versions import require_model
from veritasvault.console.access import RunReader, may_read_logs
from veritasvault.console.paging import Cursor, Limit, cursor_of, number_of
from veritasvault.console.registry import RegistryDep
from veritasvault.console.task_failures import Failure, failure_of

router = APIRouter()


class Point(BaseModel):
    """What a version measured out of sample, and its baselines by name."""

    version: int
    as_of: dt.date | None
    values: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]


class ChampionPeriod(BaseModel):
    """A time in which a version was champion; `until` is null while it is."""

    version: int
    since: dt.datetime
    until: dt.datetime | None
    as_of: dt.date | None


class HistoryAnswer(BaseModel):
    """Points of a page of versions, newest first, and all champions, the first one first."""

    metrics: list[str]
    points: list[Point]
    champions: list[ChampionPeriod]
    next: str | None

    @classmethod
    def of(cls, found: History) -> "HistoryAnswer":
        return cls(
            metrics=list(found.metrics),
            points=[
                Point(version=one.version, as_of=one.as_of, values=one.values, baselines=one.baselines)
                for one in found.points
            ],
            champions=[
                ChampionPeriod(
                    version=one.reign.version, since=one.reign.since, until=one.reign.until, as_of=one.as_of
                )
                for one in found.champions
            ],
            next=cursor_of(found.next),
        )


class TimelineAnswer(BaseModel):
    """A page of what happened, newest first."""

    events: list[Happening]
    next: str | None


class RunAnswer(BaseModel):
    """What a run left in the ledger, and which of its tasks failed with which sentence."""

    versions: list[RunResult]
    failure: Failure | None


@router.get("/models/{name}/history")
def measures(name: str, registry: RegistryDep, limit: Limit = 50, cursor: Cursor = None) -> HistoryAnswer:
    """A model's measures by version, and who was champion when."""
    ledger = registry.application.ledger
    return HistoryAnswer.of(history(ledger, registry.versions, name, before=number_of(cursor), limit=limit))


@router.get("/models/{name}/timeline")
def events(name: str, registry: RegistryDep, limit: Limit = 50, cursor: Cursor = None) -> TimelineAnswer:
    """What happened to a model, newest first."""
    view = registry.application.ledger.view()
    require_model(view, name)
    page = timeline(view, name, before=number_of(cursor), limit=limit)
    return TimelineAnswer(events=list(page.events), next=cursor_of(page.next))


@router.get("/runs/{dag_id}/{run_id}")
def run(dag_id: str, run_id: str, user: RunReader, registry: RegistryDep) -> RunAnswer:
    """What a run of a DAG came to."""
    results = results_of_run(registry.application.ledger.view(), dag_id, run_id)
    failure = failure_of(dag_id, run_id, with_sentence=may_read_logs(user, dag_id))
    return RunAnswer(versions=list(results), failure=failure)
