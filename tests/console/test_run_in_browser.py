"""What a user does in one sitting, in Chromium, on a whole Airflow: runs, proofs, a champion, a rollback."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.airflow.platform import running_airflow
from tests.console.test_browser import PATIENCE, decided, verdict
from tests.places import open_to_others
from veritasvault.airflow_local.environment import passwords
from veritasvault.airflow_local.supervisor import LocalAirflow

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(2400)]

DAGS = Path(__file__).parents[2] / "dags"
FORECAST = "volatility_forecast"
RUN_SECONDS = 900
USERS = "admin:admin,olga:op,vic:viewer"
ROLES = """[roles]
risk_officer = ["olga"]
"""


@pytest.fixture(scope="module")
def airflow() -> Iterator[LocalAirflow]:
    """The forecast alone, from three shares so that it takes seconds."""
    with open_to_others() as directory:
        dags = directory / "dags"
        dags.mkdir()
        for path in DAGS.glob(f"{FORECAST}.*"):
            few = path.read_text().replace(
                'calendar = "XNYS"', 'calendar = "XNYS", assets = ["AAPL", "KO", "XOM"]'
            )
            (dags / path.name).write_text(few)
        (directory / "veritas").mkdir()
        (directory / "veritas" / "roles.toml").write_text(ROLES)
        settings = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": USERS}
        with running_airflow(directory, dags, settings) as (running, _):
            yield running


def test_from_the_form_to_a_champion_and_back(airflow: LocalAirflow) -> None:
    """Somebody starts runs and proves what they registered; an officer decides, a viewer may only look."""
    program = shutil.which("chromium")
    assert program, "install Debian's chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = signed_in(browser, airflow, "admin")
        first = run_by_the_form(page, airflow, "2022-12-19")
        opened(page, airflow, first, 1)
        assert verdict(page) == "Verified: all 8 steps hold."
        page.get_by_role("link", name=re.compile("Airflow run")).click()
        expect(page).to_have_url(re.compile(f"/dags/{FORECAST}/runs/"))

        officer = signed_in(browser, airflow, "olga")
        decide(officer, airflow, 1, "Approve as champion", "done")
        decide(officer, airflow, 1, "Promote to champion", "ModelPromoted")
        second = run_by_the_form(page, airflow, "2022-12-20")
        decide(officer, airflow, 2, "Approve as champion", "done")
        decide(officer, airflow, 2, "Promote to champion", "ModelPromoted")
        opened(page, airflow, second, 2)
        expect(page.locator("main").get_by_text("champion", exact=True).first).to_be_visible()

        decide(officer, airflow, 1, "Approve as champion", "done")
        decide(officer, airflow, 1, "Roll back to this version", "ModelRolledBack")

        viewer = signed_in(browser, airflow, "vic")
        decision_page(viewer, airflow, 2)
        expect(viewer.get_by_text("There is nothing that you may decide now.")).to_be_visible(
            timeout=PATIENCE
        )
        browser.close()


def test_the_page_of_a_failed_run_says_why(airflow: LocalAirflow) -> None:
    """The sentence of the task that failed, without a search through logs."""
    run_id = airflow.client.trigger(FORECAST, {"as_of": "2022-12-20", "assets": ["APPL"]})
    assert airflow.client.wait(FORECAST, run_id, RUN_SECONDS) == "failed"
    program = shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = signed_in(browser, airflow, "admin")
        page.goto(f"{airflow.url}/dags/{FORECAST}/runs/{run_id}")
        page.locator("a[href*='plugin/veritas-run']").click()
        expect(page.get_by_text(re.compile("did you mean AAPL"))).to_be_visible()
        browser.close()


def signed_in(browser: Browser, airflow: LocalAirflow, person: str) -> Page:
    """A window of somebody who has signed in by Airflow's form."""
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(airflow.url)
    page.fill("input[name=username]", person)
    page.fill("input[name=password]", passwords(airflow.environment)[person])
    page.click("button[type=submit]")
    page.get_by_role("link", name="Models", exact=True).wait_for()
    return page


def run_by_the_form(page: Page, airflow: LocalAirflow, as_of: str) -> str:
    """Trigger a run for a date as people do, and return its id once it has succeeded."""
    known = {run["dag_run_id"] for run in airflow.client.runs(FORECAST, run_type="manual")}
    page.goto(f"{airflow.url}/dags/{FORECAST}")
    page.get_by_test_id("trigger-dag-button").first.click()
    page.locator("input[name=element_as_of]").fill(as_of)
    page.get_by_test_id("trigger-dag-submit").click()
    expect(page.get_by_test_id("trigger-dag-submit")).to_have_count(0)
    runs = {run["dag_run_id"] for run in airflow.client.runs(FORECAST, run_type="manual")}
    (run_id,) = runs - known
    assert airflow.client.wait(FORECAST, run_id, RUN_SECONDS) == "success"
    return str(run_id)


def opened(page: Page, airflow: LocalAirflow, run_id: str, version: int) -> None:
    """Follow the run's tab *Models* to the version that it registered."""
    page.goto(f"{airflow.url}/dags/{FORECAST}/runs/{run_id}")
    page.locator("a[href*='plugin/veritas-run']").click()
    page.get_by_role("link", name=re.compile(f"^version {version}$")).click()
    page.get_by_role("heading", name=f"Version {version}").wait_for()


def decision_page(page: Page, airflow: LocalAirflow, version: int) -> None:
    page.goto(f"{airflow.url}/plugin/veritas/models/{FORECAST}/versions/{version}/decide")
    page.locator("main h1").filter(has_not_text="Not found").wait_for()
    expect(page.locator("main [role=status]", has_text="Loading")).to_have_count(0)


def decide(page: Page, airflow: LocalAirflow, version: int, action: str, came: str) -> None:
    """Decide on a version with a reason; the page says what came of it."""
    decision_page(page, airflow, version)
    assert came in decided(page, action, "quarterly review")
