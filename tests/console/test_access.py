"""Who gets which answer: every route of the API by every kind of person, on Airflow's own API server."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from tests.console.seeded import FORECAST, RUN
from tests.console.server import ConsoleServer

PEOPLE = (None, "nina", "vic", "una", "otto", "admin", "olga", "vera", "arthur")
"""Nobody; without a role in Airflow; viewer; user and op without a role here; admin; risk officer; validator;
the version's author, who is a risk officer too."""

READS = dict(zip(PEOPLE, (401, 403, *[200] * 7), strict=True))
VERSION = "/api/v1/models/{name}/versions/{version}"
TABLE: dict[tuple[str, str], dict[str | None, int]] = {
    ("GET", "/api/v1/me"): READS,
    ("GET", "/api/v1/models"): READS,
    ("GET", "/api/v1/models/{name}"): READS,
    ("GET", "/api/v1/models/{name}/versions"): READS,
    ("GET", "/api/v1/models/{name}/history"): READS,
    ("GET", "/api/v1/models/{name}/timeline"): READS,
    ("GET", "/api/v1/models/{name}/compare"): READS,
    ("GET", VERSION): READS,
    ("GET", f"{VERSION}/card"): READS,
    ("GET", f"{VERSION}/attachments/{{sha256}}"): READS,
    ("GET", f"{VERSION}/proof"): READS,
    ("GET", f"{VERSION}/verification"): READS,
    ("GET", "/api/v1/runs/{dag_id}/{run_id}"): READS,
    # Nothing is halted, so nothing is resumed; arthur's part in a version is no bar to that.
    ("POST", "/api/v1/decisions"): dict(
        zip(PEOPLE, (401, 403, 403, 403, 403, 403, 200, 403, 200), strict=True)
    ),
    ("POST", "/api/v1/models/{name}/decisions"): dict(
        zip(PEOPLE, (401, 403, 403, 403, 403, 403, 200, 200, 403), strict=True)
    ),
}


def test_every_route_is_in_the_table(described: dict[str, Any]) -> None:
    """Whoever adds a route says here who gets what from it."""
    assert {tuple(route) for route in described["routes"]} == set(TABLE)


@pytest.mark.parametrize("route", TABLE, ids=" ".join)
def test_a_route_answers_each_person_as_the_table_says(
    route: tuple[str, str], console: ConsoleServer
) -> None:
    method, template = route
    expected = TABLE[route]
    found: dict[str | None, int] = {}
    for person in PEOPLE:
        answer = console.ask(
            method, f"/veritas{address(template, console)}", body(route, person, console), person=person
        )
        found[person] = answer.status
        if answer.status >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"
            problem = answer.json
            assert problem["status"] == answer.status
            assert problem["title"]
            assert problem["detail"]
    assert found == expected


def address(template: str, console: ConsoleServer) -> str:
    filled = template.format(
        name=FORECAST,
        version=2,
        sha256=shown(console)["evidence"],
        dag_id=RUN[0],
        run_id=quote(RUN[1], safe=""),
    )
    return f"{filled}?left=1&right=2" if template.endswith("/compare") else filled


def body(route: tuple[str, str], person: str | None, console: ConsoleServer) -> object:
    """The approval of what everybody is shown; on all models, an order that changes nothing."""
    if route == ("POST", "/api/v1/decisions"):
        return {"action": "resume", "reason": "nothing is halted"}
    if route[0] == "POST":
        role = "model_validator" if person == "vera" else "risk_officer"
        seen = {"version": 2, "incumbent": 1, "evidence": shown(console)["evidence"]}
        return {"action": "approve", "role": role, "reason": "good", **seen}
    return None


def shown(console: ConsoleServer) -> Any:
    """The version that everything is about."""
    return console.api("GET", f"/models/{FORECAST}/versions/2", person="vic").json
