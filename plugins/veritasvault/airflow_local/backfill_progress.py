"""How far a backfill is, by Airflow's REST API, and which Airflow a shell talks to."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from domain.registry.errors import InvalidInput, Unavailable
from veritasvault.airflow_local.client import FINAL_STATES, AirflowClient
from veritasvault.airflow_local.environment import USER
from veritasvault.setting_values import as_open

URL, TOKEN = "AIRFLOW__API__BASE_URL", "AIRFLOW_CLI_TOKEN"
_PASSWORDS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """The runs of a backfill by what became of them.

    Airflow does not say which backfill made a run; these are the backfilled runs of the DAG between the
    backfill's dates, and of one DAG Airflow lets one backfill at a time go on.

    Attributes:
        failed: ids of the runs that failed, in the order of their dates.
        queued: runs that have not begun.
        seconds_left: at the pace of the runs that are done; None until one is, 0 at the end.
    """

    dag_id: str
    succeeded: int
    failed: tuple[str, ...]
    running: int
    queued: int
    paused: bool
    ended: bool
    seconds_left: float | None

    @property
    def total(self) -> int:
        return self.done + self.running + self.queued

    @property
    def done(self) -> int:
        return self.succeeded + len(self.failed)

    @classmethod
    def of(cls, backfill: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], now: dt.datetime) -> Self:
        """From what the API says of a backfill and of its runs."""
        states = Counter(run["state"] for run in runs)
        done = sum(states[state] for state in FINAL_STATES)
        ended = backfill["completed_at"] is not None or (bool(runs) and done == len(runs))
        begun = [dt.datetime.fromisoformat(run["start_date"]) for run in runs if run["start_date"]]
        left = None
        if ended:
            left = 0.0
        elif done:
            left = (now - min(begun, default=now)).total_seconds() / done * (len(runs) - done)
        failed = sorted(run["dag_run_id"] for run in runs if run["state"] == "failed")
        return cls(
            dag_id=backfill["dag_id"],
            succeeded=states["success"],
            failed=tuple(failed),
            running=states["running"],
            queued=len(runs) - done - states["running"],
            paused=backfill["is_paused"],
            ended=ended,
            seconds_left=left,
        )


def progress_of(client: AirflowClient, backfill_id: int) -> BackfillProgress:
    """Ask Airflow.

    Raises:
        NotFound: it has no such backfill.
        Unavailable: it does not answer, or not to who asks.
    """
    backfill = client.backfill(backfill_id)
    runs = client.runs(
        backfill["dag_id"],
        run_type="backfill",
        logical_date_gte=backfill["from_date"],
        logical_date_lte=backfill["to_date"],
    )
    return BackfillProgress.of(backfill, runs, dt.datetime.now(dt.UTC))


def followed(
    ask: Callable[[], BackfillProgress], *, patience: float = 300.0, poll: float = 2.0
) -> Iterator[BackfillProgress]:
    """What a backfill's progress is, again and again until it has ended.

    Args:
        ask: see `progress_of`; a refusal of the first call is raised.
        patience: seconds for which a server may give no answer, as a busy one does.
        poll: seconds between two questions.

    Raises:
        Unavailable: it gave none for longer.
    """
    import httpx

    found, answered = None, time.monotonic()
    while found is None or not found.ended:
        try:
            found = ask()
        except Unavailable as error:
            refused = found is None and not isinstance(error.__cause__, httpx.TimeoutException)
            if refused or time.monotonic() - answered > patience:
                raise
        else:
            answered = time.monotonic()
            yield found
            if found.ended:
                return
        time.sleep(poll)


def client_of(environment: Mapping[str, str]) -> AirflowClient:
    """The Airflow that a shell's `airflow` command talks to, by Airflow's own variables.

    Raises:
        InvalidInput: a variable is missing; names it.
    """
    url = as_open(URL, environment.get(URL), TOKEN)
    if url is None:
        raise InvalidInput(URL, None, "source the file that `make up` names, or give the API server's URL")
    token = environment.get(TOKEN)
    if token:
        return AirflowClient(url.rstrip("/"), token=token)
    file = environment.get(_PASSWORDS)
    if not file:
        raise InvalidInput(TOKEN, None, "give a token of the API server")
    try:
        password = json.loads(Path(file).read_bytes())[USER]
    except (OSError, ValueError, KeyError) as error:
        remedy = f"name a file with the password of {USER}, or set {TOKEN}"
        raise InvalidInput(_PASSWORDS, file, remedy) from error
    return AirflowClient(url.rstrip("/"), USER, password)
