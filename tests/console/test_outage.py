"""While ledger or store cannot be reached the console says so, and what it does not need still works."""

from __future__ import annotations

from tests.console.conftest import Start
from tests.console.seeded import FORECAST

CLOSED = "127.0.0.1:1"
"""Nothing listens on this port."""

LEDGER = ("/models", f"/models/{FORECAST}", f"/models/{FORECAST}/versions", f"/models/{FORECAST}/versions/2")
STORE = ("/models", f"/models/{FORECAST}/versions/2/card", f"/models/{FORECAST}/versions/2/proof")


def test_without_the_ledger_every_read_says_so_and_asks_to_come_again(start: Start) -> None:
    server = start(VERITAS_LEDGER=f"postgresql://quant@{CLOSED}/ledger")
    for path in LEDGER:
        answer = server.api("GET", path, person="vic")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5"), answer.body
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert CLOSED in answer.json["detail"]


def test_without_the_store_what_is_in_the_ledger_can_be_read(start: Start) -> None:
    server = start(
        VERITAS_REGISTRY="s3://models",
        VERITAS_S3_ENDPOINT=f"http://{CLOSED}",
        AWS_ACCESS_KEY_ID="key",
        AWS_SECRET_ACCESS_KEY="secret",
    )
    timeline = server.api("GET", f"/models/{FORECAST}/timeline", person="vic")
    assert timeline.status == 200, timeline.body
    assert timeline.json["events"]
    for path in STORE:
        answer = server.api("GET", path, person="vic")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5"), answer.body
        assert CLOSED in answer.json["detail"]
