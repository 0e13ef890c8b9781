"""Model pipelines on Airflow's own scheduler and PostgreSQL: scheduled, by hand, and in backfills."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from domain.registry.errors import NotFound
from domain.registry.events.reproduction import ModelReproducedEvent
from tests.airflow.platform import Platform, running_airflow
from tests.places import open_to_others
from veritasvault.adapters.exchange_calendar import ExchangeCalendar
from veritasvault.adapters.uri_source import UriSource

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(2400)]

DAGS = Path(__file__).parents[2] / "dags"
ASSETS = ["AAPL", "KO", "XOM"]
GROWING = "growing_forecast"
FORECAST = "volatility_forecast"
REPRODUCE = "reproduce_model"


@dataclass(frozen=True)
class GrowingPlatform(Platform):
    """With a source that grows."""

    source: Path
    panel: pl.DataFrame


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
def platform(postgres_url: Callable[[], str]) -> Iterator[GrowingPlatform]:
    """Airflow with the project's DAG, and a copy on a source that has all but the last session."""
    with open_to_others() as directory:
        yield from _platform(directory, postgres_url())


def _platform(directory: Path, ledger: str) -> Iterator[GrowingPlatform]:
    dags, source = directory / "dags", directory / "panel.csv"
    dags.mkdir()
    for path in DAGS.glob("volatility_forecast.*"):
        (dags / path.name).write_bytes(path.read_bytes())
        growing = path.read_text().replace(FORECAST, GROWING).replace("end = 2022-12-29", "end = 2099-12-31")
        growing = growing.replace('source = "sample://sp500"', f'source = "{source}", wait_hours = 240')
        (dags / path.name.replace(FORECAST, GROWING)).write_text(growing)
    (dags / f"{REPRODUCE}.py").write_bytes((DAGS / f"{REPRODUCE}.py").read_bytes())
    panel = _recent_panel(directory)
    panel.filter(pl.col("date") < _last_session()).write_csv(source)
    with running_airflow(directory, dags, {"VERITAS_LEDGER": ledger}) as (airflow, environment):
        yield GrowingPlatform(airflow, environment, source, panel)


def test_a_scheduled_run_waits_for_its_session_and_registers_it(platform: GrowingPlatform) -> None:
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


def test_a_manual_run_takes_its_parameters_from_the_form(platform: GrowingPlatform) -> None:
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


def test_a_run_with_bad_input_fails_once_with_one_sentence(platform: GrowingPlatform) -> None:
    """What no retry can mend is not retried, and the task's log has the sentence."""
    client = platform.airflow.client
    run_id = client.trigger(FORECAST, {"as_of": "2022-12-20", "assets": ["APPL"]})
    assert client.wait(FORECAST, run_id) == "failed"
    tasks = client.tasks(FORECAST, run_id)
    assert (tasks["ingest"]["state"], tasks["ingest"]["try_number"]) == ("failed", 1)
    assert "did you mean AAPL" in client.log(FORECAST, run_id, "ingest")
    assert {tasks[name]["state"] for name in ("prepare", "train", "register")} == {"upstream_failed"}


def test_a_backfill_of_four_weeks_gives_each_session_one_version(platform: GrowingPlatform) -> None:
    """28 runs, 4 at a time, stand for 20 sessions and give 20 versions; the last days again add nothing."""
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

    days = str(end - dt.timedelta(days=3))
    options = (*options, "--reprocess-behavior", "completed")
    assert platform.airflow.backfill(FORECAST, days, str(end), *options, seconds=1500) == states
    assert platform.registry.ledger.view().size == size
    again = [run_id for run_id in states if run_id.removeprefix("backfill__") >= days]
    assert len(again) == 4
    assert {platform.returned(FORECAST, run_id)["outcome"] for run_id in again} == {"recognised"}


def test_a_version_is_reproduced_when_somebody_asks_by_the_form(platform: GrowingPlatform) -> None:
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
