"""The promotion pipeline on Airflow's own scheduler: who is asked, who may answer, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from domain.registry.errors import NotFound, Unavailable
from domain.registry.events.lifecycle import (
    ApprovalExpiredEvent,
    LifecycleEvent,
    ModelApprovedEvent,
    ModelPromotedEvent,
    ModelRejectedEvent,
    PromotionProposedEvent,
)
from tests.airflow.platform import running_airflow
from tests.places import open_to_others
from veritasvault.airflow_local.client import AirflowClient
from veritasvault.airflow_local.environment import passwords
from veritasvault.airflow_local.supervisor import LocalAirflow
from veritasvault.bootstrap import Application, bootstrap

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(2400)]

DAGS = Path(__file__).parents[2] / "dags"
FORECAST, HIGH_TIER, PROMOTE = "volatility_forecast", "margin_forecast", "promote_model"
PEOPLE = {"viewer": "viewer", "olga": "op", "vera": "op", "tim": "op", "quant-research": "op"}
ROLES = """[roles]
risk_officer = ["olga", "tim", "quant-research"]
model_validator = ["vera"]
"""
HIGH_TIER_TABLES = """[promotion]
answer_hours = 0.025
[card]
assumptions = "Volatility clusters."
alternatives = "GARCH."
"""
PATIENCE = 600.0


@dataclass(frozen=True)
class Platform:
    """A running Airflow with people in it, and the registry that its tasks write to."""

    airflow: LocalAirflow
    environment: dict[str, str]

    @property
    def registry(self) -> Application:
        return bootstrap(self.environment)

    def champion(self, name: str = FORECAST) -> int | None:
        try:
            return self.registry.lifecycle.state(name).champion
        except NotFound:
            return None

    def events(self, kind: type[LifecycleEvent], name: str = FORECAST) -> list[Any]:
        found = (one.event for one in self.registry.ledger.view().lifecycle(name))
        return [event for event in found if isinstance(event, kind)]

    def as_(self, person: str) -> closing[AirflowClient]:
        """The REST API as this person."""
        password = passwords(self.airflow.environment)[person]
        return closing(AirflowClient(self.airflow.url, person, password))

    def register(self, as_of: str, dag_id: str = FORECAST, person: str = "tim") -> None:
        """A manual run by a person registers a version."""
        params = {"as_of": as_of, "engine": "inline", "assets": ["AAPL", "KO", "XOM"]}
        with self.as_(person) as api:
            run_id = api.trigger(dag_id, params)
        assert self.airflow.client.wait(dag_id, run_id, PATIENCE) == "success", self.logs(dag_id, run_id)

    def logs(self, dag_id: str, run_id: str) -> str:
        """What the failed tasks of a run logged."""
        tasks = self.airflow.client.tasks(dag_id, run_id)
        failed = {name: task["try_number"] for name, task in tasks.items() if task["state"] == "failed"}
        return "\n".join(
            self.airflow.client.log(dag_id, run_id, name, number) for name, number in failed.items()
        )

    def has_no_slot_in_use(self) -> bool | None:
        pool = self.airflow.client.ask("GET", "/api/v2/pools/default_pool")
        return pool["running_slots"] + pool["queued_slots"] == 0 or None

    def asked(self, role: str, name: str = FORECAST) -> Asked:
        """The task that waits for people in a role, about the newest proposal of a name."""

        def find() -> Asked | None:
            rows = self.airflow.client.all(
                f"/api/v2/dags/{PROMOTE}/dagRuns/~/hitlDetails", "hitl_details", response_received="false"
            )
            for row in rows:
                task = row["task_instance"]
                waits = task["state"] == "awaiting_input" and task["task_id"] == f"decision.{role}"
                if waits and f"{name}@" in row["subject"]:
                    return Asked(self, task["dag_run_id"], role, task["map_index"], row)
            return None

        return until(find, f"somebody is asked as {role} about {name}")


@dataclass(frozen=True)
class Asked:
    """A task that waits for an answer."""

    platform: Platform
    run_id: str
    role: str
    map_index: int
    detail: dict[str, Any]

    def answered_by(self, person: str, choice: str = "Approve") -> int:
        """Answer as a person; the status code, once the task has taken up what was accepted."""
        status = self._answer(person, choice)
        if status == 200:
            until(lambda: self._is_over(person, choice), f"the answer of {person} is taken up")
        return status

    def _is_over(self, person: str, choice: str) -> bool | None:
        """A busy Airflow may lose a task that is answered at once, and then asks again."""
        state = self.states().get(self.role)
        if state == "awaiting_input":
            self._answer(person, choice)
        return state in ("success", "failed", "skipped", "upstream_failed") or None

    def _answer(self, person: str, choice: str) -> int:
        path = (
            f"/api/v2/dags/{PROMOTE}/dagRuns/{self.run_id}/taskInstances/decision.{self.role}/"
            f"{self.map_index}/hitlDetails"
        )
        try:
            with self.platform.as_(person) as api:
                api.ask("PATCH", path, json={"chosen_options": [choice]})
        except Unavailable as refusal:
            return int(str(refusal).partition(" gave ")[2][:3])
        return 200

    def ended(self) -> str:
        """The state the run ended in; if it does not, the states of its tasks are told."""
        try:
            return self.platform.airflow.client.wait(PROMOTE, self.run_id, PATIENCE)
        except Unavailable as error:
            raise AssertionError(f"{error}, its tasks are {self.states()}") from error

    def states(self) -> dict[str, str]:
        """The state of each task of the decision, by its role or step."""
        path = f"/api/v2/dags/{PROMOTE}/dagRuns/{self.run_id}/taskInstances"
        rows = self.platform.airflow.client.all(path, "task_instances")
        return {
            row["task_id"].removeprefix("decision."): row["state"]
            for row in rows
            if row["map_index"] == self.map_index
        }


@pytest.fixture(scope="module")
def platform(postgres_url: Callable[[], str]) -> Iterator[Platform]:
    """The project's DAGs, and a copy of the forecast in the highest tier with little time to answer."""
    with open_to_others() as directory:
        dags, roles = directory / "dags", directory / "roles.toml"
        dags.mkdir()
        for path in DAGS.glob("*.*"):
            (dags / path.name).write_bytes(path.read_bytes())
        for path in DAGS.glob(f"{FORECAST}.*"):
            copy = path.read_text().replace(FORECAST, HIGH_TIER).replace("risk_tier = 2", "risk_tier = 1")
            copy = copy.replace("[card]\n", HIGH_TIER_TABLES)
            (dags / path.name.replace(FORECAST, HIGH_TIER)).write_text(copy)
        roles.write_text(ROLES)
        users = ",".join(f"{name}:{role}" for name, role in {"admin": "admin", **PEOPLE}.items())
        settings = {
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": users,
            "VERITAS_LEDGER": postgres_url(),
            "VERITAS_ROLES": str(roles),
        }
        with running_airflow(directory, dags, settings) as (airflow, environment):
            yield Platform(airflow, environment)


def test_a_challenger_becomes_champion_when_the_right_person_approves(platform: Platform) -> None:
    """Asked by the registration's asset event; nobody else can answer, nobody twice; MLflow follows."""
    platform.register("2022-12-20")
    asked = platform.asked("risk_officer")
    assert asked.detail["assigned_users"] == [{"id": "olga", "name": "olga"}]
    until(platform.has_no_slot_in_use, "waiting for people holds no slot")
    assert platform.champion() is None
    others = {name: asked.answered_by(name) for name in ("viewer", "admin", "tim", "quant-research", "vera")}
    assert others == dict.fromkeys(others, 403)
    assert platform.events(ModelApprovedEvent) == []
    assert asked.answered_by("olga") == 200
    assert asked.answered_by("olga") == 409
    assert asked.ended() == "success", platform.logs(PROMOTE, asked.run_id)
    assert platform.champion() == 1
    (approved,) = platform.events(ModelApprovedEvent)
    (promoted,) = platform.events(ModelPromotedEvent)
    assert (approved.actor, approved.role, promoted.approvals) == (
        "olga",
        "risk_officer",
        (approved.sequence,),
    )
    assert asked.detail["body"].count(approved.evidence) == 1
    assert in_use_according_to_mlflow(platform) == "1"


def test_a_newer_version_is_compared_and_displaces_the_champion(platform: Platform) -> None:
    """People see both on the same sessions; what loads as the champion from MLflow is the new one."""
    require_champion(platform, 1)
    platform.register("2022-12-21")
    asked = platform.asked("risk_officer")
    assert "instead of version 1" in asked.detail["subject"]
    assert "no worse than the champion's" in asked.detail["body"]
    assert platform.champion() == 1
    assert asked.answered_by("olga") == 200
    assert asked.ended() == "success", platform.logs(PROMOTE, asked.run_id)
    assert asked.states()["model_validator"] == "skipped"
    assert platform.champion() == 2
    assert in_use_according_to_mlflow(platform) == "2"


def test_a_backfill_over_earlier_dates_displaces_nobody(platform: Platform) -> None:
    """Its versions are registered and looked at; nobody is asked, and the champion stays."""
    require_champion(platform, 2)
    before = len(platform.events(PromotionProposedEvent))
    conf = '{"engine": "inline", "assets": ["AAPL", "KO", "XOM"]}'
    states = platform.airflow.backfill(FORECAST, "2022-12-14", "2022-12-16", "--dag-run-conf", conf)
    assert sorted(states.values()) == ["success"] * 3
    registered = list(platform.registry.catalog.versions(FORECAST))
    assert len(registered) >= 5
    run_id = platform.airflow.client.trigger(PROMOTE)
    assert platform.airflow.client.wait(PROMOTE, run_id, PATIENCE) == "success"
    assert platform.airflow.client.xcom(PROMOTE, run_id, "challenged") == []
    assert len(platform.events(PromotionProposedEvent)) == before
    assert platform.champion() == 2


def test_a_rejection_is_in_the_ledger_and_promotes_nothing(platform: Platform) -> None:
    require_champion(platform, 2)
    platform.register("2022-12-22")
    asked = platform.asked("risk_officer")
    assert asked.answered_by("olga", "Reject") == 200
    assert asked.ended() == "success", platform.logs(PROMOTE, asked.run_id)
    assert asked.states()["promote"] == "skipped"
    (rejected,) = platform.events(ModelRejectedEvent)
    assert (rejected.actor, platform.champion()) == ("olga", 2)


def test_the_highest_tier_waits_for_two_people_and_not_for_ever(platform: Platform) -> None:
    """One approves in time, the other does not: the approval stays, the proposal expires, the run says so."""
    platform.register("2022-12-20", HIGH_TIER)
    officer = platform.asked("risk_officer", HIGH_TIER)
    validator = platform.asked("model_validator", HIGH_TIER)
    assert officer.run_id == validator.run_id
    assert validator.answered_by("olga") == 403
    assert validator.answered_by("vera") == 200
    assert officer.ended() == "failed"
    (approved,) = platform.events(ModelApprovedEvent, HIGH_TIER)
    (expired,) = platform.events(ApprovalExpiredEvent, HIGH_TIER)
    assert (approved.actor, approved.role) == ("vera", "model_validator")
    assert expired.reason == "nobody answered as risk_officer within 0.025 hours"
    assert officer.states().get("promote") != "success"
    assert platform.champion(HIGH_TIER) is None


def require_champion(platform: Platform, version: int) -> None:
    """Bring the forecast to where a test begins, whichever tests ran before."""
    for wanted in range(1, version + 1):
        if (platform.champion() or 0) >= wanted:
            continue
        platform.register(f"2022-12-{19 + wanted}")
        asked = platform.asked("risk_officer")
        assert asked.answered_by("olga") == 200
        assert asked.ended() == "success"
    assert platform.champion() == version


def in_use_according_to_mlflow(platform: Platform) -> str:
    """Load what `models:/NAME@champion` is, let it forecast, and say which of our versions it is."""
    import mlflow
    import numpy as np

    mlflow.set_tracking_uri(platform.registry.settings.tracking)
    model = mlflow.pyfunc.load_model(f"models:/{FORECAST}@champion")
    forecast = model.predict(np.full((2, 9), 0.2, dtype=np.float64))
    assert all(np.isfinite(np.asarray(value)).all() for value in forecast.values())
    found = mlflow.MlflowClient().get_model_version_by_alias(FORECAST, "champion")
    return str(found.tags["veritas.version"])


T = TypeVar("T")


def until(attempt: Callable[[], T | None], what: str) -> T:
    deadline = time.monotonic() + PATIENCE
    while (found := attempt()) is None:
        assert time.monotonic() < deadline, f"not within {PATIENCE:g} s: {what}"
        time.sleep(0.5)
    return found
