"""Airflow's REST API, as far as starting, watching and repeating runs needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from domain.registry.errors import NotFound, Unavailable

FINAL_STATES = frozenset({"success", "failed"})

T = TypeVar("T")

_POLL = 0.2
_PAGE = 100


class AirflowClient:
    """A user's session with one API server.

    Every method raises `NotFound` for what Airflow does not know and `Unavailable` for any other refusal.
    """

    def __init__(self, url: str, user: str = "", password: str = "", *, token: str | None = None) -> None:
        """Give the server's URL without a path, and who asks: a user with a password, or a bearer token."""
        import httpx

        self.url = url
        self._login = None if token else {"username": user, "password": password}
        # An address that we log in to is on loopback: a proxy of the environment is not for it.
        self._http = httpx.Client(base_url=url, timeout=60, trust_env=token is not None)
        self._token = token

    def close(self) -> None:
        self._http.close()

    def health(self) -> dict[str, str]:
        """The state of each component, such as {"scheduler": "healthy", …}; empty while nobody answers."""
        import httpx

        try:
            answer = self._http.get("/api/v2/monitor/health", timeout=5)
            answer.raise_for_status()
        except httpx.HTTPError:
            return {}
        return {name: str(part["status"]) for name, part in answer.json().items()}

    def dags(self) -> dict[str, bool]:
        """Every DAG that was read, and whether it is paused."""
        return {dag["dag_id"]: dag["is_paused"] for dag in self.all("/api/v2/dags", "dags")}

    def import_errors(self) -> dict[str, str]:
        """DAG files that could not be read, each with its traceback."""
        rows = self.all("/api/v2/importErrors", "import_errors")
        return {row["filename"]: row["stack_trace"] for row in rows}

    def trigger(
        self,
        dag_id: str,
        params: Mapping[str, object] | None = None,
        logical_date: str | None = None,
        run_id: str | None = None,
    ) -> str:
        """Start a manual run and return its id; `logical_date` is ISO 8601 with a zone, or None for none."""
        body: dict[str, object] = {"logical_date": logical_date, "conf": dict(params or {})}
        if run_id is not None:
            body["dag_run_id"] = run_id
        run = self.ask("POST", f"/api/v2/dags/{dag_id}/dagRuns", json=body)
        return str(run["dag_run_id"])

    def run(self, dag_id: str, run_id: str) -> dict[str, Any]:
        return self.ask("GET", f"/api/v2/dags/{dag_id}/dagRuns/{run_id}")

    def runs(self, dag_id: str, **filters: str) -> list[dict[str, Any]]:
        """All runs of a DAG in the order of ids; filters such as run_type="backfill"."""
        return self.all(f"/api/v2/dags/{dag_id}/dagRuns", "dag_runs", order_by="id", **filters)

    def wait(self, dag_id: str, run_id: str, seconds: float = 300) -> str:
        """Wait until a run has ended and return its state, "success" or "failed".

        Raises:
            Unavailable: it is still going on after `seconds`.
        """

        def ended() -> str | None:
            state = str(self.run(dag_id, run_id)["state"])
            return state if state in FINAL_STATES else None

        return _poll(ended, seconds, f"run {run_id} of {dag_id}")

    def wait_for_backfill(self, backfill_id: int, seconds: float = 600) -> None:
        """Wait until a backfill has no more runs to do.

        Raises:
            Unavailable: it is still going on after `seconds`.
        """

        def ended() -> bool | None:
            return self.backfill(backfill_id)["completed_at"] is not None or None

        _poll(ended, seconds, f"backfill {backfill_id}")

    def backfill(self, backfill_id: int) -> dict[str, Any]:
        return self.ask("GET", f"/api/v2/backfills/{backfill_id}")

    def backfills(self, dag_id: str) -> list[dict[str, Any]]:
        return self.all("/api/v2/backfills", "backfills", dag_id=dag_id)

    def tasks(self, dag_id: str, run_id: str) -> dict[str, dict[str, Any]]:
        """Task instances of a run by task id; of a mapped task the last one."""
        rows = self.all(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances")
        return {row["task_id"]: row for row in rows}

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """What a try of a task logged, one event a line."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        events = self.ask("GET", path, headers={"Accept": "application/json"})["content"]
        return "\n".join(event if isinstance(event, str) else _line(event) for event in events)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """What a task returned."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.ask("GET", path, params={"deserialize": "true"})["value"]

    def clear(self, dag_id: str, run_id: str, task_ids: Sequence[str], *, downstream: bool = False) -> None:
        """Have tasks of a run done again, whatever came of them."""
        body = {
            "dry_run": False,
            "dag_run_id": run_id,
            "task_ids": list(task_ids),
            "only_failed": False,
            "include_downstream": downstream,
            "reset_dag_runs": True,
        }
        self.ask("POST", f"/api/v2/dags/{dag_id}/clearTaskInstances", json=body)

    def pause(self, dag_id: str, paused: bool) -> None:
        self.ask("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": paused})

    def all(self, path: str, field: str, **params: str) -> list[dict[str, Any]]:
        """Every row of a paged answer, which holds them in `field`."""
        rows: list[dict[str, Any]] = []
        while True:
            page = self.ask("GET", path, params={**params, "limit": _PAGE, "offset": len(rows)})
            rows += page[field]
            if not page[field] or len(rows) >= page["total_entries"]:
                return rows

    def ask(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """Send a request as the user and return the JSON object of the answer."""
        import httpx

        try:
            answer = self._http.request(method, path, **self._signed(request))
            if answer.status_code == httpx.codes.UNAUTHORIZED and self._login is not None:
                self._token = None
                answer = self._http.request(method, path, **self._signed(request))
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            message = f"{method} {path} gave {error.response.status_code}: {error.response.text[:500]}"
            kind = NotFound if error.response.status_code == httpx.codes.NOT_FOUND else Unavailable
            raise kind(message) from error
        except httpx.HTTPError as error:
            raise Unavailable(f"{method} {self.url}{path} failed: {error!r}") from error
        return dict(answer.json()) if answer.content else {}

    def _signed(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._token is None:
            answer = self._http.post("/auth/token", json=self._login)
            answer.raise_for_status()
            self._token = str(answer.json()["access_token"])
        headers = {**request.get("headers", {}), "Authorization": f"Bearer {self._token}"}
        return {**request, "headers": headers}


def _line(event: Mapping[str, Any]) -> str:
    """A structured log event as text: its message, then what else it carries."""
    rest = {key: value for key, value in event.items() if key not in {"event", "timestamp"} and value}
    return f"{event.get('event', '')} {rest}" if rest else str(event.get("event", ""))


def _poll(attempt: Callable[[], T | None], seconds: float, what: str) -> T:
    deadline = time.monotonic() + seconds
    while (found := attempt()) is None:
        if time.monotonic() > deadline:
            raise Unavailable(f"{what} is still going on after {seconds:g} s: look at its logs")
        time.sleep(_POLL)
    return found
