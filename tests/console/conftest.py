"""One API server for the tests that change nothing, and what it needs; a new one for those that do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.console.seeded import USERS, seed
from tests.console.server import ConsoleServer, console_server
from veritasvault.airflow_local.environment import base_environment, dags_folder, plugins_folder

Start = Callable[..., ConsoleServer]


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts an API server on a new registry; Airflow's database is made once."""
    metadata = tmp_path_factory.mktemp("airflow")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ}
    with ExitStack() as servers:

        def start_one(base: str = "", **settings: str) -> ConsoleServer:
            home = tmp_path_factory.mktemp("registry") / "home"
            seed(home)
            given = {**kept, "PYTHONDONTWRITEBYTECODE": "1", "VERITAS_HOME": str(home), **settings}
            return servers.enter_context(console_server(metadata, USERS, given, base=base))

        yield start_one


@pytest.fixture(scope="session")
def console(start: Start) -> ConsoleServer:
    """A server for tests that change nothing which another one looks at."""
    return start()


_DESCRIBE = """
import json, sys
from fastapi.routing import APIRoute
from veritasvault.console.app import create_app
from veritasvault.console.openapi import as_text, document

app = create_app()
api = [route for route in app.routes if isinstance(route, APIRoute)]
routes = [[method, route.path] for route in api for method in route.methods]
print("\\n" + json.dumps({"text": as_text(document(app)), "routes": routes}))
"""


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The app's document, and its routes as (method, path)."""
    home = tmp_path_factory.mktemp("describe")
    environment = base_environment(
        home, dags_folder(), plugins_folder(), f"sqlite:///{home / 'airflow.db'}", dict(os.environ)
    )
    ended = subprocess.run(
        [sys.executable, "-c", _DESCRIBE], env=environment, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="session")
def published() -> dict[str, Any]:
    """docs/openapi.json."""
    found: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "openapi.json").read_text())
    return found
