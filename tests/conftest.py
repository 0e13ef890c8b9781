"""What all tests share: real servers as fixtures, and an environment without settings of the user's."""

from __future__ import annotations

import os
from pathlib import Path

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

TESTS = Path(__file__).parent
AIRFLOW = "airflow"
AIRFLOWS = ("airflow/", "console/test_run_in_browser.py", "docs/test_add_a_model.py")
SLOWEST = (*AIRFLOWS, "exactly_once/", "reproduction/", "console/", "cli/", "contracts/")
"""Parts of the tests that take minutes, in the order in which they begin."""

# The machine's speed says nothing about the code, and a failure has to be the same everywhere.
settings.register_profile("project", deadline=None, derandomize=True)
settings.load_profile("project")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", action="store_true", help="write the pictures of docs/images anew")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files stay whole, and one worker has all that starts an Airflow: two would wait for each other.

    What takes minutes begins first, so that in the end no worker waits for another.
    """
    for item in items:
        file = item.path.relative_to(TESTS).as_posix()
        item.add_marker(pytest.mark.xdist_group(AIRFLOW if file.startswith(AIRFLOWS) else file))
    items.sort(key=lambda item: _begins(item.path.relative_to(TESTS).as_posix()))


def _begins(file: str) -> int:
    return next((place for place, slow in enumerate(SLOWEST) if file.startswith(slow)), len(SLOWEST))


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("VERITAS_", "AIRFLOW_", "AWS_", "MLFLOW_", "VAULT_")):
            monkeypatch.delenv(name)
