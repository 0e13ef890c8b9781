"""Airflow executes every Python file of its plugins folder that it is not told to leave alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from veritasvault.airflow_local.environment import base_environment, dags_folder, plugins_folder

SCAN = """
import atexit, gc, json, sys

# Registered first, it is told last.
atexit.register(lambda: print(json.dumps(gc.get_freeze_count())))
import airflow.plugins_manager as manager
from airflow._shared.module_loading import find_path_from_directory
from airflow.configuration import conf

before = dict(sys.modules)
folder = conf.get("core", "plugins_folder")
found = [path for path in find_path_from_directory(folder, ".airflowignore", "glob") if path.endswith(".py")]
plugins, errors = manager._get_plugins()
print("\\n" + json.dumps({
    "found": found,
    "plugins": [one.name for one in plugins if type(one.source).__name__ == "PluginsDirectorySource"],
    "errors": errors,
    "added": sorted(set(sys.modules) - set(before)),
    "replaced": sorted(name for name, module in before.items() if sys.modules.get(name) is not module),
}))
"""


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Airflow's own scan of the plugins folder does, in a process of its own."""
    home = tmp_path_factory.mktemp("home")
    url = f"sqlite:///{home / 'airflow.db'}"
    given = {"PATH": "", "PYTHONDONTWRITEBYTECODE": "1"}
    environment = base_environment(home, dags_folder(), plugins_folder(), url, given)
    command = [sys.executable, "-c", SCAN]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    scanned, frozen = ended.stdout.splitlines()[-2:]
    return {**json.loads(scanned), "frozen": json.loads(frozen)}


def test_the_scan_finds_the_plugin_file_alone(scan: dict[str, Any]) -> None:
    """No file of the package is executed as a plugin."""
    assert [Path(path).name for path in scan["found"]] == ["veritasvault_plugin.py"]
    assert scan["plugins"] == ["veritasvault"]
    assert not scan["errors"]


def test_the_scan_replaces_no_module(scan: dict[str, Any]) -> None:
    """What was imported before the scan is the same module afterwards."""
    assert scan["replaced"] == []


def test_the_plugin_file_imports_nothing(scan: dict[str, Any]) -> None:
    """Every server and every task process executes it, so it costs no import but Airflow's own."""
    foreign = [name for name in scan["added"] if name.split(".")[0] in {"domain", "veritasvault", *HEAVY}]
    assert foreign == []
    assert "veritasvault_plugin" in scan["added"]


def test_a_process_with_the_plugin_ends_without_looking_for_garbage(scan: dict[str, Any]) -> None:
    """Airflow's servers would look through all they imported for five seconds before they end."""
    assert scan["frozen"] > 100_000


HEAVY = {"numpy", "polars", "pandas", "pyarrow", "mlflow", "great_expectations", "sklearn", "dask", "pyspark"}
