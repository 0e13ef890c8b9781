"""Which task of a run failed, and with which sentence, by Airflow's own records."""

from __future__ import annotations

from typing import Any

from airflow.models.taskinstance import TaskInstance
from airflow.utils.log.log_reader import TaskLogReader
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from domain.registry.redaction import redacted

_NO_SENTENCE = "see the task's log in Airflow"
_LONGEST = 2000


class Failure(BaseModel):
    """The task that failed first, and the sentence that it ended with."""

    task: str
    sentence: str


def failure_of(dag_id: str, run_id: str, *, with_sentence: bool) -> Failure | None:
    """The first failure of a run; None if none of its tasks failed, or there is no such run.

    Args:
        with_sentence: whether to read the task's log, which is not for everybody.
    """
    wanted = (
        select(TaskInstance)
        .where(
            TaskInstance.dag_id == dag_id,
            TaskInstance.run_id == run_id,
            TaskInstance.state == TaskInstanceState.FAILED,
        )
        .options(joinedload(TaskInstance.dag_run), joinedload(TaskInstance.dag_model))
        .order_by(TaskInstance.end_date)
        .limit(1)
    )
    with create_session() as session:
        failed = session.scalar(wanted)
        if failed is None:
            return None
        sentence = _last_error(failed) if with_sentence else None
        return Failure(task=failed.task_id, sentence=sentence or _NO_SENTENCE)


def _last_error(failed: Any) -> str | None:
    """What the last exception in a task's log said; None if there is no log, or no exception in it."""
    reader = TaskLogReader()
    if not reader.supports_read:
        return None
    messages, _ = reader.read_log_chunks(failed, failed.try_number, {"download_logs": True})
    said = None
    for message in messages:
        for raised in getattr(message, "error_detail", None) or ():
            said = raised.get("exc_value") or said
    return None if said is None else redacted(str(said))[:_LONGEST]
