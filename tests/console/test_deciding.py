"""People decide in the console: what comes of it, what is refused, and no other site decides for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.console.conftest import Start
from tests.console.seeded import DAMAGED, FORECAST, VENDOR
from tests.console.server import Answer, ConsoleServer

DECIDE = f"/models/{FORECAST}/decisions"


@pytest.fixture(scope="module")
def board(start: Start) -> ConsoleServer:
    """A server of which the tests of this module change the registry, one after the other; below /airflow,
    as behind a proxy."""
    return start("/airflow")


def version(board: ConsoleServer, number: int = 2, person: str = "olga") -> Any:
    return board.api("GET", f"/models/{FORECAST}/versions/{number}", person=person).json


def seen(board: ConsoleServer, number: int = 2) -> dict[str, Any]:
    """What a page shows and sends back."""
    shown = version(board, number)
    return {"version": number, "incumbent": shown["incumbent"], "evidence": shown["evidence"]}


def decide(board: ConsoleServer, person: str, action: str, **given: Any) -> Answer:
    return board.api("POST", DECIDE, {"action": action, "reason": "because", **given}, person=person)


def with_cookie(board: ConsoleServer, **headers: str) -> Answer:
    """A decision that would change nothing, sent by a browser."""
    sent = {"Cookie": f"_token={board.token('olga')}", **headers}
    return board.api("POST", DECIDE, {"action": "resume", "reason": "because"}, headers=sent)


def test_a_browser_decides_only_from_a_page_of_airflow(board: ConsoleServer) -> None:
    """The cookie alone is what any other site can make a browser send."""
    origin = board.url.removesuffix("/airflow")
    assert with_cookie(board).status == 403
    assert with_cookie(board, Origin="http://evil.example").status == 403
    assert with_cookie(board, Origin="null").status == 403
    assert with_cookie(board, **{"Sec-Fetch-Site": "cross-site", "Origin": origin}).status == 403
    assert with_cookie(board, **{"Sec-Fetch-Site": "same-site"}).status == 403
    assert "not sent by a page of Airflow" in with_cookie(board).json["detail"]
    assert with_cookie(board, Origin=origin).json == {"outcome": "already", "reasons": [], "events": []}
    assert with_cookie(board, **{"Sec-Fetch-Site": "same-origin"}).status == 200


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"]
)
def test_only_json_decides(board: ConsoleServer, media_type: str) -> None:
    """A form of another site can send all of these without asking."""
    headers = {"Content-Type": media_type, "Sec-Fetch-Site": "same-origin"}
    answer = with_cookie(board, **headers)
    assert (answer.status, answer.json["detail"]) == (
        422,
        f"Content-Type is '{media_type}': send application/json",
    )


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({}, 422, "action is missing: give it"),
        ({"action": "approve", "reason": ""}, 422, "reason is ''"),
        ({"action": "explode", "reason": "x"}, 422, "action is 'explode'"),
        ({"action": "approve", "reason": "x"}, 422, "version is None: give the version to approve"),
        ({"action": "approve", "reason": "x", "version": 2}, 422, "evidence is None"),
        ({"action": "approve", "reason": "x", "version": "2"}, 422, "version is '2'"),
        ({"action": "halt", "reason": "x", "actor": "olga"}, 422, "actor is 'olga'"),
        ({"action": "halt", "reason": "\ud800"}, 422, "reason"),
        ({"action": "retire", "reason": "x", "version": 99}, 404, "has no version 99"),
        (b"{", 422, "JSON"),
    ],
)
def test_an_unusable_decision_is_one_sentence(
    board: ConsoleServer, body: object, status: int, detail: str
) -> None:
    answer = board.api("POST", DECIDE, body, person="olga")
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert detail in answer.json["detail"]


def test_what_cannot_be_decided_on_says_so(board: ConsoleServer) -> None:
    order = {"action": "halt", "reason": "x"}
    assert board.api("POST", "/models/nothing/decisions", order, person="olga").status == 404
    outside = {"action": "approve", "version": 1, "evidence": "0" * 64, "role": "risk_officer", "reason": "x"}
    answer = board.api("POST", f"/models/{VENDOR}/decisions", outside, person="olga")
    assert (answer.status, answer.json["detail"]) == (
        422,
        f"version is '{VENDOR}@1': evaluate it first, it has no evidence",
    )
    damaged = board.api("POST", f"/models/{DAMAGED}/decisions", {**outside, "version": 2}, person="olga")
    assert damaged.status == 500
    assert f"manifest of {DAMAGED}@2" in damaged.json["detail"]


def test_roles_are_read_anew_for_each_decision(board: ConsoleServer) -> None:
    """Whoever loses a role decides nothing more, though the server goes on."""
    file = Path(board.environment["VERITAS_HOME"]) / "roles.toml"
    kept = file.read_text()
    assert board.api("GET", "/me", person="vera").json == {
        "user": "vera",
        "roles": ["model_validator"],
        "may_decide": True,
    }
    file.write_text('[roles]\nrisk_officer = ["olga"]\n')
    assert board.api("GET", "/me", person="vera").json["roles"] == []
    assert decide(board, "vera", "halt").status == 403
    file.write_text(kept)


def test_a_challenger_is_approved_promoted_and_rolled_back(board: ConsoleServer) -> None:
    """By the people of the tier; what was shown counts, and somebody too late is told so."""
    shown = seen(board)
    refused = decide(board, "una", "promote", **shown).json
    assert refused["outcome"] == "refused"
    assert "needs the approval of model_validator and risk_officer" in refused["reasons"][0]
    assert decide(board, "arthur", "approve", **shown, role="risk_officer").status == 403
    for person, role in (("olga", "risk_officer"), ("vera", "model_validator")):
        approved = decide(board, person, "approve", **shown, role=role)
        assert approved.json["events"] == [{"kind": "ModelApproved"}]
    assert decide(board, "vera", "approve", **shown, role="model_validator").json["outcome"] == "already"
    offered = {one["action"]: one for one in version(board)["actions"]}
    assert offered["promote"]["allowed"]
    assert not offered["approve"]["allowed"]
    assert decide(board, "olga", "promote", **shown).json["events"] == [{"kind": "ModelPromoted"}]
    late = decide(board, "olga", "rollback", **{**seen(board, 1), "incumbent": 1})
    assert (late.status, late.json["detail"]) == (
        409,
        f"incumbent is version 1, but the champion of {FORECAST} is version 2 now: "
        "look at it and decide again",
    )
    back = seen(board, 1)
    for person, role in (("olga", "risk_officer"), ("vera", "model_validator")):
        assert decide(board, person, "approve", **back, role=role).json["outcome"] == "done"
    assert decide(board, "olga", "rollback", **back).json["events"] == [{"kind": "ModelRolledBack"}]
    assert board.api("GET", f"/models/{FORECAST}", person="vic").json["champion"]["version"] == 1


def test_promotions_of_one_and_of_all_models_are_halted_and_resumed(board: ConsoleServer) -> None:
    assert decide(board, "vera", "halt").json["events"] == [{"kind": "PromotionsHalted"}]
    assert decide(board, "vera", "resume").status == 403
    halted = board.api("GET", "/models?attention=halted", person="vic").json
    assert [(model["name"], model["halted"]) for model in halted["models"]] == [(FORECAST, "because")]
    assert decide(board, "olga", "resume").json["outcome"] == "done"
    everything = {"action": "halt", "reason": "freeze"}
    assert board.api("POST", "/decisions", everything, person="olga").json["outcome"] == "done"
    assert board.api("GET", "/models?attention=halted", person="vic").json["total"] == 3
    resumed = board.api("POST", "/decisions", {**everything, "action": "resume"}, person="olga")
    assert resumed.json["events"] == [{"kind": "PromotionsResumed"}]


def test_a_viewer_is_offered_nothing_and_told_why(board: ConsoleServer) -> None:
    actions = version(board, 2, "vic")["actions"]
    assert {one["why_not"] for one in actions} == {
        "vic may not trigger promote_model in Airflow: ask an administrator for access"
    }


def test_a_version_is_rejected_and_retired(board: ConsoleServer) -> None:
    assert decide(board, "vera", "reject", **seen(board)).json["events"] == [{"kind": "ModelRejected"}]
    assert decide(board, "olga", "retire", version=2).json["events"] == [{"kind": "ModelRetired"}]
    assert version(board)["state"] == "retired"
    newest = board.api("GET", f"/models/{FORECAST}/timeline?limit=1", person="vic").json["events"][0]
    assert (newest["actor"], newest["summary"], newest["reason"]) == ("olga", "version 2 retired", "because")
