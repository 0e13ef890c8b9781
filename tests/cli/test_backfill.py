"""How far a backfill is: what is counted, how long it still takes, and which Airflow is asked."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from domain.registry.errors import InvalidInput, Unavailable
from tests.cli.console import Console
from veritasvault.airflow_local.backfill_progress import BackfillProgress, client_of, followed

BEGAN = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
NOW = BEGAN + dt.timedelta(minutes=10)


def progress(*states: str, completed_at: str | None = None, paused: bool = False) -> BackfillProgress:
    backfill = {"dag_id": "forecast", "completed_at": completed_at, "is_paused": paused}
    runs: list[dict[str, Any]] = [
        {
            "state": state,
            "dag_run_id": f"run {number}",
            "start_date": None if state == "queued" else BEGAN.isoformat(),
        }
        for number, state in enumerate(states)
    ]
    return BackfillProgress.of(backfill, runs, NOW)


def test_runs_are_counted_by_what_became_of_them() -> None:
    found = progress("success", "failed", "success", "running", "queued", "failed")
    assert (found.done, found.total, found.succeeded, found.running, found.queued) == (4, 6, 2, 1, 1)
    assert found.failed == ("run 1", "run 5")
    assert not found.ended


def test_the_time_left_is_that_of_the_runs_so_far() -> None:
    """Four runs in ten minutes leave five minutes for two; without one that is done nobody knows."""
    assert progress(*["success"] * 4, "running", "queued").seconds_left == 300
    assert progress("running", "queued").seconds_left is None
    assert progress("success", "success").seconds_left == 0


def test_a_backfill_has_ended_when_all_its_runs_have_or_airflow_says_so() -> None:
    """Airflow notices some time after the last run; one that was cancelled has no more to do."""
    assert progress("success", "failed").ended
    assert progress(completed_at="2026-01-05T12:01:00Z").ended
    assert progress("success", "queued", completed_at="2026-01-05T12:01:00Z").ended
    assert not progress().ended
    assert not progress("success", "queued", paused=True).ended


def answers(*given: BackfillProgress | Exception) -> Callable[[], BackfillProgress]:
    """What gives the answers of a server, one after the other."""
    left = iter(given)

    def ask() -> BackfillProgress:
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_who_follows_a_backfill_bears_with_a_busy_server_and_not_with_one_that_refuses_from_the_start() -> (
    None
):
    busy, on, ended = Unavailable("timed out"), progress("success", "running"), progress("success")
    slow = Unavailable("no answer")
    slow.__cause__ = httpx.ReadTimeout("timed out")
    assert list(followed(answers(on, busy, busy, on, busy, ended), poll=0)) == [on, on, ended]
    assert list(followed(answers(slow, slow, ended), poll=0)) == [ended]
    with pytest.raises(Unavailable, match="timed out"):
        list(followed(answers(busy), poll=0))
    with pytest.raises(Unavailable, match="timed out"):
        list(followed(answers(on, busy), poll=0, patience=0))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, r"AIRFLOW__API__BASE_URL is None: source the file that `make up` names"),
        (
            {"AIRFLOW__API__BASE_URL": "http://u:p@host:8080"},
            "AIRFLOW__API__BASE_URL .*take user and password",
        ),
        ({"AIRFLOW__API__BASE_URL": "http://host:8080"}, "AIRFLOW_CLI_TOKEN is None: give a token"),
    ],
)
def test_what_is_missing_to_ask_airflow_is_named(settings: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        client_of(settings)


def test_passwords_that_cannot_be_read_are_named_by_their_file(tmp_path: Path) -> None:
    name = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"
    settings = {"AIRFLOW__API__BASE_URL": "http://host:8080", name: str(tmp_path / "passwords.json")}
    for content in (None, "{", json.dumps({"somebody": "else"})):
        if content is not None:
            (tmp_path / "passwords.json").write_text(content)
        with pytest.raises(InvalidInput, match=f"{name} .*or set AIRFLOW_CLI_TOKEN"):
            client_of(settings)


def test_a_server_that_does_not_answer_is_one_sentence_without_the_token(empty: Console) -> None:
    settings = {"AIRFLOW__API__BASE_URL": "http://127.0.0.1:1", "AIRFLOW_CLI_TOKEN": "a-secret"}
    asking = Console(empty.home, empty.directory, settings)
    answer = asking.run("backfill", "watch", "3", code=1)
    assert answer.sentence.startswith("GET http://127.0.0.1:1/api/v2/backfills/3 failed")
    assert "a-secret" not in answer.err
