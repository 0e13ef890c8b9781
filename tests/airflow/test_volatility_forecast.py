"""Model pipelines on Airflow's own scheduler and PostgreSQL: scheduled, by hand, and in backfills."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from domain.registry.errors import NotFound
from domain.registry.events.reproduction import ModelReproducedEvent
from tests.places import open_to_others
from veritasvault.adapters.exchange_calendar import ExchangeCalendar
from veritasvault.adapters.uri_source import UriSource
from veritasvault.airflow_local.supervisor import LocalAirflow
from veritasvault.bootstrap import Application, bootstrap

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(2400)]

DAGS = Path(__file__).parents[2] / "dags"
ASSETS = ["AAPL", "KO", "XOM"]
GROWING = "growing_forecast"
FORECAST = "volatility_forecast"
COVARIANCE = "covariance_shrinkage"
REPRODUCE = "reproduce_model"
ANOMALY = "vault_anomaly"


@dataclass(frozen=True)
class Platform:
    """A running Airflow, the registry its tasks write to, and a source that grows."""

    airflow: LocalAirflow
    environment: dict[str, str]
    source: Path
    panel: pl.DataFrame

    @property
    def registry(self) -> Application:
        return bootstrap(self.environment)

    def versions(self, name: str) -> list[tuple[int, dt.date]]:
        rows = self.registry.catalog.versions(name)
        return sorted((row.version, row.as_of) for row in rows if row.as_of is not None)

    def ended(self, dag_id: str, run_id: str) -> str:
        """The state a run ended in; on failure with what its failed tasks logged."""
        state = self.airflow.client.wait(dag_id, run_id, 600)
        if state != "success":
            tasks = self.airflow.client.tasks(dag_id, run_id)
            failed = [name for name, task in tasks.items() if task["state"] == "failed"]
            logs = [
                self.airflow.client.log(dag_id, run_id, name, tasks[name]["try_number"]) for name in failed
            ]
            return "\n".join([state, *failed, *logs])
        return state

    def returned(self, dag_id: str, run_id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.airflow.client.xcom(dag_id, run_id, "register")
        return answer


def _last_session() -> dt.date:
    """The session that a run scheduled at the last midnight stands for."""
    midnight = dt.datetime.combine(dt.datetime.now(dt.UTC).date(), dt.time(), dt.UTC)
    return ExchangeCalendar().last_closed("XNYS", midnight)


def _recent_panel(directory: Path) -> pl.DataFrame:
    """Real prices of three shares, moved to the sessions that end with the last one."""
    prices = pl.read_parquet(UriSource().fetch("sample://sp500", directory)).filter(
        pl.col("asset").is_in(ASSETS)
    )
    last = _last_session()
    sessions = ExchangeCalendar().sessions("XNYS", last - dt.timedelta(days=365 * 5), last)
    days = prices["date"].unique().sort().tail(len(sessions))
    moved = pl.DataFrame({"date": days, "moved": sessions[-len(days) :]})
    return prices.join(moved, on="date").drop("date").rename({"moved": "date"}).sort("asset", "date")


@pytest.fixture(scope="module")
def platform(postgres_url: Callable[[], str]) -> Iterator[Platform]:
    """Airflow with the project's DAG, and a copy on a source that has all but the last session."""
    with open_to_others() as directory:
        yield from _platform(directory, postgres_url())


def _platform(directory: Path, ledger: str) -> Iterator[Platform]:
    dags, source = directory / "dags", directory / "panel.csv"
    dags.mkdir()
    for path in DAGS.glob("volatility_forecast.*"):
        (dags / path.name).write_bytes(path.read_bytes())
        growing = path.read_text().replace(FORECAST, GROWING).replace("end = 2022-12-29", "end = 2099-12-31")
        growing = growing.replace('source = "sample://sp500"', f'source = "{source}", wait_hours = 240')
        (dags / path.name.replace(FORECAST, GROWING)).write_text(growing)
    for path in (DAGS / f"{REPRODUCE}.py", *DAGS.glob(f"{ANOMALY}.*"), *DAGS.glob(f"{COVARIANCE}.*")):
        (dags / path.name).write_bytes(path.read_bytes())
    panel = _recent_panel(directory)
    panel.filter(pl.col("date") < _last_session()).write_csv(source)
    environment = {
        "VERITAS_HOME": str(directory / "veritas"),
        "VERITAS_LEDGER": ledger,
        "VERITAS_RETRY_SECONDS": "2",
    }
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "VERITAS"))
    }
    with LocalAirflow(directory / "airflow", dags, given={**inherited, **environment}) as airflow:
        yield Platform(airflow, environment, source, panel)


def test_a_scheduled_run_waits_for_its_session_and_registers_it(platform: Platform) -> None:
    """The scheduler starts the run; it retries while the source ends too early, then registers."""
    client = platform.airflow.client
    session = _last_session()

    last = str(platform.panel.filter(pl.col("date") < session)["date"].max())

    def waited() -> bool:
        """A finished try named the last date there is, and another try follows it."""
        runs = client.runs(GROWING, run_type="scheduled")
        if not runs:
            return False
        run_id = runs[-1]["dag_run_id"]
        tries = client.tasks(GROWING, run_id)["ingest"]["try_number"]
        return any(last in logged(run_id, number) for number in range(1, tries))

    def logged(run_id: str, number: int) -> str:
        """Nothing for a try that a busy Airflow lost before the task began: it keeps no record of one."""
        try:
            return client.log(GROWING, run_id, "ingest", number)
        except NotFound:
            return ""

    wait_until(waited)
    run_id = client.runs(GROWING, run_type="scheduled")[-1]["dag_run_id"]
    grown = platform.source.with_suffix(".new")
    platform.panel.write_csv(grown)
    grown.replace(platform.source)
    assert platform.ended(GROWING, run_id) == "success"
    assert platform.versions(GROWING) == [(1, session)]
    assert platform.returned(GROWING, run_id)["outcome"] == "registered"


def test_a_manual_run_takes_its_parameters_from_the_form(platform: Platform) -> None:
    """As-of date, engine, assets and trainer parameters reach the lineage; clearing any task adds nothing.

    The form proposes the present moment as logical date, long after the last day of the schedule.
    """
    params = {"as_of": "2022-12-20", "engine": "dask", "assets": ASSETS, "alpha": 7.5}
    now = dt.datetime.now(dt.UTC).isoformat()
    run_id = platform.airflow.client.trigger(FORECAST, params, logical_date=now)
    assert platform.ended(FORECAST, run_id) == "success"
    returned = platform.returned(FORECAST, run_id)
    version = platform.registry.catalog.show(returned["reference"])
    assert version.manifest.lineage is not None
    assert version.manifest.lineage.parameters["alpha"] == 7.5
    assert version.manifest.lineage.as_of == dt.date(2022, 12, 20)
    assert (version.event.provenance["run_type"], version.event.provenance["engine"]) == ("manual", "dask")
    size = platform.registry.ledger.view().size
    for task in ("register", "ingest"):
        platform.airflow.client.clear(FORECAST, run_id, [task], downstream=True)
        assert platform.ended(FORECAST, run_id) == "success"
        assert platform.returned(FORECAST, run_id)["outcome"] == "recognised"
    assert platform.registry.ledger.view().size == size


def test_covariances_go_the_same_way_and_are_reproduced(platform: Platform) -> None:
    """Another problem, the same tasks: registered by its own gates, verified, and trained again."""
    client = platform.airflow.client
    run_id = client.trigger(COVARIANCE, {"as_of": "1995-06-01", "engine": "dask"})
    assert platform.ended(COVARIANCE, run_id) == "success"
    reference = platform.returned(COVARIANCE, run_id)["reference"]
    version = platform.registry.catalog.show(reference)
    assert version.manifest.lineage is not None
    assert version.manifest.lineage.parameters["problem"] == "covariance"
    assert {gate.outcome for gate in version.event.gates} == {"passed"}
    assert platform.registry.audit.version(reference).verified
    asked = client.trigger(REPRODUCE, {"reference": reference, "engine": "inline"})
    assert platform.ended(REPRODUCE, asked) == "success"
    assert client.xcom(REPRODUCE, asked, "reproduce")["reproduced"]


def test_a_run_with_bad_input_fails_once_with_one_sentence(platform: Platform) -> None:
    """What no retry can mend is not retried, and the task's log has the sentence."""
    client = platform.airflow.client
    run_id = client.trigger(FORECAST, {"as_of": "2022-12-20", "assets": ["APPL"]})
    assert client.wait(FORECAST, run_id) == "failed"
    tasks = client.tasks(FORECAST, run_id)
    assert (tasks["ingest"]["state"], tasks["ingest"]["try_number"]) == ("failed", 1)
    assert "did you mean AAPL" in client.log(FORECAST, run_id, "ingest")
    assert {tasks[name]["state"] for name in ("prepare", "train", "register")} == {"upstream_failed"}


def test_a_backfill_of_four_weeks_gives_each_session_one_version(platform: Platform) -> None:
    """28 runs, 4 at a time, stand for 20 sessions and give 20 versions; all of it again adds nothing."""
    start, end = dt.date(2022, 9, 13), dt.date(2022, 10, 10)
    sessions = ExchangeCalendar().sessions("XNYS", dt.date(2022, 9, 12), dt.date(2022, 10, 9))
    before = len(platform.versions(FORECAST))
    conf = '{"engine": "inline", "assets": ["AAPL", "KO", "XOM"]}'
    options = ("--max-active-runs", "4", "--dag-run-conf", conf)
    states = platform.airflow.backfill(FORECAST, str(start), str(end), *options, seconds=1500)
    assert sorted(states.values()) == ["success"] * 28
    versions = platform.versions(FORECAST)[before:]
    assert sorted(as_of for _, as_of in versions) == sessions
    assert len(sessions) == 20
    size = platform.registry.ledger.view().size
    report = platform.registry.audit.everything()
    assert (report.problems, report.pending) == ((), 0)

    again = platform.airflow.backfill(
        FORECAST, str(start), str(end), *options, "--reprocess-behavior", "completed", seconds=1500
    )
    assert sorted(again.values()) == ["success"] * 28
    assert platform.registry.ledger.view().size == size
    outcomes = {platform.returned(FORECAST, run_id)["outcome"] for run_id in again}
    assert outcomes == {"recognised"}


def test_a_version_is_reproduced_when_somebody_asks_by_the_form(platform: Platform) -> None:
    """The ledger says who asked and that it is the same; one trained elsewhere fails with its sentence."""
    client, catalog = platform.airflow.client, platform.registry.catalog
    run_id = client.trigger(FORECAST, {"as_of": "2022-12-22", "engine": "dask", "assets": ASSETS})
    assert platform.ended(FORECAST, run_id) == "success"
    reference = platform.returned(FORECAST, run_id)["reference"]
    asked = client.trigger(REPRODUCE, {"reference": reference, "engine": "inline"})
    assert platform.ended(REPRODUCE, asked) == "success"
    found = client.xcom(REPRODUCE, asked, "reproduce")
    assert (found["reference"], found["reproduced"]) == (reference, True)
    event = platform.registry.ledger.event_at(found["index"])
    assert isinstance(event, ModelReproducedEvent)
    assert (event.run, event.engine, event.artifact_digest) == (
        asked,
        "inline",
        catalog.resolve(reference).artifact_digest,
    )
    assert event.provenance["triggered_by"] == "admin"
    assert Path(found["report"]).is_file()
    nobody = client.trigger(REPRODUCE, {"reference": "nobody@1"})
    assert client.wait(REPRODUCE, nobody) == "failed"
    assert "model nobody is not registered" in client.log(REPRODUCE, nobody, "reproduce")


def test_a_detector_on_flows_goes_the_same_way_and_is_reproduced(platform: Platform) -> None:
    """Another problem, calendar and source: registered with its gates passed, verified, trained again."""
    client, registry = platform.airflow.client, platform.registry
    run_id = client.trigger(ANOMALY, {"as_of": "2022-12-30", "engine": "inline"})
    assert platform.ended(ANOMALY, run_id) == "success"
    returned = platform.returned(ANOMALY, run_id)
    assert (returned["outcome"], platform.versions(ANOMALY)) == ("registered", [(1, dt.date(2022, 12, 30))])
    shown = registry.catalog.show(returned["reference"])
    assert {gate.outcome for gate in shown.event.gates} == {"passed"}
    assert registry.audit.version(returned["reference"]).problems == ()
    asked = client.trigger(REPRODUCE, {"reference": returned["reference"], "engine": "inline"})
    assert platform.ended(REPRODUCE, asked) == "success"
    assert client.xcom(REPRODUCE, asked, "reproduce")["reproduced"] is True


def test_the_run_of_a_version_that_was_not_reproduced_fails_with_the_stage() -> None:
    from airflow.sdk.exceptions import AirflowFailException

    from veritasvault.tasks import require_reproduced

    found = {"reference": "f@1", "reproduced": False, "stage": "data", "reason": "1 of 9 rows differ"}
    with pytest.raises(AirflowFailException, match="f@1 was not reproduced, first different is data: 1 of 9"):
        require_reproduced.function({**found, "report": "report.html"})
    require_reproduced.function({**found, "reproduced": True})


def wait_until(condition: Callable[[], bool], seconds: float = 300) -> None:
    """Poll a condition until it holds."""
    import time

    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come to hold"
        time.sleep(0.5)
