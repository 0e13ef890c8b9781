"""A server with the part of OPA's REST API that is used here, on a free loopback port.

It evaluates with regorus, another engine than the one in process, and loads the bundles that OPA loads. It
cannot show whether OPA itself does the same: `docs/policy.md` says what is still to be tried.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import regorus

Answer = tuple[int, bytes]
"""HTTP status and body."""


@contextlib.contextmanager
def opa_like(bundle: bytes) -> Iterator[str]:
    """Serve the Data API on a bundle until the block ends; gives the URL.

    A bundle that cannot be loaded leaves the server without rules, as in OPA: everything is undefined.
    """
    # An engine belongs to the thread that made it, and ends with it.
    mine = threading.local()

    def answer(path: str, body: bytes) -> Answer:
        if not hasattr(mine, "engine"):
            mine.engine = _loaded(bundle)
        return _data(mine.engine.clone(), path, body)

    with serving(answer) as url:
        yield url


@contextlib.contextmanager
def serving(answer: Callable[[str, bytes], Answer]) -> Iterator[str]:
    """Answer POST requests one after the other by a function of path and body; gives the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, content = answer(self.path, body)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Silent: tests say what went wrong."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def engine_of(modules: dict[str, str], data: dict[str, Any]) -> Any:
    """A regorus engine with Rego sources by file name and a data document."""
    engine = regorus.Engine()
    engine.add_data_json(json.dumps(data))
    for name, source in modules.items():
        engine.add_policy(name, source)
    return engine


def value_of(engine: Any, rule: str) -> Any:
    """The value of a rule, such as `data.veritas.lifecycle.decision`; None if it is undefined."""
    found = json.loads(engine.eval_query_as_json(rule)).get("result", [])
    return found[0]["expressions"][0]["value"] if found else None


def _loaded(bundle: bytes) -> Any:
    members: dict[str, str] = {}
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(bundle))) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            members[member.name.lstrip("/")] = file.read().decode()
    data = json.loads(members.get("data.json", "{}"))
    try:
        return engine_of({name: text for name, text in members.items() if name.endswith(".rego")}, data)
    except RuntimeError:
        return regorus.Engine()


def _data(engine: Any, path: str, body: bytes) -> Answer:
    """https://www.openpolicyagent.org/docs/rest-api#get-a-document-with-input."""
    prefix, _, document = path.partition("/v1/data/")
    if prefix or not document:
        return 404, _error("resource_not_found", "no such API")
    try:
        request = json.loads(body)
        if "input" in request:
            engine.set_input_json(json.dumps(request["input"]))
    except (ValueError, TypeError) as error:
        return 400, _error("invalid_parameter", f"body contains malformed input document: {error}")
    try:
        value = value_of(engine, ".".join(["data", *document.split("/")]))
    except RuntimeError as error:
        return 500, _error("internal_error", str(error).strip().partition("\n")[0])
    return 200, json.dumps({} if value is None else {"result": value}).encode()


def _error(code: str, message: str) -> bytes:
    return json.dumps({"code": code, "message": message}).encode()
