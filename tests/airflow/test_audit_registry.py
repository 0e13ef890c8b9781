"""The audit on Airflow's own scheduler: what it records and witnesses, and who hears of what differs."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg2
import pytest

from domain.registry.daily_audit import audit_of, audits, newest_audit
from domain.registry.errors import Unavailable
from domain.registry.ledger.witness import witness
from tests.airflow.platform import running_airflow
from tests.cli.console import register_forecast
from tests.places import open_to_others
from veritasvault.airflow_local.supervisor import LocalAirflow
from veritasvault.bootstrap import Application, bootstrap

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(2400)]

DAGS = Path(__file__).parents[2] / "dags"
AUDIT = "audit_registry"
PATIENCE = 600.0
NOTIFIERS = """
[[notifier]]
class = "airflow.providers.http.notifications.http.HttpNotifier"
http_conn_id = "pager"
json = {dag = "{{ dag.dag_id }}", run = "{{ run_id }}", reason = "{{ reason }}"}
"""


@dataclass
class Pager:
    """A server that keeps what it is sent."""

    heard: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def about(self, run_id: str) -> list[str]:
        return [message["reason"] for message in self.heard if message["run"] == run_id]


@pytest.fixture(scope="module")
def pager() -> Iterator[Pager]:
    found = Pager()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        found.url = f"http://127.0.0.1:{server.server_port}"
        yield found
        server.shutdown()
        thread.join()


@dataclass(frozen=True)
class Platform:
    """A running Airflow with the audit, a registry with one version, a witness and a pager."""

    airflow: LocalAirflow
    environment: dict[str, str]
    pager: Pager

    @property
    def registry(self) -> Application:
        return bootstrap(self.environment)

    def audited(self) -> tuple[str, str, str]:
        """Trigger an audit: the run's id, its state, and what the task's last try logged."""
        client = self.airflow.client
        run_id = client.trigger(AUDIT)
        try:
            state = client.wait(AUDIT, run_id, PATIENCE)
        except Unavailable as error:
            raise AssertionError(f"{error}, its tasks are {client.tasks(AUDIT, run_id)}") from error
        number = client.tasks(AUDIT, run_id)["audit"]["try_number"]
        return run_id, state, client.log(AUDIT, run_id, "audit", number)


@pytest.fixture(scope="module")
def platform(postgres_url: Callable[[], str], pager: Pager) -> Iterator[Platform]:
    """In an installation that reads everything every day, so that each test finds what it changes."""
    with open_to_others() as directory:
        dags, home = directory / "dags", directory / "veritas"
        dags.mkdir()
        home.mkdir()
        (dags / f"{AUDIT}.py").write_bytes((DAGS / f"{AUDIT}.py").read_bytes())
        (home / "alerts.toml").write_text(NOTIFIERS)
        environment = {
            "AIRFLOW_CONN_PAGER": pager.url,
            "VERITAS_HOME": str(home),
            "VERITAS_LEDGER": postgres_url(),
            "VERITAS_AUDIT_DAYS": "1",
            "VERITAS_WITNESSES": (directory / "witness").as_uri(),
        }
        application = bootstrap(environment)
        register_forecast(application, directory)
        witness(application.ledger, application.witnesses[0], new=True)
        with running_airflow(directory, dags, environment) as (airflow, environment):
            yield Platform(airflow, environment, pager)


def test_an_audit_verifies_records_and_witnesses(platform: Platform) -> None:
    """Two runs of a day leave one record; the witness has the checkpoint that covers it; nobody is called."""
    for _ in range(2):
        run_id, state, log = platform.audited()
        assert state == "success", log
    view = platform.registry.ledger.view()
    audit = newest_audit(view)
    assert audit is not None
    assert (audit.verified, audit.read, audit.versions) == (True, 1, 1)
    recorded = [event.day for event in audits(view)]
    assert len(recorded) == len(set(recorded))
    assert audit.provenance["dag_id"] == AUDIT
    row = platform.registry.catalog.resolve("forecast@1")
    assert audit_of(view, row) == audit
    (place,) = platform.registry.witnesses
    assert max(place.sizes()) == view.size
    assert f"{place} has the checkpoint" in log
    assert platform.registry.audit.everything().problems == ()
    assert platform.pager.about(run_id) == []


def test_a_changed_artifact_is_a_red_run_and_people_hear_which(platform: Platform) -> None:
    """At once, without a retry; the ledger, which is in order, says so too, and once it is mended again."""
    row = platform.registry.catalog.resolve("forecast@1")
    home = Path(platform.environment["VERITAS_HOME"]) / "registry" / "models" / row.model_id
    file = home / "artifact" / "weights.json"
    good = file.read_bytes()
    file.chmod(0o644)
    file.write_bytes(good.replace(b"0.1", b"0.2"))
    run_id, state, log = platform.audited()
    named = f"file weights.json of forecast@1 ({row.model_id})"
    assert state == "failed"
    assert platform.airflow.client.tasks(AUDIT, run_id)["audit"]["try_number"] == 1
    assert named in log
    (reason,) = platform.pager.about(run_id)
    assert named in reason
    audit = newest_audit(platform.registry.ledger.view())
    assert audit is not None
    assert (audit.damaged, audit.problems) == ((row.model_id,), (named,))
    file.write_bytes(good)
    _, state, log = platform.audited()
    assert state == "success", log


def test_a_tampered_ledger_is_a_red_run_and_nothing_is_appended(platform: Platform) -> None:
    """Neither an entry nor a checkpoint, here or at the witness."""
    before = _stand(platform.registry)
    _execute(platform, "UPDATE entries SET data = data || 'x'::bytea WHERE idx = 2")
    run_id, state, log = platform.audited()
    assert state == "failed"
    assert "ledger entry 2: its bytes do not have its leaf hash" in log
    assert "nothing was recorded, signed or witnessed: the ledger is not what it should be" in log
    (reason,) = platform.pager.about(run_id)
    assert "ledger entry 2" in reason
    assert _stand(platform.registry) == before


def _stand(application: Application) -> tuple[int, object, list[int]]:
    port = application.ledger.port
    return port.size(), port.last_checkpoint(), list(application.witnesses[0].sizes())


def _execute(platform: Platform, statement: str) -> None:
    connection = psycopg2.connect(platform.environment["VERITAS_LEDGER"])
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            assert cursor.rowcount == 1
    finally:
        connection.close()
