"""A real OCI registry for tests: Debian's docker-registry on a loopback port, with storage of its own."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from domain.registry.canonical import digest
from tests.servers.seaweedfs import _die_with_parent

_DEADLINE = 30.0
_USER, _PASSWORD = "quant", "planted-secret"
_BCRYPT = (
    "$2b$04$KXjzNFCW3x5DHr94uguAV.fMy20r5lBypfZG4u7VRTe4J.4HcSPgW"  # the only hash that docker-registry takes
)
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class OciServer:
    """Where the registry listens (host and port), where it keeps blobs, and whom it lets in."""

    host: str
    storage: Path
    user: str | None = None
    password: str | None = None

    def request(
        self, method: str, path: str, data: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, Any]:
        """Status, body and headers of an answer, by none of the code under test."""
        url = path if path.startswith("http") else f"http://{self.host}{path}"
        request = urllib.request.Request(url, data, headers, method=method)
        if self.user:
            login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
            request.add_header("Authorization", f"Basic {login}")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), error.headers

    def push(self, repository: str, content: bytes) -> str:
        """Upload a blob; its SHA-256."""
        _, _, headers = self.request("POST", f"/v2/{repository}/blobs/uploads/", b"")
        separator = "&" if "?" in headers["Location"] else "?"
        place = f"{headers['Location']}{separator}digest=sha256:{digest(content)}"
        status, body, _ = self.request("PUT", place, content, **{"Content-Type": "application/octet-stream"})
        assert status == 201, body
        return digest(content)

    def manifest(self, repository: str, tag: str) -> dict[str, Any] | None:
        status, body, _ = self.request("GET", f"/v2/{repository}/manifests/{tag}", Accept=_MANIFEST)
        return json.loads(body) if status == 200 else None

    def tag(self, repository: str, tag: str, manifest: dict[str, Any]) -> None:
        """Move a tag to another image manifest."""
        status, body, _ = self.request(
            "PUT",
            f"/v2/{repository}/manifests/{tag}",
            json.dumps(manifest).encode(),
            **{"Content-Type": _MANIFEST},
        )
        assert status == 201, body

    def blob(self, sha256: str) -> Path:
        """The file that a blob is kept in."""
        return self.storage / "docker/registry/v2/blobs/sha256" / sha256[:2] / sha256 / "data"

    def open_uploads(self, repository: str) -> list[str]:
        """Uploads that were begun and neither finished nor given up."""
        uploads = self.storage / "docker/registry/v2/repositories" / repository / "_uploads"
        # The server leaves empty directories of those that it ended.
        return [path.parent.name for path in uploads.glob("*/data")]


@pytest.fixture
def oci_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OciServer]:
    """A registry of the test's own that lets everybody in; blobs are shared by all its repositories."""
    with docker_registry(tmp_path_factory.mktemp("oci")) as server:
        yield server


@pytest.fixture
def closed_oci_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OciServer]:
    """A registry of the test's own that asks for a user and a password."""
    with docker_registry(tmp_path_factory.mktemp("oci"), closed=True) as server:
        yield server


@pytest.fixture
def docker_login(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, str], None]:
    """Writes what `docker login` would for a host, user and password, in a place of the test's own."""
    directory = tmp_path / "docker"
    directory.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(directory))

    def login(host: str, user: str, password: str) -> None:
        auth = base64.b64encode(f"{user}:{password}".encode()).decode()
        (directory / "config.json").write_text(json.dumps({"auths": {host: {"auth": auth}}}))

    return login


@contextlib.contextmanager
def docker_registry(
    directory: Path, *, closed: bool = False, auth: dict[str, Any] | None = None, deletes: bool = True
) -> Iterator[OciServer]:
    """Run docker-registry with its storage in `directory` until the block ends.

    Args:
        closed: let in nobody but the user whom the answer names.
        auth: another section `auth` of the server's configuration.
        deletes: whether the server lets anybody delete.
    """
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{reserved.getsockname()[1]}"
    login = (_USER, _PASSWORD) if closed else (None, None)
    server = OciServer(host, directory / "storage", *login)
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(server.storage)}, "delete": {"enabled": deletes}},
        "http": {"addr": host},
    }
    if closed:
        users = directory / "htpasswd"
        users.write_text(f"{_USER}:{_BCRYPT}\n")
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(users)}}
    if auth:
        config["auth"] = auth
    file = directory / "config.json"
    file.write_text(json.dumps(config))  # JSON is YAML
    log = directory / "registry.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            preexec_fn=_die_with_parent,
        )
    try:
        _wait_until_ready(process, server, log)
        yield server
    finally:
        process.send_signal(signal.SIGKILL)  # its data is thrown away
        process.wait()
        shutil.rmtree(server.storage, ignore_errors=True)


def _wait_until_ready(process: subprocess.Popen[bytes], server: OciServer, log: Path) -> None:
    deadline = time.monotonic() + _DEADLINE
    last: object = None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            last, _, _ = server.request("GET", "/v2/")
            if last in (200, 401):
                return
        except OSError as error:
            last = error
        time.sleep(0.01)
    raise RuntimeError(f"docker-registry did not start ({last}):\n{log.read_text(errors='replace')[-3000:]}")
