"""What all tests share: real servers as fixtures, and an environment without settings of the user's."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

pytest_plugins = [
    "tests.servers.mlflow_server",
    "tests.servers.postgres",
    "tests.servers.openbao",
    "tests.servers.oidc",
    "tests.servers.seaweedfs",
    "tests.servers.oci",
    "tests.servers.oci_tokens",
    "tests.servers.git_lfs",
]

# The machine's speed says nothing about the code, and a failure has to be the same everywhere.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", action="store_true", help="write the pictures of docs/images anew")


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("VERITAS_", "AIRFLOW_", "AWS_", "MLFLOW_", "VAULT_")):
            monkeypatch.delenv(name)
