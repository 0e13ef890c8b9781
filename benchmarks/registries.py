"""Registering 100 kB on each registry, signed and in the ledger, against the plain upload of the same bytes.

Servers are real ones on loopback: SeaweedFS, MLflow, docker-registry, and a bare repository with Git LFS.
The other side of each ratio is what somebody would do without this project, with that server's own client.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from benchmarks.report import Line, Turns, show

SIZE = 100_000
ROUNDS = 9
LIMITS = {"file system": 30.0, "S3": 20.0, "MLflow": 6.0, "OCI": 6.0, "git with LFS": 4.0}

Upload = Callable[[int], object]
"""Stores the artifact with this number."""


def measure() -> list[Line]:
    """The ratio of each registry."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as directory, ExitStack() as stack:
        lines: list[Line] = []
        for name, prepare in (
            ("file system", _file_system),
            ("S3", _s3),
            ("MLflow", _mlflow),
            ("OCI", _oci),
            ("git with LFS", _git),
        ):
            home = Path(directory) / name.replace(" ", "-")
            home.mkdir()
            settings, upload = prepare(home, stack)
            took = Turns.of(_registration(home, settings), upload, ROUNDS)
            lines.append(Line.of(f"{name}: register 100 kB, ms", [s * 1000 for s in took.ours], None))
            lines.append(Line.of(f"{name}: register / plain upload", took.ratios, LIMITS[name]))
        return lines


def _artifact(directory: Path, number: int) -> Path:
    """A safetensors file that only this number has."""
    from tests.exactly_once.candidates import write_safetensors

    file = directory / "made" / f"{number}.safetensors"
    file.parent.mkdir(exist_ok=True)
    if not file.exists():
        write_safetensors(file, (number + 2).to_bytes(8, "big") * (SIZE // 8))
    return file


def _registration(home: Path, settings: dict[str, str]) -> Upload:
    from domain.registry.metadata import ModelMetadata, RiskTier
    from veritasvault.bootstrap import bootstrap

    application = bootstrap({"VERITAS_HOME": str(home / "veritas"), **settings})
    about = ModelMetadata("small", "Measure.", "benchmarks", RiskTier.LOW, "none", "None.", "None.")

    def register(number: int) -> None:
        answer = application.registration.register_model(about, _artifact(home, number))
        if answer.outcome != "registered" or "model.sig" not in {a.name for a in answer.event.attachments}:
            raise SystemExit(f"a new model was not registered with a signature: {answer}")

    return register


def _file_system(home: Path, stack: ExitStack) -> tuple[dict[str, str], Upload]:
    """Against a copy that is on disk before a row of SQLite names it."""
    from veritasvault.adapters.durable_files import sync

    place = home / "plain"
    place.mkdir()
    database = stack.enter_context(closing(sqlite3.connect(home / "plain.db")))
    database.execute("CREATE TABLE models (number INTEGER PRIMARY KEY, path TEXT)")

    def copy(number: int) -> None:
        copied = Path(shutil.copyfile(_artifact(home, number), place / str(number)))
        sync(copied)
        database.execute("INSERT INTO models VALUES (?, ?)", (number, str(copied)))
        database.commit()

    return {}, copy


def _s3(home: Path, stack: ExitStack) -> tuple[dict[str, str], Upload]:
    from tests.servers.seaweedfs import seaweedfs

    server = stack.enter_context(seaweedfs(_directory(home)))
    os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = (
        server.access_key,
        server.secret_key,
    )
    os.environ["AWS_DEFAULT_REGION"] = server.region
    client, bucket = server.client(), server.make_bucket()

    def put(number: int) -> None:
        client.put_object(Bucket=bucket, Key=f"plain/{number}", Body=_artifact(home, number).read_bytes())

    return {"VERITAS_REGISTRY": f"s3://{bucket}/models", "VERITAS_S3_ENDPOINT": server.endpoint}, put


def _mlflow(home: Path, stack: ExitStack) -> tuple[dict[str, str], Upload]:
    from tests.servers.mlflow_server import running_mlflow
    from veritasvault.adapters.mlflow_client import import_mlflow

    import_mlflow(embedded=False)
    from mlflow import MlflowClient

    server = stack.enter_context(running_mlflow(_directory(home)))
    client = MlflowClient(server.url)
    experiment = client.create_experiment("plain")
    client.create_registered_model("plain")

    def log(number: int) -> None:
        run = client.create_run(experiment).info
        client.log_artifact(run.run_id, str(_artifact(home, number)))
        client.set_terminated(run.run_id)
        client.create_model_version("plain", f"{run.artifact_uri}/{number}.safetensors", run.run_id)

    return {"VERITAS_REGISTRY": f"mlflow+{server.url}/measured"}, log


def _oci(home: Path, stack: ExitStack) -> tuple[dict[str, str], Upload]:
    import oras.client

    from tests.servers.oci import docker_registry

    server = stack.enter_context(docker_registry(_directory(home)))
    client: Any = oras.client.OrasClient(hostname=server.host, insecure=True)

    def push(number: int) -> None:
        client.push(
            target=f"{server.host}/plain:{number + 1}",
            files=[str(_artifact(home, number))],
            disable_path_validation=True,
        )

    return {"VERITAS_REGISTRY": f"oci://{server.host}/models?insecure=1"}, push


def _git(home: Path, _: ExitStack) -> tuple[dict[str, str], Upload]:
    from tests.servers.git_lfs import make_remote

    make_remote(home / "plain.git")
    make_remote(home / "models.git")
    clone = home / "clone"

    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
        subprocess.run(["git", *identity, *arguments], cwd=clone, check=True, capture_output=True)

    clone.mkdir()
    git("clone", "--quiet", str(home / "plain.git"), ".")
    git("lfs", "install", "--local")
    git("lfs", "track", "*.safetensors")

    def push(number: int) -> None:
        shutil.copy(_artifact(home, number), clone)
        git("add", "--all")
        git("commit", "--quiet", "--message", f"model {number}")
        git("push", "--quiet", "origin", "HEAD:main")

    return {"VERITAS_REGISTRY": f"git+{(home / 'models.git').as_uri()}"}, push


def _directory(home: Path) -> Path:
    """A new directory for a server."""
    directory = home / "server"
    directory.mkdir()
    return directory


if __name__ == "__main__":
    sys.exit(show("Registries", measure()))
