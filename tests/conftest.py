"""What all tests share: real servers as fixtures, and an environment without settings of the user's."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

pytest_plugins = [
    "tests.servers.embedded_mlflow",
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
    parser.addoption("--every-cell", action="store_true", help="each pipeline x trainer x engine on Airflow")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes begins first, so that in the end no worker waits for another."""
    items.sort(key=lambda item: _begins(item.path.relative_to(TESTS).as_posix()))


def _begins(file: str) -> int:
    return next((place for place, slow in enumerate(SLOWEST) if file.startswith(slow)), len(SLOWEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    return OneAirflow(config, log)


class OneAirflow(LoadFileScheduling):
    """Files stay whole, and one worker has all that starts an Airflow: two would wait for each other."""

    def _split_scope(self, nodeid: str) -> str:
        file = str(super()._split_scope(nodeid))
        return AIRFLOW if file.removeprefix("tests/").startswith(AIRFLOWS) else file


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("VERITAS_", "AIRFLOW_", "AWS_", "MLFLOW_", "VAULT_")):
            monkeypatch.delenv(name)
