"""The audit's figures arrive where Airflow's own metrics go."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tests.cli.console import register_forecast
from veritasvault.bootstrap import bootstrap

# As a task's process begins, and then ends, in Airflow.
MEASURE = """
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils
from veritasvault.bootstrap import bootstrap
from veritasvault.tasks.audit import measure

stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=True)
measure(bootstrap(), verified=False)
"""


def test_a_collector_of_airflow_s_metrics_gets_the_figures(tmp_path: Path) -> None:
    """By OTLP, each model by its tag; a damaged ledger says so, of which no audit is recorded."""
    home = {"VERITAS_HOME": str(tmp_path / "home")}
    register_forecast(bootstrap(home), tmp_path)
    bodies: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.end_headers()

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH") if name in os.environ},
            **home,
            "AIRFLOW_HOME": str(tmp_path / "airflow"),
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
        done = subprocess.run(
            [sys.executable, "-c", MEASURE],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        server.shutdown()
        thread.join()
    assert done.returncode == 0, done.stderr
    found = figures(bodies)
    assert found["veritas.versions", "forecast"] == 1
    assert found["veritas.ledger_entries", ""] == 4
    assert found["veritas.audit_verified", ""] == 0


def figures(bodies: list[bytes]) -> dict[tuple[str, str], float]:
    """The values of gauges in requests of OTLP, by name and model."""
    found = {}
    for body in bodies:
        for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            for metric in (one for scope in resource.scope_metrics for one in scope.metrics):
                for point in metric.gauge.data_points:
                    tags = {tag.key: tag.value.string_value for tag in point.attributes}
                    value = point.as_double if point.HasField("as_double") else point.as_int
                    found[metric.name.removeprefix("airflow."), tags.get("model", "")] = value
    return found
