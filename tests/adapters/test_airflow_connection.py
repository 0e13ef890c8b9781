"""Airflow's connections and variables from a real Vault server, through what users configure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.openbao import SecretStore, VaultServer
from tests.servers.seaweedfs import S3Server

USE = """
from domain.registry.errors import DomainException
from veritasvault.bootstrap import bootstrap
try:
    bootstrap().registry.attach("0" * 64, b"report")
    from airflow.sdk import Variable
    print("attached", Variable.get("desk"))
except DomainException as error:
    print(type(error).__name__, error.retriable, error)
"""
BACKEND = "airflow.providers.hashicorp.secrets.vault.VaultBackend"


@pytest.fixture
def store(vault_server: VaultServer, s3_server: S3Server) -> SecretStore:
    """Vault with the connection `veritas_s3` and the variable `desk`."""
    store = vault_server.new_store()
    store.put(
        "connections/veritas_s3",
        conn_type="aws",
        login=s3_server.access_key,
        password=s3_server.secret_key,
        extra=json.dumps({"region_name": s3_server.region}),
    )
    store.put("variables/desk", value="market risk")
    return store


@pytest.fixture
def environment(tmp_path: Path, s3_server: S3Server) -> dict[str, str]:
    """The project on a new bucket, whose keys Airflow's connection `veritas_s3` has, wherever that is."""
    return {
        **os.environ,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__SECRETS__BACKEND": BACKEND,
        "AWS_EC2_METADATA_DISABLED": "true",
        "VERITAS_HOME": str(tmp_path / "home"),
        "VERITAS_REGISTRY": f"s3://{s3_server.make_bucket()}",
        "VERITAS_S3_ENDPOINT": s3_server.endpoint,
        "VERITAS_AWS_CONNECTION": "veritas_s3",
    }


def from_token_file(store: SecretStore, token: str, directory: Path) -> dict[str, str]:
    """The documented setting of a token that a file holds."""
    file = directory / "vault-token"
    file.write_text(token)
    settings = {"url": store.server.url, "mount_point": store.path, "config_path": None, "timeout": 10}
    return {"AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({**settings, "token_path": str(file)})}


def from_role_file(store: SecretStore, role: dict[str, str], directory: Path) -> dict[str, str]:
    """The documented setting of an AppRole: a file holds all that Airflow has to know."""
    file = directory / "vault.json"
    settings = {"url": store.server.url, "mount_point": store.path, "config_path": None, "timeout": 10}
    file.write_text(json.dumps({**settings, "auth_type": "approle", **role}))
    return {"AIRFLOW__SECRETS__BACKEND_KWARGS_CMD": f"cat {file}"}


def use(environment: dict[str, str]) -> str:
    """The last line of a fresh process, for Airflow reads its configuration once; it logs no secret."""
    done = subprocess.run(
        [sys.executable, "-c", USE], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def test_a_token_from_a_file_gives_connection_and_variable(
    store: SecretStore, environment: dict[str, str], tmp_path: Path
) -> None:
    assert use(environment | from_token_file(store, store.token(), tmp_path)) == "attached market risk"


def test_an_approle_from_a_file_gives_connection_and_variable(
    store: SecretStore, environment: dict[str, str], tmp_path: Path
) -> None:
    assert use(environment | from_role_file(store, store.role(), tmp_path)) == "attached market risk"


def test_a_refused_login_is_said_as_such_and_not_tried_again(
    store: SecretStore, environment: dict[str, str], tmp_path: Path
) -> None:
    """Airflow itself says no more than that there is no such connection."""
    stranger = store.server.client().auth.token.create(policies=["default"])["auth"]["client_token"]
    for settings in (
        from_token_file(store, "s.not-a-token", tmp_path),
        from_token_file(store, stranger, tmp_path),
        from_role_file(store, {**store.role(), "secret_id": "no-such-id"}, tmp_path),
    ):
        answer = use(environment | settings)
        assert answer.startswith("InvalidInput False AIRFLOW__SECRETS__BACKEND_KWARGS is 'not shown': ")
        assert "VaultBackend refuses the login" in answer
        assert "renew its token or secret id" in answer
        assert "no-such-id" not in answer
        assert "s.not-a-token" not in answer


def test_a_vault_that_is_away_is_tried_again(
    store: SecretStore, environment: dict[str, str], tmp_path: Path
) -> None:
    settings = from_token_file(store, store.token(), tmp_path)
    away = settings["AIRFLOW__SECRETS__BACKEND_KWARGS"].replace(store.server.url, "http://127.0.0.1:1")
    answer = use(environment | {"AIRFLOW__SECRETS__BACKEND_KWARGS": away})
    assert answer.startswith("Unavailable True VaultBackend cannot give Airflow's connections now")


def test_a_token_file_that_is_not_there_is_named_as_the_cause(
    store: SecretStore, environment: dict[str, str], tmp_path: Path
) -> None:
    settings = from_token_file(store, store.token(), tmp_path)
    (tmp_path / "vault-token").unlink()
    answer = use(environment | settings)
    assert "cannot read its token's file (No such file or directory)" in answer


def test_a_backend_without_a_way_to_log_in_is_said_as_such(environment: dict[str, str]) -> None:
    answer = use(environment | {"AIRFLOW__SECRETS__BACKEND_KWARGS": "{}"})
    assert answer.startswith("InvalidInput False AIRFLOW__SECRETS__BACKEND_KWARGS")


def test_a_connection_that_vault_does_not_have_is_named(
    store: SecretStore, environment: dict[str, str], tmp_path: Path
) -> None:
    settings = from_token_file(store, store.token(), tmp_path)
    answer = use(environment | settings | {"VERITAS_AWS_CONNECTION": "other"})
    assert answer == (
        "InvalidInput False aws_connection is 'other': add or correct the Airflow connection "
        "(The conn_id `other` isn't defined)"
    )


def test_a_malformed_connection_is_refused_without_a_piece_of_it(environment: dict[str, str]) -> None:
    """An address whose password has a slash that nobody escaped."""
    del environment["AIRFLOW__SECRETS__BACKEND"]
    answer = use(environment | {"AIRFLOW_CONN_VERITAS_S3": "aws://key:sec/ret@"})
    assert answer.startswith("InvalidInput False aws_connection is 'veritas_s3': ")
    assert "sec" not in answer.removeprefix("InvalidInput False aws_connection is 'veritas_s3': ")
