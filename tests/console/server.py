"""Airflow's own API server with the project's plugin, and nothing else of Airflow, on SQLite."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from veritasvault.airflow_local.environment import (
    base_environment,
    dags_folder,
    passwords,
    plugins_folder,
    server_environment,
)
from veritasvault.airflow_local.processes import Component, stop_all, until

_PATIENCE = 300.0


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ConsoleServer:
    """A running API server.

    Attributes:
        url: where Airflow begins, without a slash at the end.
        environment: what the server runs with.
    """

    url: str
    environment: dict[str, str]
    _tokens: dict[str, str] = field(default_factory=dict)

    def token(self, person: str) -> str:
        """What a person's requests are signed with."""
        if person not in self._tokens:
            said = {"username": person, "password": passwords(self.environment)[person]}
            answer = self.ask("POST", "/auth/token", said)
            assert answer.status == 201, answer.body
            self._tokens[person] = answer.json["access_token"]
        return self._tokens[person]

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        person: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask as a person, or as nobody; `path` is below `url`."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, method=method)
        if body is not None:
            request.add_header("Content-Type", "application/json")
        if person is not None:
            request.add_header("Authorization", f"Bearer {self.token(person)}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_PATIENCE) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def api(self, method: str, path: str, body: object = None, **settings: Any) -> Answer:
        """Ask the console's API."""
        return self.ask(method, f"/veritas/api/v1{path}", body, **settings)


@contextmanager
def console_server(
    home: Path, users: Mapping[str, str], settings: Mapping[str, str], *, base: str = ""
) -> Iterator[ConsoleServer]:
    """Start an API server, and stop it at the end.

    Args:
        home: AIRFLOW_HOME, with its database; made if it is new.
        users: role in Airflow by name.
        settings: further variables, such as VERITAS_HOME.
        base: path of Airflow's base URL, such as /airflow.
    """
    given = {
        **settings,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(
            f"{name}:{role}" for name, role in users.items()
        ),
    }
    database = f"sqlite:///{home / 'airflow.db'}"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = server_environment(
        base_environment(home, dags_folder(), plugins_folder(), database, given), port, 1
    )
    environment["AIRFLOW__API__BASE_URL"] += base
    passwords(environment)
    if not (home / "airflow.db").exists():
        migration = Component.start("migration", ["db", "migrate"], environment, home / "migration.log")
        assert migration.process.wait() == 0, (home / "migration.log").read_text()
    log = home / "api-server.log"
    command = ["api-server", "--host", "127.0.0.1", "--port", str(port)]
    server = Component.start("api-server", command, environment, log)
    console = ConsoleServer(f"http://127.0.0.1:{port}{base}", environment)
    try:
        assert until(lambda: _answers(console) or not server.alive, _PATIENCE), log.read_text()
        assert server.alive, log.read_text()
        yield console
    finally:
        stop_all([server], 10.0)


def _answers(server: ConsoleServer) -> bool:
    try:
        return server.ask("GET", "/api/v2/version").status == 200
    except OSError:
        return False
