"""A real MLflow tracking server for tests, over SQLite, keeping artifacts itself; also behind a password."""

from __future__ import annotations

import base64
import contextlib
import ctypes
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.exactly_once.kill_points import KillPoints

_DEADLINE = 120.0


@dataclass(frozen=True)
class MlflowTestServer:
    """Where the server listens, and the directory that it keeps artifacts in."""

    url: str
    artifacts: Path


@pytest.fixture(scope="session")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowTestServer]:
    """A running MLflow server, one for each session: its start takes seconds."""
    with running_mlflow(tmp_path_factory.mktemp("mlflow")) as server:
        yield server


@pytest.fixture(scope="session")
def mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of an embedded store; making its tables takes seconds, so tests share it and keep apart."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow-store')}/mlflow.db"


@contextlib.contextmanager
def running_mlflow(home: Path) -> Iterator[MlflowTestServer]:
    """Run an MLflow server with its data in `home` until the block ends."""
    port = _free_port()
    server = MlflowTestServer(f"http://127.0.0.1:{port}", home / "artifacts")
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{home}/mlflow.db", "--workers", "1"]
    command += ["--artifacts-destination", str(server.artifacts)]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=home,
            env={**os.environ, **quiet},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent,
        )
        try:
            _wait_until_healthy(process, server.url, home / "log")
            yield server
        finally:
            # At once: it closes its connections slowly, and nobody reads its store again.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def behind_a_password(server: MlflowTestServer, user: str, password: str) -> Iterator[str]:
    """The URL of a proxy that passes on what has HTTP basic authentication, and answers 401 to all else."""
    expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    target = server.url.removeprefix("http://")

    class Proxy(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Authorization") != expected:
                self._answer(401, {"WWW-Authenticate": 'Basic realm="mlflow"'}, b"You are not authenticated")
                return
            connection = http.client.HTTPConnection(target, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            kept = {name: answer.headers[name] for name in ("Content-Type",) if name in answer.headers}
            self._answer(answer.status, kept, answer.read())
            connection.close()

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on  # noqa: N815 - the standard library's names

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing on standard error."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()
            thread.join()


def kill_at_request(step: int) -> None:
    """Let this process die by SIGKILL right before its n-th request, which is after the one before it."""
    import requests

    KillPoints(step).around(
        requests.Session, "send", lambda _, request, **__: f"{request.method} {request.url}"
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """A killed test run must not leave the server behind."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + _DEADLINE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"MLflow did not start:\n{log.read_text(errors='replace')[-3000:]}")
