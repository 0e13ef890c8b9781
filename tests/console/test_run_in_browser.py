"""From Airflow's trigger form to the registered version, in Chromium, on a whole Airflow."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.console.test_browser import PATIENCE, verdict
from tests.places import open_to_others
from veritasvault.airflow_local.supervisor import LocalAirflow

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(2400)]

DAGS = Path(__file__).parents[2] / "dags"
FORECAST = "volatility_forecast"
RUN_SECONDS = 900


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
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "VERITAS"))
        }
        given = {**inherited, "VERITAS_HOME": str(directory / "veritas"), "VERITAS_RETRY_SECONDS": "2"}
        with LocalAirflow(directory / "airflow", dags, given=given) as running:
            yield running


def test_a_run_by_airflows_form_shows_its_version_which_verifies(airflow: LocalAirflow) -> None:
    """The run's tab *Models* leads to what it registered, and the browser proves that."""
    program = shutil.which("chromium")
    assert program, "install Debian's chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(PATIENCE)
        page.goto(airflow.url)
        page.fill("input[name=username]", airflow.user)
        page.fill("input[name=password]", airflow.password)
        page.click("button[type=submit]")
        page.get_by_role("link", name="Models").wait_for()
        page.goto(f"{airflow.url}/dags/{FORECAST}")
        page.get_by_test_id("trigger-dag-button").first.click()
        page.locator("input[name=element_as_of]").fill("2022-12-20")
        page.get_by_test_id("trigger-dag-submit").click()
        expect(page.get_by_test_id("trigger-dag-submit")).to_have_count(0, timeout=PATIENCE)
        (run,) = airflow.client.runs(FORECAST, run_type="manual")
        assert airflow.client.wait(FORECAST, run["dag_run_id"], RUN_SECONDS) == "success"
        page.goto(f"{airflow.url}/dags/{FORECAST}/runs/{run['dag_run_id']}")
        page.locator("a[href*='plugin/veritas-run']").click()
        page.get_by_role("link", name=re.compile("^version 1$")).click()
        page.get_by_role("heading", name="Version 1").wait_for()
        assert verdict(page) == "Verified: all 8 steps hold."
        page.get_by_role("link", name=re.compile("Airflow run")).click()
        expect(page).to_have_url(re.compile(f"/dags/{FORECAST}/runs/"), timeout=PATIENCE)
        browser.close()
