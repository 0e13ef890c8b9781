"""Whatever is sent, the API answers as its document says, and no answer is the server's fault."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pytest
import schemathesis
from hypothesis import HealthCheck, assume, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.console.conftest import Start
from tests.console.seeded import FORECAST, RUN
from tests.console.server import ConsoleServer

CHECKS = [
    not_a_server_error,
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
]
THERE = {"name": FORECAST, "version": 1, "dag_id": RUN[0], "run_id": RUN[1]}
"""What is in the registry, so that not every answer is that there is no such thing."""

api = schemathesis.openapi.from_path(Path(__file__).parents[2] / "docs" / "openapi.json")


@pytest.fixture(scope="module")
def fuzzed(start: Start) -> ConsoleServer:
    """A server on a registry of its own, for decisions of any kind."""
    return start()


@api.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_anything_is_answered_as_documented(case: Case, fuzzed: ConsoleServer) -> None:
    _send(case, fuzzed)


@api.parametrize()
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_anything_about_what_is_there_is_answered_as_documented(case: Case, fuzzed: ConsoleServer) -> None:
    for name, value in THERE.items():
        if name in case.path_parameters:
            case.path_parameters[name] = value
    _send(case, fuzzed)


def _send(case: Case, server: ConsoleServer) -> None:
    """As a risk officer, whom the domain lets decide most."""
    # Airflow answers an address with a line feed itself: it reaches no app that is mounted in it.
    assume(all("\n" not in unquote(str(value)) for value in case.path_parameters.values()))
    headers = {"Authorization": f"Bearer {server.token('olga')}"}
    case.call_and_validate(base_url=f"{server.url}/veritas", headers=headers, checks=CHECKS)
