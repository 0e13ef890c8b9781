"""A real S3 server for tests: SeaweedFS on free loopback ports, started once in each session."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

_DEADLINE = 60.0


@dataclass(frozen=True)
class S3Server:
    """Where the server listens and the keys it accepts."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = "us-east-1"

    def client(self) -> Any:
        """A boto3 client with the server's own keys."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}),
        )

    def make_bucket(self) -> str:
        """The name of a new, empty bucket."""
        name = f"test-{uuid.uuid4().hex[:16]}"
        self.client().create_bucket(Bucket=name)
        return name


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running SeaweedFS with one identity that may do everything."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@contextlib.contextmanager
def seaweedfs(directory: Path) -> Iterator[S3Server]:
    """Run SeaweedFS with its data in `directory` until the block ends."""
    access_key, secret_key = "veritas-test", uuid.uuid4().hex
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    config = directory / "s3.json"
    config.write_text(json.dumps({"identities": [identity]}))
    ports = _free_ports(12)
    log = directory / "weed.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            _command(directory, config, ports),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            env={**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"},
            preexec_fn=_die_with_parent,
        )
    server = S3Server(f"http://127.0.0.1:{ports['s3.port']}", access_key, secret_key)
    try:
        _wait_until_ready(process, server, log)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(3)  # the data is thrown away, so nothing is lost by a kill
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(directory / "data", ignore_errors=True)


def _command(directory: Path, config: Path, ports: dict[str, int]) -> list[str]:
    data = directory / "data"
    data.mkdir()
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    flags = {
        "dir": data,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 1024,
        "volume.max": 10_000,  # each bucket has its own
        "volume.preStopSeconds": 0,
        "filer.localSocket": directory / "filer.sock",
        "s3.localSocket": directory / "s3.sock",
        "s3.config": config,
        **ports,
    }
    return [str(weed), "server", "-filer", "-s3", *(f"-{name}={value}" for name, value in flags.items())]


def _free_ports(count: int) -> dict[str, int]:
    names = (
        "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
        "filer.port.grpc", "s3.port", "s3.port.grpc", "s3.port.iceberg", "s3.port.lance",
        "debug.port", "iam.port",
    )  # fmt: skip
    sockets = [socket.socket() for _ in names[:count]]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in zip(names, sockets, strict=True)}
    finally:
        for each in sockets:
            each.close()


def _die_with_parent() -> None:
    """A killed test run must not leave the server behind."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _wait_until_ready(process: subprocess.Popen[bytes], server: S3Server, log: Path) -> None:
    """Poll until a bucket can be made and written: the S3 port opens before a volume can be assigned."""
    deadline = time.monotonic() + _DEADLINE
    last: object = None
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(server.endpoint, timeout=2).close()
        except urllib.error.HTTPError:
            try:
                bucket = server.make_bucket()
                client = server.client()
                client.put_object(Bucket=bucket, Key="ready", Body=b"ready")
                client.delete_object(Bucket=bucket, Key="ready")
                client.delete_bucket(Bucket=bucket)
                return
            except Exception as error:
                last = error
        except OSError as error:
            last = error
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-3000:]
    raise RuntimeError(f"SeaweedFS did not start ({last}):\n{tail}")
