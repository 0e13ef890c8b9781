"""Runs whose every part asks for a secret: none turns up in a log, an XCom, a table, a report or a model.

Airflow has the S3 connection from Vault, by a token in a file; that Vault is away, and refuses, is tried too.
"""

from __future__ import annotations

import json
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import polars as pl
import pytest

from domain.registry.errors import NotFound, Unavailable
from tests.airflow.platform import running_airflow
from tests.airflow.test_volatility_forecast import ASSETS, DAGS, FORECAST, wait_until
from tests.places import open_to_others
from tests.planted import Planted
from tests.servers.mlflow_server import MlflowTestServer, behind_a_password, running_mlflow
from tests.servers.openbao import SecretStore, VaultServer
from tests.servers.seaweedfs import S3Server
from veritasvault.adapters.uri_source import UriSource
from veritasvault.airflow_local.supervisor import LocalAirflow

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(2400)]

REQUESTED = ("source", "signature")
"""Secrets in requests, which Airflow's audit log, the table `log`, keeps before anybody looks at them."""
LEAKY = """
from pathlib import Path

from airflow.sdk import dag, task


@dag(schedule=None)
def leaky():
    @task
    def told():
        print("it is", Path({file!r}).read_text())
        return Path({file!r}).read_text()

    @task
    def raised():
        try:
            raise ValueError(Path({file!r}).read_text())
        except ValueError as error:
            raise RuntimeError("it failed") from error

    told(), raised()


leaky()
"""
BACKEND = "airflow.providers.hashicorp.secrets.vault.VaultBackend"


@dataclass
class Gate:
    """A way to a server on loopback that can be shut.

    Attributes:
        open: whether it lets anybody through.
    """

    target: tuple[str, int]
    url: str = ""
    open: bool = True


@contextmanager
def gate_to(url: str) -> Iterator[Gate]:
    """Pass connections on to a server until the block ends."""
    host, _, port = url.removeprefix("http://").partition(":")
    gate = Gate((host, int(port)))

    class Passing(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if not gate.open:
                return
            with socket.create_connection(gate.target) as server:
                back = threading.Thread(target=_pour, args=(server, self.request), daemon=True)
                back.start()
                _pour(self.request, server)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Passing) as listener:
        listener.daemon_threads = True
        gate.url = f"http://127.0.0.1:{listener.server_address[1]}"
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        try:
            yield gate
        finally:
            listener.shutdown()
            thread.join()


def _pour(source: socket.socket, to: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            if not data:
                break
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@dataclass
class Guarded:
    """A running Airflow, whose every server asks for a secret.

    Attributes:
        prices: source of the runs, on S3.
        token: file with the token for Vault.
    """

    airflow: LocalAirflow
    planted: Planted
    environment: dict[str, str]
    directory: Path
    s3: S3Server
    store: SecretStore
    gate: Gate
    prices: str
    mlflow: MlflowTestServer
    runs: list[str] = field(default_factory=list)

    @property
    def token(self) -> Path:
        return self.directory / "secrets" / "vault-token"

    def trigger(self) -> str:
        params = {"as_of": "2022-12-20", "engine": "inline", "assets": ASSETS, "source": self.prices}
        self.runs.append(self.airflow.client.trigger(FORECAST, params))
        return self.runs[-1]

    def log(self, run: str, task: str, number: int = 1) -> str:
        return self.airflow.client.log(FORECAST, run, task, number)


@pytest.fixture(scope="module")
def guarded(
    tmp_path_factory: pytest.TempPathFactory,
    s3_server: S3Server,
    vault_server: VaultServer,
    postgres_url: Callable[[], str],
) -> Iterator[Guarded]:
    planted, store = Planted(), vault_server.new_store()
    password = planted.new("MLflow password")
    planted.add("S3 secret key", s3_server.secret_key)
    planted.add("root token", vault_server.token)
    store.put(
        "connections/veritas_s3",
        conn_type="aws",
        login=s3_server.access_key,
        password=s3_server.secret_key,
        extra=json.dumps({"region_name": s3_server.region}),
    )
    with (
        open_to_others() as directory,
        running_mlflow(tmp_path_factory.mktemp("guarded-mlflow")) as mlflow,
        behind_a_password(mlflow, "quant", password) as tracking,
        gate_to(vault_server.url) as gate,
    ):
        (directory / "secrets").mkdir()
        (directory / "dags").mkdir()
        for path in DAGS.glob("volatility_forecast.*"):
            (directory / "dags" / path.name).write_bytes(path.read_bytes())
        leaked = directory / "secrets" / "leaked"
        leaked.write_text(Planted().new("leak"))
        (directory / "dags" / "leaky.py").write_text(LEAKY.format(file=str(leaked)))
        token = directory / "secrets" / "vault-token"
        token.write_text(planted.add("Vault token", store.token()))
        mount = vault_server.new_mount()
        keys = [vault_server.new_key(mount, algorithm) for algorithm in ("ed25519", "ecdsa-p256")]
        backend = {"url": gate.url, "mount_point": store.path, "config_path": None, "token_path": str(token)}
        environment = {
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database(postgres_url(), planted.new("metadata password")),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
            "AIRFLOW__SECRETS__BACKEND": BACKEND,
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps(backend),
            "AIRFLOW_CONN_OTHER": f"aws://key:{quote(planted.new('other connection'), safe='')}@",
            "AWS_EC2_METADATA_DISABLED": "true",
            "MLFLOW_TRACKING_USERNAME": "quant",
            "MLFLOW_TRACKING_PASSWORD": password,
            "VAULT_TOKEN": planted.add("signing token", signing_token(vault_server, mount)),
            "VERITAS_AWS_CONNECTION": "veritas_s3",
            "VERITAS_HOME": str(directory / "veritas"),
            "VERITAS_LEDGER": database(postgres_url(), planted.new("ledger password")),
            "VERITAS_REGISTRY": f"s3://{s3_server.make_bucket()}",
            "VERITAS_RETRY_SECONDS": "1",
            "VERITAS_S3_ENDPOINT": s3_server.endpoint,
            "VERITAS_SIGNER": f"{vault_server.url.replace('http', 'vault+http')}/{mount}"
            f"?checkpoint={keys[0]}&artifact={keys[1]}",
            "VERITAS_SNAPSHOTS_REMOTE": f"s3://{s3_server.make_bucket()}/raw",
            "VERITAS_TRACKING": tracking,
        }
        prices = keep_prices(s3_server, directory)
        with running_airflow(directory, directory / "dags", environment) as (airflow, environment):
            yield Guarded(airflow, planted, environment, directory, s3_server, store, gate, prices, mlflow)


def database(url: str, password: str) -> str:
    """A database's URL with a password, which a server that trusts everybody does not look at."""
    url = url.replace("postgresql://", "postgresql+psycopg2://", 1)
    assert "postgres:@" in url
    return url.replace("postgres:@", f"postgres:{quote(password, safe='')}@", 1)


def signing_token(server: VaultServer, mount: str) -> str:
    client = server.client()
    client.sys.create_or_update_policy(mount, f'path "{mount}/*" {{ capabilities = ["read", "update"] }}')
    return str(client.auth.token.create(policies=[mount], ttl="1h")["auth"]["client_token"])


def keep_prices(s3: S3Server, directory: Path) -> str:
    panel = pl.read_parquet(UriSource().fetch("sample://sp500", directory / "secrets"))
    file = directory / "prices.parquet"
    panel.filter(pl.col("asset").is_in(ASSETS)).write_parquet(file)
    bucket = s3.make_bucket()
    s3.client().upload_file(str(file), bucket, "prices.parquet")
    return f"s3://{bucket}/prices.parquet"


def test_a_run_leaves_no_secret_anywhere(guarded: Guarded) -> None:
    """Each part is used with its secret; then all that the run wrote is searched, at the level DEBUG."""
    client, run = guarded.airflow.client, guarded.trigger()
    state = client.wait(FORECAST, run, 900)
    assert state == "success", [guarded.log(run, name) for name in client.tasks(FORECAST, run)]
    assert "DEBUG" in guarded.log(run, "register") or "debug" in guarded.log(run, "register")
    assert everything_kept(guarded) == []


def test_a_source_with_a_secret_is_refused_before_anything_is_kept(guarded: Guarded) -> None:
    """The form's pattern refuses the run: what it was triggered with would be kept and shown with it."""
    runs = len(guarded.airflow.client.runs(FORECAST))
    for source in (
        f"https://quant:{quote(guarded.planted.new('source'), safe='')}@host/prices.csv",
        f"s3://bucket/prices.csv?X-Amz-Signature={guarded.planted.new('signature')}",
    ):
        with pytest.raises(Unavailable, match="gave 4"):
            guarded.airflow.client.trigger(FORECAST, {"as_of": "2022-12-20", "source": source})
    assert len(guarded.airflow.client.runs(FORECAST)) == runs
    assert everything_kept(guarded) == []


def test_a_task_waits_for_a_vault_that_is_away(guarded: Guarded) -> None:
    """It fails with a sentence, is tried again, and goes on once Vault is back."""
    client = guarded.airflow.client
    guarded.gate.open = False
    try:
        run = guarded.trigger()
        wait_until(lambda: client.tasks(FORECAST, run)["ingest"]["try_number"] > 1)
    finally:
        guarded.gate.open = True
    assert "VaultBackend cannot give Airflow's connections now" in guarded.log(run, "ingest")
    assert client.wait(FORECAST, run, 900) == "success"
    assert everything_kept(guarded) == []


def test_a_task_does_not_wait_for_a_vault_that_refuses(guarded: Guarded) -> None:
    """The token was revoked and the file holds a wrong one: one try, one sentence with the remedy."""
    client = guarded.airflow.client
    guarded.store.server.client().auth.token.revoke(guarded.token.read_text())
    guarded.token.write_text(guarded.planted.new("wrong token"))
    try:
        run = guarded.trigger()
        assert client.wait(FORECAST, run, 600) == "failed"
    finally:
        guarded.token.write_text(guarded.planted.add("next Vault token", guarded.store.token()))
    assert client.tasks(FORECAST, run)["ingest"]["try_number"] == 1
    log = guarded.log(run, "ingest")
    assert "VaultBackend refuses the login" in log
    assert "renew its token or secret id" in log
    assert everything_kept(guarded) == []


def test_the_search_finds_what_a_task_logs_returns_and_raises(guarded: Guarded) -> None:
    """Without this the tests above could look in the wrong places."""
    client = guarded.airflow.client
    run = client.trigger("leaky")
    assert client.wait("leaky", run) == "failed"
    leaks = Planted({"leak": (guarded.directory / "secrets" / "leaked").read_text()})
    files = {place for _, _, place in leaks.found_below(guarded.directory / "airflow")}
    for task in ("told", "raised"):
        assert any(f"task_id={task}" in place for place in files), files
        assert leaks.found(client.log("leaky", run, task).encode(), task)
    tables = {
        place
        for _, _, place in leaks.found_in_database(guarded.environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"])
    }
    assert "table xcom" in tables


def everything_kept(guarded: Guarded) -> list[tuple[str, str, str]]:
    """What the search finds in all that Airflow, the registry and its servers keep."""
    planted, s3 = guarded.planted, guarded.s3.client()
    found = planted.found_below(guarded.directory / "airflow")
    found += planted.found_below(guarded.directory / "veritas")
    found += planted.found_below(guarded.mlflow.artifacts.parent)
    for name in ("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "VERITAS_LEDGER"):
        found += planted.found_in_database(guarded.environment[name])
    for bucket in (one["Name"] for one in s3.list_buckets()["Buckets"]):
        for item in s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            content = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read()
            found += planted.found(item["Key"].encode() + content, f"s3://{bucket}/{item['Key']}")
    for run in guarded.runs:
        for task, state in guarded.airflow.client.tasks(FORECAST, run).items():
            for number in range(1, state["try_number"] + 1):
                found += planted.found(logged(guarded, run, task, number).encode(), f"log of {task}")
    return [hit for hit in found if hit[0] not in REQUESTED or hit[2] != "table log"]


def logged(guarded: Guarded, run: str, task: str, number: int) -> str:
    try:
        return guarded.log(run, task, number)
    except NotFound:
        return ""  # a task that never began has no log
