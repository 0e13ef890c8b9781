"""What the console says of champions, deadlines and audits: to Prometheus, and to people."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re

import pytest

from domain.registry.errors import InvalidInput
from domain.registry.inventory.gauges import HELP, Gauge
from tests.cli.console import Console, stored
from veritasvault.cli.champion_check import champions
from veritasvault.prometheus_text import prometheus_text
from veritasvault.settings import Settings

SAMPLE = re.compile(r'(veritas_[a-z_]+)(?:\{model="([a-z0-9_.-]+)"\})? (-?\d+(?:\.\d+)?)')
AS_OF = dt.date(2022, 6, 30)


@pytest.fixture
def officer(console: Console) -> Console:
    """A home in which forecast@1, of tier 2, was promoted; vendor_vol@1 was not."""
    application = console.application()
    (console.home / "roles.toml").write_text(f'[roles]\nrisk_officer = ["{application.person}"]\n')
    lifecycle = application.lifecycle
    proposal = lifecycle.propose("promote", "forecast", 1, "review", application.person)
    lifecycle.approve("forecast", proposal, "risk_officer")
    lifecycle.carry_out("forecast", proposal)
    return console


def samples(text: str) -> dict[tuple[str, str | None], float]:
    """The figures of a text, of which every line is one of the three that the format has."""
    found: dict[tuple[str, str | None], float] = {}
    told: list[str] = []
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            told.append(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {told[-1]} gauge"
        else:
            sample = SAMPLE.fullmatch(line)
            assert sample is not None, line
            assert sample[1] == told[-1]
            found[sample[1].removeprefix("veritas_"), sample[2]] = float(sample[3])
    assert len(told) == len(set(told))
    return found


def test_the_figures_are_those_of_the_registry(officer: Console) -> None:
    """By model and for the whole; without a champion there is no age, before an audit no result."""
    first = (dt.datetime.now(dt.UTC).date() - AS_OF).days
    found = samples(officer.run("metrics").out)
    assert found.pop(("champion_age_days", "forecast")) in (first, first + 1)
    assert found == {
        ("ledger_entries", None): 7,
        ("ledger_unsigned_entries", None): 0,
        ("versions", "forecast"): 1,
        ("versions", "vendor_vol"): 1,
        ("champion_version", "forecast"): 1,
        ("champion_version", "vendor_vol"): 0,
        ("champion_deadline_days", "forecast"): 92,
        ("champion_overdue", "forecast"): 1,
        ("promotions_halted", "forecast"): 0,
        ("promotions_halted", "vendor_vol"): 0,
    }


def test_an_audit_shows_with_its_time_and_result(officer: Console) -> None:
    """In the figures, as JSON too, and among the entries of the ledger."""
    application, day = officer.application(), dt.date(2026, 11, 28)
    row = application.catalog.resolve("vendor_vol@1")
    (stored(officer.home, row.model_id) / "metadata.json").unlink()
    report = application.daily_audit.run(day, {"actor": "airflow"})
    assert report.index == 7
    document = officer.run("metrics", "--json").document["metrics"]
    assert all(set(gauge) == {"name", "labels", "value", "help"} for gauge in document)
    figures = {gauge["name"]: gauge["value"] for gauge in document}
    assert (figures["veritas_audit_verified"], figures["veritas_audit_damaged_models"]) == (0, 1)
    at = application.ledger.event_at(7).at.timestamp()
    assert figures["veritas_audit_timestamp_seconds"] == pytest.approx(at)
    shown = officer.run("ledger", "show").out
    assert re.search(r"RegistryAudited +2026-11-28: [12] of 2 versions read, 1 model damaged", shown)


def test_a_champion_that_is_too_old_is_said_to_be(officer: Console) -> None:
    """By the lifecycle of its name and by the doctor; the days of each tier are a setting."""
    shown = officer.run("lifecycle", "forecast").out
    assert re.search(r"deadline: +2022-09-30, 92 days after 2022-06-30: overdue by \d+ days", shown)
    document = officer.run("lifecycle", "forecast", "--json").document
    assert document["deadline"] == "2022-09-30"
    assert document["overdue_days"] > 0
    check = champions(officer.application())
    assert check.status == "warn"
    assert re.fullmatch(r"overdue: forecast@1 by \d+ days", check.detail)
    patient = dataclasses.replace(officer, settings={"VERITAS_DEADLINE_DAYS": "31,3660,366"})
    assert "deadline:   2032-07-07, 3660 days after 2022-06-30\n" in patient.run("lifecycle", "forecast").out


def test_a_model_without_a_champion_has_no_deadline(officer: Console) -> None:
    document = officer.run("lifecycle", "vendor_vol", "--json").document
    assert (document["deadline"], document["overdue_days"]) == (None, None)


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("VERITAS_AUDIT_DAYS", "0", "give a whole number of days from 1 to 3660"),
        ("VERITAS_AUDIT_DAYS", "a week", "give a whole number of days from 1 to 3660"),
        ("VERITAS_AUDIT_DAYS", "٣", "give a whole number of days from 1 to 3660"),
        ("VERITAS_DEADLINE_DAYS", "31,92", "give days for tiers 1, 2 and 3, such as 31,92,366"),
        ("VERITAS_DEADLINE_DAYS", "31,92,-1", "give a whole number of days from 1 to 3660"),
    ],
)
def test_days_that_are_none_are_refused_in_one_sentence(setting: str, value: str, remedy: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(remedy)) as caught:
        Settings.read({setting: value})
    assert caught.value.field == setting


def test_labels_of_any_text_stay_on_their_line() -> None:
    """As the format wants it: backslash, quote and newline are escaped."""
    text = prometheus_text([Gauge("versions", 3, {"model": 'a\\b"c\nd'})])
    assert text.splitlines() == [
        f"# HELP veritas_versions {HELP['versions']}",
        "# TYPE veritas_versions gauge",
        'veritas_versions{model="a\\\\b\\"c\\nd"} 3',
    ]
