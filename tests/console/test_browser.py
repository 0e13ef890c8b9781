"""The console as people see it, in Chromium, inside Airflow's own pages below `/airflow`."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from tests.console.conftest import Start
from tests.console.seeded import DAMAGED, FORECAST, VENDOR
from tests.console.server import ConsoleServer
from veritasvault.airflow_local.environment import passwords

pytestmark = pytest.mark.timeout(2400)

ROOT = Path(__file__).parents[2]
AXE = ROOT / "plugins" / "console-ui" / "node_modules" / "axe-core" / "axe.min.js"
PICTURES = ROOT / "docs" / "images"
# A browser on a busy machine takes its time over seven megabytes of Airflow's pages.
PATIENCE = 300_000
expect.set_options()
PAGES = {
    "models": "",
    "model": f"/models/{FORECAST}",
    "version": f"/models/{FORECAST}/versions/2",
    "compare": f"/models/{FORECAST}/compare?left=1&right=2",
    "decide": f"/models/{FORECAST}/versions/2/decide",
}


@dataclass
class Site:
    """A running console, and a browser in which people have signed in."""

    server: ConsoleServer
    browser: Browser
    _pages: dict[str, Page] = field(default_factory=dict)

    def page(self, person: str, path: str) -> Page:
        """A page of the console as a person sees it now, once it shows what it is about."""
        if person not in self._pages:
            self._pages[person] = self._signed_in(person)
        return self.show(self._pages[person], path)

    def another(self, person: str, path: str) -> Page:
        """A second window of somebody who has signed in."""
        page = self._pages[person].context.new_page()
        page.goto(f"{self.server.url}/plugin/veritas")
        return self.show(page, path)

    def show(self, page: Page, path: str) -> Page:
        """Go there as a link does, because loading Airflow's pages anew takes long; by a detour, so that what
        is shown there already is asked for again."""
        for place in (
            f"{self.server.url}/plugin/veritas/elsewhere",
            f"{self.server.url}/plugin/veritas{path}",
        ):
            page.evaluate(_GO, place)
            page.wait_for_url(place)
        page.locator("main h1").filter(has_not_text="Not found").wait_for()
        expect(page.locator("main [role=status]", has_text="Loading")).to_have_count(0)
        return page

    def _signed_in(self, person: str) -> Page:
        context = self.browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        page.goto(f"{self.server.url}/")
        page.fill("input[name=username]", person)
        page.fill("input[name=password]", passwords(self.server.environment)[person])
        page.click("button[type=submit]")
        page.get_by_role("link", name="Models").click()
        return page


_GO = "(place) => { history.pushState(null, '', place); dispatchEvent(new PopStateEvent('popstate')); }"
_THEME = """(theme) => {
    localStorage.setItem('theme', theme);
    dispatchEvent(new StorageEvent('storage', { key: 'theme', newValue: theme }));
}"""


_AT_REST = """() => Promise.allSettled(
    document.getAnimations()
        .filter((one) => one.effect.getComputedTiming().iterations !== Infinity)
        .map((one) => one.finished))"""
"""Between two themes, colours are neither's."""


@pytest.fixture(scope="module")
def site(start: Start) -> Iterator[Site]:
    """Below a path of a proxy's, because what works there works at the root."""
    program = shutil.which("chromium")
    assert program, "install Debian's chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield Site(start("/airflow"), browser)
        browser.close()


def test_models_are_found_from_the_navigation_and_by_text(site: Site) -> None:
    """What is searched for stands in the address, so that a colleague sees the same."""
    page = site.page("vic", PAGES["models"])
    for name in (FORECAST, VENDOR, DAMAGED):
        expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    page.get_by_label("Name, owner or purpose").fill("vendor")
    expect(page.get_by_role("link", name=FORECAST, exact=True)).to_have_count(0)
    assert "search=vendor" in page.url
    page.get_by_role("link", name=VENDOR).click()
    expect(page.get_by_role("heading", name="Versions")).to_be_visible()


def test_a_version_is_verified_in_the_browser(site: Site) -> None:
    """The root that the browser shows is the one in the checkpoint which it checked."""
    page = site.page("vic", PAGES["version"])
    assert verdict(page) == "Verified: all 8 steps hold."
    proof = site.server.api("GET", f"/models/{FORECAST}/versions/2/proof", person="vic").json
    expect(page.get_by_text(proof["checkpoint"].split("\n")[2])).to_be_visible()


def test_a_changed_file_is_named(site: Site) -> None:
    """Somebody changed one in the storage; the page says which."""
    page = site.page("vic", f"/models/{DAMAGED}/versions/1")
    assert verdict(page).startswith("Not verified")
    expect(page.get_by_label("Steps of the verification")).to_contain_text("weights.json")


def test_a_proof_that_a_server_forged_is_found_by_the_browser(site: Site) -> None:
    """The server says that all is well, and the browser does not believe it."""

    def forge(route: Route) -> None:
        bundle = route.fetch().text()
        route.fulfill(body=bundle.replace("US equities only", "US equities onlY"))

    page = site.page("vic", PAGES["version"])
    page.route("**/proof", forge)
    try:
        assert verdict(page).startswith("Not verified")
    finally:
        page.unroute("**/proof")
    failed = page.get_by_role("listitem").filter(has_text="fails")
    expect(failed.filter(has_text="The model id is the digest of the manifest")).to_have_count(1)


def test_a_viewer_is_offered_no_decision(site: Site) -> None:
    page = site.page("vic", PAGES["decide"])
    expect(page.get_by_text("There is nothing that you may decide now.")).to_be_visible()
    assert page.get_by_role("radio").count() == 0


@pytest.mark.parametrize("name", PAGES)
def test_people_who_do_not_see_well_can_use_it(site: Site, name: str, pictures: bool) -> None:
    """axe-core finds nothing serious on any page, in either of Airflow's colour modes."""
    assert AXE.is_file(), "run npm ci in plugins/console-ui, as make lint does"
    page = site.page("olga", PAGES[name])
    if name == "version":
        verdict(page)
    if not page.evaluate("'axe' in window"):
        page.add_script_tag(path=AXE)
    for theme in ("dark", "light"):
        page.evaluate(_THEME, theme)
        page.locator(f"html.{theme}").wait_for()
        page.evaluate(_AT_REST)
        found = page.evaluate("axe.run('main', { iframes: false })")
        serious = [
            (one["id"], [node["html"] for node in one["nodes"]])
            for one in found["violations"]
            if one["impact"] in ("serious", "critical")
        ]
        assert serious == []
        assert len(found["passes"]) > 10
        if pictures:
            PICTURES.mkdir(exist_ok=True)
            page.evaluate("document.querySelector('main').scrollTo(0, 0)")
            page.screenshot(path=PICTURES / f"console-{name}-{theme}.png", animations="disabled")


def test_the_right_people_make_a_champion_and_roll_it_back(site: Site) -> None:
    """Both roles approve in the console, it is promoted there, and whoever looked before is told."""
    newer, older = PAGES["decide"], f"/models/{FORECAST}/versions/1/decide"
    site.page("olga", newer)
    late = site.another("olga", newer)
    for person in ("olga", "vera"):
        assert "done" in decided(site.page(person, newer), "Approve as champion", "better in every year")
    assert "ModelPromoted" in decided(site.page("olga", newer), "Promote to champion", "quarterly review")
    assert "decide again" in decided(late, "Reject on this evidence", "too late")
    page = site.page("vic", PAGES["version"])
    expect(page.locator("main").get_by_text("champion", exact=True).first).to_be_visible()
    for person in ("olga", "vera"):
        page = site.page(person, older)
        nothing = page.get_by_text("There is nothing that you may decide now.")
        page.get_by_role("radio").or_(nothing).first.wait_for()
        if page.get_by_role("radio", name="Approve as champion").count():
            assert "done" in decided(page, "Approve as champion", "the new one drifts")
    page = site.page("olga", older)
    assert "ModelRolledBack" in decided(page, "Roll back to this version", "the new one drifts")
    champion = site.server.api("GET", f"/models/{FORECAST}", person="vic").json["champion"]
    assert champion["version"] == 1


def verdict(page: Page) -> str:
    """Verify, by the keyboard, and return what the page says in the end."""
    page.get_by_role("button", name="Verify").press("Enter")
    said = page.get_by_text(re.compile(r"^(Verified|Not verified|\d+ of \d+ steps could)"))
    said.wait_for()
    return said.inner_text()


def decided(page: Page, action: str, reason: str) -> str:
    """Decide, by the keyboard, and return what the page says came of it."""
    page.get_by_role("radio", name=action).press("Space")
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name=action).press("Enter")
    said = page.locator("main").locator("[role=status], [role=alert]").filter(has_text=re.compile(r"\w"))
    came = said.filter(has_not_text="Loading")
    came.first.wait_for()
    return came.first.inner_text()


@pytest.fixture
def pictures(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--pictures"))
