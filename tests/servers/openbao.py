"""A real Vault for tests: OpenBao's development server on a free loopback port, once in each session."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_DEADLINE = 60.0


@dataclass(frozen=True)
class VaultServer:
    """Where the server listens, and the token that may do everything."""

    url: str
    token: str

    def client(self) -> Any:
        """An hvac client with the root token."""
        import hvac

        return hvac.Client(self.url, token=self.token)

    def new_mount(self) -> str:
        """The path of a new, empty Transit engine."""
        path = f"transit-{uuid.uuid4().hex[:12]}"
        self.client().sys.enable_secrets_engine("transit", path=path)
        return path

    def new_key(self, mount: str, algorithm: str) -> str:
        """The name of a new Transit key of this algorithm."""
        name = f"key-{uuid.uuid4().hex[:12]}"
        self.client().secrets.transit.create_key(name, key_type=algorithm, mount_point=mount)
        return name

    def new_store(self) -> SecretStore:
        """A new, empty key-value engine, and a role that may only read it."""
        client, path = self.client(), f"airflow-{uuid.uuid4().hex[:12]}"
        client.sys.enable_secrets_engine("kv", path=path, options={"version": "2"})
        client.sys.create_or_update_policy(path, f'path "{path}/data/*" {{ capabilities = ["read"] }}')
        if "approle/" not in client.sys.list_auth_methods()["data"]:
            client.sys.enable_auth_method("approle")
        client.auth.approle.create_or_update_approle(path, token_policies=[path])
        return SecretStore(self, path)


@dataclass(frozen=True)
class SecretStore:
    """A key-value engine of version 2 at `path`, and the AppRole and policy of the same name."""

    server: VaultServer
    path: str

    def put(self, name: str, **values: str) -> None:
        self.server.client().secrets.kv.v2.create_or_update_secret(name, values, mount_point=self.path)

    def token(self) -> str:
        """A new token that may read here and nothing else."""
        answer = self.server.client().auth.token.create(policies=[self.path], ttl="1h")
        return str(answer["auth"]["client_token"])

    def role(self) -> dict[str, str]:
        """`role_id` and a new `secret_id` of the AppRole."""
        client = self.server.client().auth.approle
        return {
            "role_id": client.read_role_id(self.path)["data"]["role_id"],
            "secret_id": client.generate_secret_id(self.path)["data"]["secret_id"],
        }


@pytest.fixture(scope="session")
def vault_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VaultServer]:
    """A running OpenBao, in memory, unsealed."""
    with openbao(tmp_path_factory.mktemp("openbao")) as server:
        yield server


@contextlib.contextmanager
def openbao(directory: Path) -> Iterator[VaultServer]:
    """Run OpenBao, with its log in `directory`, until the block ends."""
    token = f"root-{uuid.uuid4().hex}"
    address = f"127.0.0.1:{_free_port()}"
    log = directory / "bao.log"
    bao = Path(sysconfig.get_path("scripts")) / "bao"
    flags = [f"-dev-root-token-id={token}", f"-dev-listen-address={address}", "-dev-no-store-token"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [str(bao), "server", "-dev", *flags],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**os.environ, "HOME": str(directory)},
            preexec_fn=_die_with_parent,
        )
    server = VaultServer(f"http://{address}", token)
    try:
        _wait_until_ready(process, server, log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


def _die_with_parent() -> None:
    """A killed test run must not leave the server behind."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _wait_until_ready(process: subprocess.Popen[bytes], server: VaultServer, log: Path) -> None:
    """Poll until the server says that it is initialised and unsealed."""
    deadline = time.monotonic() + _DEADLINE
    last: object = None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{server.url}/v1/sys/health", timeout=2).close()
            return
        except OSError as error:
            last = error
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-3000:]
    raise RuntimeError(f"OpenBao did not start ({last}):\n{tail}")
