"""What the console shows: pages, versions although somebody tampered, files that cannot run, plain errors."""

from __future__ import annotations

import json
from typing import Any

import pytest

from domain.registry.canonical import digest
from domain.registry.proofs.bundle import ProofBundle
from domain.registry.proofs.check import verify_proof
from tests.console.seeded import DAMAGED, FORECAST, RUN, VENDOR
from tests.console.server import Answer, ConsoleServer
from veritasvault.adapters.signature_check import verify_signature


def get(console: ConsoleServer, path: str, **settings: Any) -> Answer:
    return console.api("GET", path, person="vic", **settings)


def test_models_say_who_is_champion_and_what_wants_attention(console: ConsoleServer) -> None:
    found = get(console, "/models").json
    assert [model["name"] for model in found["models"]] == [DAMAGED, FORECAST, VENDOR]
    assert (found["total"], found["next"]) == (3, None)
    forecast = found["models"][1]
    assert (forecast["risk_tier"], forecast["owner"]) == (1, "quant-research")
    assert (forecast["champion"]["version"], forecast["challenger"]["version"]) == (1, 2)
    assert forecast["champion"]["age_days"] > 0
    assert forecast["latest"]["run"] == {
        "dag_id": RUN[0],
        "run_id": RUN[1],
        "url": f"dags/{RUN[0]}/runs/manual__2022-12-30T00%3A00%3A00%2B00%3A00",
    }
    assert found["models"][2]["champion"] is found["models"][2]["latest"]["run"] is None
    assert get(console, f"/models/{FORECAST}").json == forecast


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("search=CAST", [FORECAST]),
        ("tier=2", [VENDOR]),
        ("attention=challenger", [DAMAGED, FORECAST]),
        ("attention=challenger&tier=1", [FORECAST]),
        ("attention=halted", []),
        ("search=%25", []),
    ],
)
def test_models_are_searched_by_name_tier_and_attention(
    console: ConsoleServer, query: str, names: list[str]
) -> None:
    found = get(console, f"/models?{query}").json
    assert [model["name"] for model in found["models"]] == names
    assert found["total"] == len(names)


@pytest.mark.parametrize("path", ["/models", "/models?attention=challenger", f"/models/{FORECAST}/versions"])
def test_pages_follow_each_other_until_there_is_no_next(console: ConsoleServer, path: str) -> None:
    items = "versions" if path.endswith("versions") else "models"
    whole = get(console, path).json[items]
    paged: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        sign = "&" if "?" in path else "?"
        page = get(console, f"{path}{sign}limit=1" + (f"&cursor={cursor}" if cursor else "")).json
        paged += page[items]
        cursor = page["next"]
    assert paged == whole
    assert len(paged) > 1


def test_history_and_timeline_tell_what_was_measured_and_what_happened(console: ConsoleServer) -> None:
    history = get(console, f"/models/{FORECAST}/history").json
    assert history["metrics"] == ["qlike", "rmse"]
    assert [(point["version"], point["values"]["qlike"]) for point in history["points"]] == [
        (2, 0.54),
        (1, 0.55),
    ]
    assert history["points"][0]["baselines"]["ewma"]["qlike"] == 0.586
    assert [(one["version"], one["until"], one["as_of"]) for one in history["champions"]] == [
        (1, None, "2022-06-30")
    ]
    events = get(console, f"/models/{FORECAST}/timeline").json["events"]
    said = [(event["actor"], event["summary"]) for event in events][-5:]
    assert said == [
        ("tester", "version 2 registered"),
        ("olga", "version 1 promoted to champion"),
        ("vera", "promotion of version 1 approved as model_validator"),
        ("olga", "promotion of version 1 approved as risk_officer"),
        ("tester", "version 1 registered"),
    ]


def test_a_version_shows_all_that_is_recorded_of_it(console: ConsoleServer) -> None:
    found = get(console, f"/models/{FORECAST}/versions/2").json
    assert found["reference"] == f"{FORECAST}@2"
    assert (found["state"], found["incumbent"], found["signed"]) == ("challenger", 1, True)
    assert [gate["outcome"] for gate in found["gates"]] == ["passed"] * 3
    assert [file["path"] for file in found["files"]] == ["weights.json"]
    assert found["lineage"]["seed"] == 2
    assert found["links"]["run"]["run_id"] == RUN[1]
    assert found["problems"] == []


def test_comparing_lists_what_is_equal_and_what_differs(console: ConsoleServer) -> None:
    found = get(console, f"/models/{FORECAST}/compare?left=1&right=2").json
    assert {"name": "qlike", "left": 0.55, "right": 0.54} in found["metrics"]
    assert {"name": "trainer", "left": "ridge", "right": "ridge"} in found["parameters"]
    assert {"name": "seed", "left": 1, "right": 2} in found["parameters"]
    sides = get(console, f"/models/{FORECAST}/compare?left=1&right=1").json
    assert all(one["left"] == one["right"] for kind in ("metrics", "data", "code") for one in sides[kind])


def test_a_run_shows_what_it_registered(console: ConsoleServer) -> None:
    found = get(console, f"/runs/{RUN[0]}/{RUN[1].replace('+', '%2B')}").json
    assert {(one["name"], one["version"], one["outcome"]) for one in found["versions"]} == {
        (FORECAST, 1, "registered"),
        (FORECAST, 2, "registered"),
        (DAMAGED, 1, "registered"),
        (DAMAGED, 2, "registered"),
    }
    assert found["failure"] is None
    assert get(console, f"/runs/other/{RUN[1].replace('+', '%2B')}").json["versions"] == []


def test_the_proof_verifies_with_nothing_but_itself(console: ConsoleServer) -> None:
    bundle = ProofBundle.from_bytes(get(console, f"/models/{FORECAST}/versions/1/proof").body)
    assert verify_proof(bundle, verify_signature).problems == ()
    assert bundle.reference == f"{FORECAST}@1"


def test_verification_reads_all_objects_and_is_never_cached(console: ConsoleServer) -> None:
    answer = get(console, f"/models/{FORECAST}/versions/1/verification")
    found = answer.json
    assert found["verified"]
    assert not found["pending"]
    assert all(one["ok"] for one in found["checked"])
    assert [one["what"].split(" of ")[0] for one in found["checked"]] == [
        "ledger entry 2", "manifest", "file weights.json", "attachment calibration.svg",
        "attachment evidence.json", "attachment model.sig",
    ]  # fmt: skip
    assert answer.headers["Cache-Control"] == "private, no-store"


def test_a_changed_file_is_named_and_the_rest_is_shown(console: ConsoleServer) -> None:
    found = get(console, f"/models/{DAMAGED}/versions/1/verification").json
    assert not found["verified"]
    (problem,) = found["problems"]
    assert problem["object"].startswith(f"file weights.json of {DAMAGED}@1")
    assert problem["problem"] == "its SHA-256 is not the one in the manifest"
    assert [one["what"] for one in found["checked"] if not one["ok"]] == [problem["object"]]
    assert get(console, f"/models/{DAMAGED}/versions/1").json["problems"] == []


def test_a_version_with_a_changed_manifest_is_still_shown(console: ConsoleServer) -> None:
    """Nothing is believed of the manifest, nothing may be decided, and everything else is there."""
    found = get(console, f"/models/{DAMAGED}/versions/2").json
    assert found["metadata"] is found["lineage"] is None
    assert (found["actions"], found["files"]) == ([], [])
    assert "its SHA-256 is not the model id" in found["problems"][0]
    assert [gate["outcome"] for gate in found["gates"]] == ["passed"] * 3
    model = get(console, f"/models/{DAMAGED}").json
    assert model["risk_tier"] is None
    assert model["latest"]["run"] is not None
    assert f"manifest of {DAMAGED}@2" in model["problems"][0]
    verified = get(console, f"/models/{DAMAGED}/versions/2/verification").json
    assert verified["problems"][0]["object"].startswith(f"manifest of {DAMAGED}@2")
    card = get(console, f"/models/{DAMAGED}/versions/2/card")
    assert (card.status, card.json["status"]) == (500, 500)
    assert f"manifest of {DAMAGED}@2" in card.json["detail"]


def test_attachments_never_change_and_nothing_in_them_runs(console: ConsoleServer) -> None:
    version = f"/models/{FORECAST}/versions/2"
    kept = {one["name"]: one for one in get(console, version).json["attachments"]}
    picture = kept["calibration.svg"]
    address = f"{version}/attachments/{picture['sha256']}"
    answer = get(console, address)
    assert digest(answer.body) == picture["sha256"]
    assert answer.headers["Content-Type"] == "image/svg+xml"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    tag = answer.headers["ETag"]
    assert tag == f'"{picture["sha256"]}"'
    again = get(console, address, headers={"If-None-Match": f'"other", {tag}'})
    assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert get(console, address, headers={"If-None-Match": '"other"'}).status == 200
    card = get(console, f"{version}/card")
    assert card.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert f"<title>{FORECAST}@2</title>" in card.body.decode()


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/models/nothing", 404, "model nothing is not registered"),
        (f"/models/{FORECAST}/versions/9", 404, f"{FORECAST} has no version 9: it has 1 to 2"),
        (f"/models/{FORECAST}/versions/0", 422, "version is '0': Input should be greater than or equal to 1"),
        (f"/models/{FORECAST}/versions/2/attachments/{'0' * 64}", 404, "has no attachment 0000"),
        (f"/models/{FORECAST}/versions/2/attachments/x", 422, "sha256 is 'x'"),
        ("/models/..%2f..%2fetc/versions", 404, "no such address"),
        ("/models/UPPER", 422, "name is 'UPPER'"),
        ("/models?limit=201", 422, "limit is '201'"),
        ("/models?cursor=%21", 422, "cursor is '!': give the `next` of a page, or none for the first page"),
        (f"/models/{FORECAST}/versions?cursor=YQ", 422, "cursor is 'YQ'"),
        ("/models?attention=boredom", 422, "attention is 'boredom'"),
        (f"/models/{FORECAST}/compare?left=1", 422, "right is missing: give it"),
        ("/elsewhere", 404, "the console has no such address"),
    ],
)
def test_what_cannot_be_answered_is_one_sentence(
    console: ConsoleServer, path: str, status: int, detail: str
) -> None:
    answer = get(console, path)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert detail in answer.json["detail"]
    assert "Traceback" not in answer.body.decode()


def test_a_method_that_an_address_does_not_take_is_refused(console: ConsoleServer) -> None:
    answer = console.api("DELETE", f"/models/{FORECAST}", person="admin")
    assert (answer.status, answer.headers["Content-Type"]) == (405, "application/problem+json")


def test_an_integrity_problem_is_no_secret(console: ConsoleServer) -> None:
    """Where the registry lies on the server's disk is nobody's business."""
    answers = [get(console, f"/models/{DAMAGED}/versions/{version}") for version in (1, 2)]
    home = console.environment["VERITAS_HOME"]
    assert all(home not in json.dumps(answer.json) for answer in answers)
