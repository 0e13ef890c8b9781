"""The policy of a server denies whenever the server does not answer as it should, and says why."""

from __future__ import annotations

import io
import json
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.registry.canonical import digest
from domain.registry.errors import Unavailable
from domain.registry.policy import NO_POLICY, policy_digest
from tests.registry.policy_questions import question
from tests.servers.opa_like import opa_like, serving
from veritasvault.adapters.opa_bundle import bundle
from veritasvault.adapters.opa_policy import OpaPolicy
from veritasvault.adapters.policy_files import PolicyFiles
from veritasvault.settings import packaged_policy

FILES = PolicyFiles.read(packaged_policy())
ALLOWED = {"result": {"allowed": True, "reasons": [], "files": FILES.digests}}


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_the_question_is_posted_as_the_input_of_the_documented_request() -> None:
    seen: list[tuple[str, object]] = []

    def answer(path: str, body: bytes) -> tuple[int, bytes]:
        seen.append((path, json.loads(body)))
        return 200, json.dumps(ALLOWED).encode()

    with serving(answer) as url:
        assert OpaPolicy(url).decide("promote", question()).allowed
        assert OpaPolicy(f"{url}/opa/").decide("promote", question()).allowed
    expected = {"input": question().to_json()}
    assert seen == [
        ("/v1/data/veritas/lifecycle/decision", expected),
        ("/opa/v1/data/veritas/lifecycle/decision", expected),
    ]


def test_a_decision_names_the_files_of_the_server_and_not_those_of_this_machine() -> None:
    others = PolicyFiles({**FILES.rules, "approvals.rego": FILES.rules["approvals.rego"] + "\n"}, {})
    with opa_like(bundle(others)) as url:
        policy = OpaPolicy(url)
        assert policy.decide("promote", question()).policy == others.digest != FILES.digest
        assert policy.files() == others.digests


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"{}", "data.veritas.lifecycle.decision is undefined"),
        (200, b'{"result": null}', "data.veritas.lifecycle.decision is undefined"),
        (200, b'{"result": true}', "answered in another form"),
        (200, b"[]", "answered something else than a JSON object"),
        (200, b"", "answered something else than a JSON object"),
        (200, b"<html>", "answered something else than a JSON object"),
        (200, b"\xff", "answered something else than a JSON object"),
        (200, b"[" * 100_000, "answered something else than a JSON object"),
        (200, b" " * (2 << 20), "no end after"),
        (204, b"", "answered 204"),
        (302, b"{}", "answered 302"),
        (400, b'{"code": "invalid_parameter", "message": "bad"}', "answered 400, invalid_parameter: bad"),
        (401, b'{"code": "unauthorized", "message": "no"}', "answered 401, unauthorized: no"),
        (404, b"not here", "answered 404, without a JSON object"),
        (500, b'{"code": "internal_error", "message": "conflict"}', "answered 500, internal_error: conflict"),
        (503, json.dumps(ALLOWED).encode(), "answered 503"),
    ],
)
def test_an_answer_that_is_not_the_documented_one_is_a_denial(status: int, body: bytes, reason: str) -> None:
    with serving(lambda path, asked: (status, body)) as url:
        decision = OpaPolicy(url).decide("promote", question())
    assert not decision.allowed
    assert reason in decision.reasons[0]
    assert decision.policy == NO_POLICY
    assert decision.input == question().digest


def test_a_server_that_is_not_there_is_a_denial() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # bound and not listening, so that nobody else takes it meanwhile
        url = f"http://127.0.0.1:{holder.getsockname()[1]}"
        decision = OpaPolicy(url).decide("promote", question())
    assert decision.reasons == (
        f"the policy server {url} cannot be asked: ConnectionRefusedError: [Errno 111] Connection refused",
    )


@pytest.mark.parametrize("host", ["nobody.invalid", "a" * 70 + ".invalid", "127.0.0.1 x"])
def test_a_host_that_does_not_exist_is_a_denial(host: str) -> None:
    assert "cannot be asked" in OpaPolicy(f"http://{host}:8181").decide("promote", question()).reasons[0]


def test_a_server_without_tls_is_a_denial_where_https_is_asked_for() -> None:
    with opa_like(bundle(FILES)) as url:
        decision = OpaPolicy(url.replace("http:", "https:")).decide("promote", question())
    assert "SSLError" in decision.reasons[0]


def test_a_server_that_is_silent_is_a_denial_after_the_patience(silent: str) -> None:
    begun = time.monotonic()
    decision = OpaPolicy(silent, patience=0.2).decide("promote", question())
    assert "TimeoutError" in decision.reasons[0]
    assert time.monotonic() - begun < 30


def test_a_server_that_answers_byte_by_byte_is_a_denial_after_the_patience() -> None:
    """Each byte comes in time, the whole does not."""
    stop = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not stop.wait(0.01):
                try:
                    connection.sendall(b" ")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        try:
            decision = OpaPolicy(url, patience=0.3).decide("promote", question())
        finally:
            stop.set()
            thread.join()
    assert "no end after" in decision.reasons[0]


def test_rules_with_an_error_leave_the_server_without_a_decision() -> None:
    with opa_like(
        bundle(PolicyFiles({"lifecycle.rego": "package veritas.lifecycle\ndecision := {"}, {}))
    ) as url:
        decision = OpaPolicy(url).decide("promote", question())
    assert decision.reasons == ("the rule data.veritas.lifecycle.decision is undefined: check the policy",)


def test_rules_that_were_loaded_without_the_list_of_them_decide_nothing() -> None:
    """`opa run --server deploy/policy` does not say which files decide."""
    nameless = _repacked(bundle(FILES), without="data.json")
    with opa_like(nameless) as url:
        decision = OpaPolicy(url).decide("promote", question())
        assert "does not name the files" in decision.reasons[0]
        assert OpaPolicy(url).files() == {}


def test_a_server_that_does_not_name_files_cannot_be_asked_for_them() -> None:
    with serving(lambda path, asked: (200, b"{}")) as url, pytest.raises(Unavailable, match="does not name"):
        OpaPolicy(url).files()


def test_a_bundle_holds_the_rules_their_list_and_the_digest_as_its_revision() -> None:
    """https://www.openpolicyagent.org/docs/management-bundles."""
    members = _members(bundle(FILES))
    assert set(members) == {".manifest", "data.json", *FILES.rules}
    manifest = json.loads(members[".manifest"])
    assert manifest == {"revision": FILES.digest, "roots": ["veritas"], "rego_version": 1}
    named = json.loads(members["data.json"])["veritas"]["policy"]["files"]
    assert named == {name: digest(members[name]) for name in FILES.rules}
    assert policy_digest(named) == FILES.digest


def test_the_same_files_give_the_same_bundle(tmp_path: Path) -> None:
    for path in sorted(packaged_policy().glob("*.rego"), reverse=True):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert bundle(PolicyFiles.read(tmp_path)) == bundle(FILES)


def _members(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        files = {member.name: tar.extractfile(member) for member in tar}
        return {name: file.read() for name, file in files.items() if file is not None}


def _repacked(packed: bytes, *, without: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, content in _members(packed).items():
            if name != without:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return made.getvalue()
