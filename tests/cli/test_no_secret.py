"""Wherever a user puts a secret, no command shows it: in no answer, error, traceback or file."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from tests.cli.console import PATIENCE, Console, vendor_model
from tests.cli.test_evaluate import SPEC
from tests.planted import Planted
from tests.servers.mlflow_server import MlflowTestServer, behind_a_password
from tests.servers.oci import OciServer
from tests.servers.oidc import Provider
from tests.servers.openbao import VaultServer
from tests.servers.seaweedfs import S3Server
from veritasvault.bootstrap import bootstrap
from veritasvault.cli.doctor import examine

CLOSED = "127.0.0.1:1"
MISPLACED = {
    "VERITAS_REGISTRY": (
        f"oci://quant:{{}}@{CLOSED}/models",
        f"oci://quant:a/{{}}@{CLOSED}/models",
        f"oci://quant:{{}}/a@{CLOSED}/models",
        f"git+https://{{}}@{CLOSED}/models",
        f"git+ssh://quant:{{}}@{CLOSED}/models",
        f"mlflow+http://quant:{{}}@{CLOSED}/experiment",
        "mlflow+http://quant:a#{}@host:port/experiment",
        "s3://key:{}@bucket/prefix",
        "s3://bucket/prefix?X-Amz-Signature={}",
        "file://quant:{}@host/models",
        "ftp://quant:{}@host/models",
        "quant:{}@host/models",
        "oci://quant:{}@[host/models",
    ),
    "VERITAS_LEDGER": (
        f"postgresql://quant:{{}}@{CLOSED}/ledger",
        f"postgresql://quant@{CLOSED}/ledger?password={{}}",
        f"postgresql://quant:a/{{}}@{CLOSED}/ledger",
        f"postgresql://quant:{{}}/a@{CLOSED}/ledger",
        "postgresql://quant:{}/ledger",
        f"postgresql://quant:{{}}@{CLOSED}/ledger?no_such_option={{}}",
        "mysql://quant:{}@host/ledger",
        "host=db password={}",
    ),
    "VERITAS_TRACKING": (
        f"http://quant:{{}}@{CLOSED}",
        f"http://{CLOSED}/?token={{}}",
        "ftp://quant:{}@host",
    ),
    "VERITAS_SNAPSHOTS_REMOTE": ("s3://key:{}@bucket", "ssh://quant:{}@host/data"),
    "VERITAS_BLOCKS": ("s3://key:{}@bucket/blocks", "s3://bucket?signature={}"),
    "VERITAS_S3_ENDPOINT": (f"http://key:{{}}@{CLOSED}",),
    "VERITAS_DASK": (f"tls://quant:{{}}@{CLOSED}",),
    "VERITAS_SPARK": (
        f"sc://{CLOSED}/;token={{}}",
        f"sc://quant:{{}}@{CLOSED}",
        f"spark://quant:{{}}@{CLOSED}",
    ),
    "VERITAS_RAY": (f"ray://quant:{{}}@{CLOSED}", f"ray://{CLOSED}/?token={{}}", "ray://quant:{}/a"),
    "VERITAS_POLICY": (f"http://quant:{{}}@{CLOSED}", "ftp://quant:{}@host", f"http://{CLOSED}/?token={{}}"),
    "VERITAS_WITNESSES": ("s3://key:{}@bucket", "s3://bucket?signature={}"),
    "VERITAS_SIGNER": (
        f"vault://quant:{{}}@{CLOSED}/transit?checkpoint=a&artifact=b",
        f"vault://{CLOSED}/transit?token={{}}",
        "quant:{}@host",
    ),
    "VERITAS_AWS_CONNECTION": ("aws://key:{}@",),
    "VERITAS_OIDC_ISSUER": (f"https://quant:{{}}@{CLOSED}",),
    "VERITAS_S3_SECRET_KEY": ("{}",),
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": (
        f"postgresql+psycopg2://quant:{{}}@{CLOSED}/airflow",
        f"postgresql+psycopg2://quant:{{}}/a@{CLOSED}/airflow",
        "postgresql+psycopg2://quant:{}/airflow",
        f"postgresql+psycopg2://quant@{CLOSED}/airflow?password={{}}",
    ),
}
"""Where a user may put a secret, rightly or not, with `{}` in its place."""


@pytest.fixture
def planted() -> Planted:
    return Planted()


def said_by(work: Callable[[], object]) -> str:
    """All that some work prints, returns and raises, with the chain of causes."""
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        try:
            out.write(f"\n{work()!r}\n")
        except Exception as error:
            out.write("".join(traceback.format_exception(error)))
    return out.getvalue()


@pytest.mark.parametrize(
    ("setting", "form"),
    [pytest.param(name, form, id=f"{name} {form}") for name, forms in MISPLACED.items() for form in forms],
)
def test_no_setting_shows_a_secret_in_it(planted: Planted, tmp_path: Path, setting: str, form: str) -> None:
    """Neither the doctor, nor any part that is made from it, nor the chain of an error's causes."""
    for secret in (planted.new("plain"), quote(planted.new("escaped"), safe=""), planted.bare("bare")):
        environment = {
            "VERITAS_HOME": str(tmp_path),
            "VERITAS_CODE_VERSION": "test",
            "AWS_EC2_METADATA_DISABLED": "true",
            setting: form.replace("{}", secret),
        }
        if setting in ("VERITAS_S3_ENDPOINT", "VERITAS_AWS_CONNECTION"):
            environment["VERITAS_REGISTRY"] = "s3://models"
        said = said_by(lambda given=environment: examine(given))
        assert "settings" in said
        for part in (
            "settings",
            "registry.list",
            "ledger.port.size",
            "policy",
            "engine",
            "tracker",
            "witness",
        ):
            said += said_by(lambda given=environment, part=part: used(given, part))
        assert planted.found(said.encode(), "what was said") == [], said


def used(environment: dict[str, str], part: str) -> object:
    """Make a part of the system and ask it something."""
    application = bootstrap(environment)
    settings = application.settings
    match part:
        case "settings":
            return settings
        case "registry.list":
            return list(application.registry.list())
        case "ledger.port.size":
            return application.ledger.port.size()
        case "engine":
            from veritasvault.adapters.spark_prep import SparkPrepEngine

            return SparkPrepEngine(settings.spark) if settings.spark != "local[2]" else None
        case "witness":
            return [application.witness(uri) for uri in settings.witnesses]
    return getattr(application, part)


@dataclass(frozen=True)
class Desk:
    """A home whose every part is on a server that asks for a secret."""

    console: Console
    planted: Planted
    bucket: str = ""
    s3: S3Server | None = None

    def run(self, *arguments: object, **settings: str) -> str:
        """All that a command prints, in Python's development mode, which shows tracebacks."""
        environment = self.console.environment() | {"PYTHONDEVMODE": "1"} | settings
        done = subprocess.run(
            self.console.command(arguments),
            cwd=self.console.directory,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return f"{done.returncode}\n{done.stdout}\n{done.stderr}"

    def said(self, *arguments: object, **settings: str) -> str:
        """The same, after it was searched."""
        text = self.run(*arguments, **settings)
        assert self.planted.found(text.encode(), arguments) == [], text
        return text


@pytest.fixture
def desk(
    planted: Planted,
    empty: Console,
    s3_server: S3Server,
    vault_server: VaultServer,
    mlflow_server: MlflowTestServer,
    oidc: Provider,
    postgres_url: Callable[[], str],
) -> Iterator[Desk]:
    planted.add("S3 secret key", s3_server.secret_key)
    planted.add("Vault token", vault_server.token)
    planted.add("token of the actor", oidc.token("8f3e").split(".")[2])
    mount = vault_server.new_mount()
    keys = [vault_server.new_key(mount, algorithm) for algorithm in ("ed25519", "ecdsa-p256")]
    (empty.directory / "secrets").mkdir()
    token = empty.directory / "secrets" / "token"
    token.write_text(oidc.token("8f3e"))
    planted.add("token of the actor", token.read_text().split(".")[2])
    bucket, mlflow = s3_server.make_bucket(), planted.new("MLflow password")
    with behind_a_password(mlflow_server, "quant", mlflow) as tracking:
        settings = {
            "AWS_ACCESS_KEY_ID": s3_server.access_key,
            "AWS_SECRET_ACCESS_KEY": s3_server.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "MLFLOW_TRACKING_USERNAME": "quant",
            "MLFLOW_TRACKING_PASSWORD": mlflow,
            "PGPASSWORD": planted.new("PostgreSQL variable"),
            "AIRFLOW_CONN_OTHER": f"aws://key:{quote(planted.new('connection'), safe='')}@",
            "VAULT_TOKEN": vault_server.token,
            "VERITAS_LEDGER": with_password(postgres_url(), planted.new("ledger")),
            "VERITAS_OIDC_ISSUER": oidc.url,
            "VERITAS_REGISTRY": f"s3://{bucket}",
            "VERITAS_S3_ENDPOINT": s3_server.endpoint,
            "VERITAS_SIGNER": f"{vault_server.url.replace('http', 'vault+http')}/{mount}"
            f"?checkpoint={keys[0]}&artifact={keys[1]}",
            "VERITAS_TOKEN_FILE": str(token),
            "VERITAS_TRACKING": tracking,
        }
        vendor_model(empty.directory)
        yield Desk(Console(empty.home, empty.directory, settings), planted, bucket, s3_server)


def with_password(url: str, password: str) -> str:
    """A database's URL with a password, which a server that trusts everybody does not look at."""
    return url.replace("postgres:@", f"postgres:{quote(password, safe='')}@", 1)


REGISTER = ("register", "--metadata", "model.json", "--artifact", "model")


def test_no_command_shows_or_keeps_a_secret_that_it_works_with(desk: Desk) -> None:
    """Every part works, with its secret; then no output, file, object, row or run of MLflow holds one."""
    assert quote(desk.planted.secrets["ledger"], safe="") in desk.console.settings["VERITAS_LEDGER"]
    assert desk.said(*REGISTER).startswith("0\nvendor_vol@1: registered")
    commands: tuple[tuple[object, ...], ...] = (
        ("doctor",),
        ("doctor", "--json"),
        ("models", "show", "vendor_vol@1", "--json"),
        ("models", "card", "vendor_vol@1", "--html", "card.html"),
        ("models", "retrieve", "vendor_vol@1", "copy"),
        ("export-proof", "vendor_vol@1", "proof.json", "--full"),
        ("verify", "--all"),
        ("ledger", "show", "--json"),
        ("keys", "list", "--json"),
        ("metrics",),
        ("mlflow", "sync"),
    )
    for command in commands:
        assert desk.said(*command).startswith("0\n"), command
    assert desk.s3 is not None
    client = desk.s3.client()
    stored = [item["Key"] for item in client.list_objects_v2(Bucket=desk.bucket)["Contents"]]
    for key in stored:
        content = client.get_object(Bucket=desk.bucket, Key=key)["Body"].read()
        assert desk.planted.found(key.encode() + content, key) == []
    assert any(key.endswith("metadata.json") for key in stored)
    assert desk.planted.found_in_database(sqlalchemy_url(desk.console.settings["VERITAS_LEDGER"])) == []
    assert desk.planted.found_below(desk.console.home) == []
    shown = [path for path in desk.console.directory.iterdir() if path.name not in ("secrets", "home")]
    for path in shown:
        found = (
            desk.planted.found_below(path) if path.is_dir() else desk.planted.found(path.read_bytes(), path)
        )
        assert found == []


def sqlalchemy_url(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg2://", 1)


def test_no_refusal_shows_the_secret_that_was_refused(desk: Desk) -> None:
    """Each server says no, to a command and to the doctor; the chain of causes is searched too."""
    desk.said(*REGISTER)
    (desk.console.directory / "model" / "table.csv").write_text("asset,weight\nKO,1\n")
    wrong = {name: desk.planted.new(name) for name in ("s3", "vault", "mlflow", "token", "airflow")}
    airflow = {"AIRFLOW__API__BASE_URL": f"http://{CLOSED}", "AIRFLOW_CLI_TOKEN": wrong["airflow"]}
    (desk.console.directory / "secrets" / "wrong").write_text(wrong["token"])
    refused = (
        (REGISTER, {"AWS_SECRET_ACCESS_KEY": wrong["s3"]}, "S3 credentials"),
        (REGISTER, {"VAULT_TOKEN": wrong["vault"]}, "VAULT_TOKEN is 'not shown'"),
        (REGISTER, {"VERITAS_TOKEN_FILE": "secrets/wrong"}, "VERITAS_TOKEN_FILE"),
        (("mlflow", "sync"), {"MLFLOW_TRACKING_PASSWORD": wrong["mlflow"]}, "MLflow credentials"),
        (("backfill", "watch", "1"), airflow, "api/v2/backfills/1 failed"),
    )
    for command, settings, said in refused:
        text = desk.said(*command, **settings)
        assert not text.startswith("0\n")
        assert "Traceback" in text
        assert said in text
        assert said in desk.said(*command, "--json", **settings, PYTHONDEVMODE="")
        desk.said("doctor", "--json", **settings)


def test_a_docker_login_is_shown_by_nothing(
    empty: Console,
    planted: Planted,
    closed_oci_server: OciServer,
    docker_login: Callable[[str, str, str], None],
) -> None:
    host, user = closed_oci_server.host, closed_oci_server.user
    right, wrong = planted.add("login", str(closed_oci_server.password)), planted.new("wrong login")
    settings = {
        "VERITAS_REGISTRY": f"oci://{host}/risk/models?insecure=1",
        "DOCKER_CONFIG": os.environ["DOCKER_CONFIG"],
    }
    desk = Desk(Console(empty.home, empty.directory, settings), planted)
    vendor_model(empty.directory)
    docker_login(host, str(user), right)
    assert desk.said(*REGISTER).startswith("0\n")
    docker_login(host, str(user), wrong)
    assert "registry credentials" in desk.said("doctor")
    assert "registry credentials" in desk.said("models", "retrieve", "vendor_vol@1", "copy")
    assert planted.found_below(empty.home) == []


def test_a_login_that_gits_own_settings_put_into_an_address_is_shown_by_nothing(
    empty: Console, planted: Planted
) -> None:
    rewritten = f"https://quant:{quote(planted.new('git'), safe='')}@127.0.0.1:1/"
    (empty.directory / "gitconfig").write_text(f'[url "{rewritten}"]\n\tinsteadOf = https://git.example/\n')
    settings = {
        "VERITAS_REGISTRY": "git+https://git.example/models",
        "GIT_CONFIG_GLOBAL": str(empty.directory / "gitconfig"),
    }
    desk = Desk(Console(empty.home, empty.directory, settings), planted)
    vendor_model(empty.directory)
    for command in (("doctor",), REGISTER):
        assert "127.0.0.1" in desk.said(*command)
    assert planted.found_below(empty.home) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("ledger", "witness", "s3://key:{}@bucket"),
        ("ledger", "witness", "s3://bucket?signature={}"),
        ("migrate", "--to", "oci://quant:{}@127.0.0.1:1/models"),
        ("migrate", "--from", "s3://key:{}@bucket", "--to", "file:///nowhere"),
        ("migrate", "--to-ledger", "postgresql://quant:{}@127.0.0.1:1/ledger"),
        ("migrate", "--to-ledger", "postgresql://quant@127.0.0.1:1/ledger?password={}", "--json"),
        ("models", "show", "https://quant:{}@host/model"),
        ("monitor", "forecast@1", "--spec", str(SPEC), "--source", "s3://key:{}@bucket/prices.parquet"),
        ("predict", "https://quant:{}@host/model", "--input", "rows.csv"),
        ("predict", "forecast@1", "--input", "s3://key:{}@bucket/rows.csv"),
        ("predict", "forecast@1", "--input", "https://host/rows.csv?X-Amz-Signature={}", "--json"),
        ("--token-file", "https://quant:{}@host/token", "halt", "--all", "--reason", "x"),
    ],
)
def test_no_argument_shows_a_secret_in_it(
    console: Console, planted: Planted, arguments: tuple[str, ...]
) -> None:
    desk = Desk(console, planted)
    for secret in (planted.new("plain"), quote(planted.new("escaped"), safe="")):
        given = [argument.replace("{}", secret) for argument in arguments]
        assert not desk.said(*given).startswith("0\n")
        assert not desk.said(*given, PYTHONDEVMODE="").startswith("0\n")
    assert planted.found_below(console.home) == []


@pytest.mark.parametrize(
    "write",
    [
        lambda secret: f"key={secret}.",
        lambda secret: quote(secret, safe=""),
        lambda secret: base64.b64encode(f"quant:{secret}".encode()).decode(),
        lambda secret: base64.urlsafe_b64encode(f"a{secret}b".encode()).decode(),
        lambda secret: base64.b64encode(f"ab{secret}".encode()).decode(),
        lambda secret: json.dumps({"password": secret}),
        lambda secret: f"https://u:{quote(secret)}@host",
        lambda secret: secret.encode().hex(),
    ],
)
def test_the_search_finds_a_secret_however_it_is_written(
    planted: Planted, tmp_path: Path, write: Callable[[str], str]
) -> None:
    """In bytes, in files, and in rows of a database; without it no other test here means anything."""
    text = write(planted.new("this"))
    assert {purpose for purpose, _, _ in planted.found(text.encode(), "text")} == {"this"}
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file.log").write_text(text)
    assert planted.found_below(tmp_path)
    engine = sa.create_engine(f"sqlite:///{tmp_path}/rows.db")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE rows (value TEXT)"))
        connection.execute(sa.text("INSERT INTO rows VALUES (:value)"), {"value": text})
    assert planted.found_in_database(str(engine.url))
    engine.dispose()
    assert planted.found(b"nothing of it", "text") == []
