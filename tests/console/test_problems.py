"""Every error is a problem document with one sentence, over HTTP, and none shows what went on inside."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi import FastAPI

from domain.registry import errors
from tests.console.server import Answer
from veritasvault.airflow_local.processes import until
from veritasvault.console import problems

RAISED: dict[str, tuple[Exception, int, str]] = {
    "invalid": (errors.InvalidInput("field", 3, "give 4"), 422, "field is 3: give 4"),
    "absent": (errors.NotFound("it is not there"), 404, "it is not there"),
    "forbidden": (errors.NotPermitted("you may not"), 403, "you may not"),
    "stale": (errors.StaleDecision("look again"), 409, "look again"),
    "away": (errors.Unavailable("the store is away"), 503, "the store is away"),
    "busy": (errors.Contended("lost every race"), 503, "lost every race"),
    "changed": (errors.IntegrityError("file a differs"), 500, "file a differs"),
    "unproved": (errors.NotVerified("no proof"), 500, "no proof"),
    "secret": (errors.Unavailable("postgresql://u:hunter2@h/d is away"), 503, "is away"),
    "bug": (ZeroDivisionError("hunter2"), 500, "the console failed (ZeroDivisionError)"),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """An app whose every route fails, on a server of its own."""
    app = FastAPI()
    problems.install(app)

    def route(name: str, error: Exception) -> None:
        def fail() -> None:
            raise error

        app.get(f"/{name}")(fail)

    for name, (error, *_) in RAISED.items():
        route(name, error)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert until(lambda: server.started, 60)
        host, port = server.servers[0].sockets[0].getsockname()
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join()


def get(url: str) -> Answer:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises(urllib.error.HTTPError) as raised:
        opener.open(url, timeout=60)
    with raised.value as error:
        return Answer(error.code, error.headers, error.read())


@pytest.mark.parametrize("name", RAISED)
def test_an_error_is_a_sentence_with_its_status(url: str, name: str) -> None:
    _, status, detail = RAISED[name]
    answer = get(f"{url}/{name}")
    assert answer.status == answer.json["status"] == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert detail in answer.json["detail"]
    assert b"hunter2" not in answer.body
    assert b"Traceback" not in answer.body
    assert (answer.headers["Retry-After"] == "5") == (status == 503)
