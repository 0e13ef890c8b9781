"""MLflow runs: one for each key, whoever asks and how often; on a real SQLite store and a real server."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from domain.registry.errors import InvalidInput, Unavailable
from domain.registry.evidence import Attachment
from domain.risk.ports import TrackedRun
from tests.servers.mlflow_server import MlflowTestServer
from veritasvault.adapters.mlflow_tracker import KEY_TAG, MlflowTracker

ROOT = Path(__file__).parents[2]
RUN = TrackedRun(
    experiment="volatility_forecast",
    key="a" * 64,
    parameters={"trainer": "ridge", "alpha": 1.0, "as_of": "2022-12-28", "seed": 0},
    metrics={"qlike": 0.537, "ewma.qlike": 0.586},
    tags={"veritas.model_id": "b" * 64},
    files=(Attachment("calibration.png", "image/png", b"\x89PNG not really"),),
)


@pytest.fixture
def embedded(mlflow_store: str) -> str:
    """The URI of the embedded store that tests share, with keys apart."""
    return mlflow_store


@pytest.fixture
def server(mlflow_server: MlflowTestServer) -> str:
    """The URL of a server that keeps artifacts itself."""
    return mlflow_server.url


@pytest.fixture(params=["embedded", "server"])
def uri(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


def runs(uri: str, key: str, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(RUN.experiment)
    assert found is not None
    return list(client.search_runs([found.experiment_id], f"tags.`{KEY_TAG}` = '{key}'", view))


def run_of(test: str) -> TrackedRun:
    """The run, under a key of the test's own."""
    return replace(RUN, key=test)


def test_a_run_keeps_parameters_metrics_tags_and_plots(uri: str, tmp_path: Path) -> None:
    run_id = MlflowTracker(uri, tmp_path / "artifacts").track(run_of("whole"))
    (run,) = runs(uri, "whole")
    assert run.info.run_id == run_id
    assert run.info.status == "FINISHED"
    assert run.data.params == {"trainer": "ridge", "alpha": "1.0", "as_of": "2022-12-28", "seed": "0"}
    assert run.data.metrics == RUN.metrics
    assert run.data.tags["veritas.model_id"] == "b" * 64
    client = MlflowClient(tracking_uri=uri)
    path = client.download_artifacts(run_id, "calibration.png", str(tmp_path))
    assert Path(path).read_bytes() == RUN.files[0].content


def test_nothing_but_what_was_given_is_recorded(uri: str, tmp_path: Path) -> None:
    """No host, user, source file, commit or package list is inferred."""
    MlflowTracker(uri, tmp_path / "artifacts").track(run_of("bare"))
    (run,) = runs(uri, "bare")
    assert set(run.data.tags) == {KEY_TAG, "veritas.model_id", "mlflow.runName"}
    client = MlflowClient(tracking_uri=uri)
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["calibration.png"]
    assert run.inputs.model_inputs == []
    assert list(client.search_model_versions(f"run_id='{run.info.run_id}'")) == []


def test_the_same_key_again_is_the_same_run(uri: str, tmp_path: Path) -> None:
    """A retry adds no run, no point to a metric's history, and no file."""
    tracker = MlflowTracker(uri, tmp_path / "artifacts")
    run = run_of("again")
    first = tracker.track(run)
    assert tracker.track(run) == first
    assert MlflowTracker(uri, tmp_path / "artifacts").track(run) == first
    assert len(runs(uri, "again", ViewType.ALL)) == 1
    client = MlflowClient(tracking_uri=uri)
    assert len(client.get_metric_history(first, "qlike")) == 1
    assert len(client.list_artifacts(first)) == 1


def test_the_same_key_updates_metrics_tags_and_files(uri: str, tmp_path: Path) -> None:
    tracker = MlflowTracker(uri, tmp_path / "artifacts")
    run = run_of("update")
    first = tracker.track(run)
    more = (*run.files, Attachment("more.txt", "text/plain", b"more"))
    changed = replace(run, metrics={"qlike": 0.5}, tags={"veritas.version": "3"}, files=more)
    assert tracker.track(changed) == first
    (found,) = runs(uri, "update")
    assert found.data.metrics == {"qlike": 0.5, "ewma.qlike": 0.586}
    assert found.data.tags["veritas.version"] == "3"
    assert len(MlflowClient(tracking_uri=uri).list_artifacts(first)) == 2


def test_a_run_that_was_cut_off_is_finished_by_the_retry(uri: str, tmp_path: Path) -> None:
    """A process died after it made the run: the retry adopts it."""
    tracker = MlflowTracker(uri, tmp_path / "artifacts")
    tracker.track(run_of("other"))
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(RUN.experiment)
    assert experiment is not None
    left = client.create_run(experiment.experiment_id, tags={KEY_TAG: "cut-off"})
    assert tracker.track(run_of("cut-off")) == left.info.run_id
    (found,) = runs(uri, "cut-off")
    assert found.info.status == "FINISHED"
    assert found.data.metrics == RUN.metrics


def test_another_parameter_under_the_same_key_is_refused(embedded: str, tmp_path: Path) -> None:
    tracker = MlflowTracker(embedded, tmp_path / "artifacts")
    tracker.track(run_of("parameters"))
    with pytest.raises(InvalidInput, match=r"parameters\.alpha is 2\.0: the same key was tracked with 1\.0"):
        tracker.track(replace(run_of("parameters"), parameters={"alpha": 2.0}))


def track_in_processes(uri: str, artifacts: Path, keys: list[str]) -> list[str]:
    """Track each key in a new process, all at once, and return the run ids in the same order."""
    command = (
        "import sys; from dataclasses import replace; from pathlib import Path;"
        " from tests.adapters.test_mlflow_tracker import RUN;"
        " from veritasvault.adapters.mlflow_tracker import MlflowTracker\n"
        "uri, artifacts, key = sys.argv[1:]\n"
        "print(MlflowTracker(uri, Path(artifacts)).track(replace(RUN, key=key)))"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", command, uri, str(artifacts), key],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for key in keys
    ]
    ids = []
    for process in processes:
        out, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        ids.append(out.split()[-1])
    return ids


def test_four_processes_open_a_new_store_at_once(tmp_path: Path) -> None:
    """Nobody finds half-made tables: two keys from two processes each give two runs."""
    uri = f"sqlite:///{tmp_path}/home/mlflow.db"
    ids = track_in_processes(uri, tmp_path / "artifacts", ["x", "y", "x", "y"])
    assert ids[0] == ids[2] != ids[1] == ids[3]
    assert [len(runs(uri, key, ViewType.ALL)) for key in ("x", "y")] == [1, 1]


def test_two_processes_with_one_key_share_a_run_on_a_server(server: str, tmp_path: Path) -> None:
    track_in_processes(server, tmp_path / "artifacts", ["shared", "shared"])
    assert len(runs(server, "shared")) == 1


def test_of_two_runs_made_at_the_same_time_the_earliest_stays(server: str, tmp_path: Path) -> None:
    """Another client made a run between our search and our creation: one is left, and it is named."""
    tracker = MlflowTracker(server, tmp_path / "artifacts")
    tracker.track(run_of("before"))
    client = MlflowClient(tracking_uri=server)
    experiment = client.get_experiment_by_name(RUN.experiment)
    assert experiment is not None
    made: list[str] = []

    class Overtaken(MlflowClient):
        """A client that another one overtakes right before it creates a run."""

        def create_run(self, *args: Any, **kwargs: Any) -> Run:
            early = client.create_run(experiment.experiment_id, start_time=1, tags={KEY_TAG: "race"})
            made.append(early.info.run_id)
            return super().create_run(*args, **kwargs)

    tracker._server.client = lambda: Overtaken(tracking_uri=server)  # type: ignore[method-assign]
    assert tracker.track(run_of("race")) == made[0]
    assert [run.info.run_id for run in runs(server, "race")] == made


def test_a_server_that_does_not_answer_is_unavailable_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        with pytest.raises(Unavailable, match=f"MLflow at {uri} cannot be reached") as failed:
            MlflowTracker(uri, tmp_path).track(RUN)
    assert failed.value.retriable
    assert "\n" not in str(failed.value)
    assert time.monotonic() - started < 10


def test_a_store_that_is_no_database_is_unavailable_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(Unavailable, match="cannot be used now") as failed:
        MlflowTracker(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts").track(RUN)
    assert "\n" not in str(failed.value)


def test_a_store_below_a_file_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be used now"):
        MlflowTracker(f"sqlite:///{tmp_path}/file/mlflow.db", tmp_path / "artifacts").track(RUN)


def test_another_kind_of_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="give sqlite"):
        MlflowTracker("file:///runs", tmp_path)


def test_making_a_tracker_imports_no_mlflow() -> None:
    """It takes seconds, and a run that tracks nothing does not pay for it."""
    command = (
        "import sys; from pathlib import Path\n"
        "from veritasvault.adapters.mlflow_tracker import MlflowTracker\n"
        "MlflowTracker('sqlite:////nowhere/mlflow.db', Path('/nowhere'))\n"
        "assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", command], check=True)


LISTENING_IN = """
import sys
from pathlib import Path

calls = []
watched = ("socket.connect", "socket.getaddrinfo", "socket.sendto")
sys.addaudithook(lambda event, given: calls.append((event, given[1:])) if event in watched else None)

from domain.risk.ports import TrackedRun
from veritasvault.adapters.mlflow_tracker import MlflowTracker

run = TrackedRun("volatility_forecast", "quiet", {"alpha": 1.0}, {"qlike": 0.5}, {}, ())
MlflowTracker(sys.argv[1], Path(sys.argv[2])).track(run)

from mlflow.telemetry import get_telemetry_client

assert get_telemetry_client() is None
assert not calls, calls
"""


def test_tracking_in_the_embedded_store_asks_the_network_for_nothing(embedded: str, tmp_path: Path) -> None:
    """Neither telemetry nor anything else looks up a name or opens a connection."""
    # What tells MLflow that it is being tested would switch its telemetry off without us.
    telling = ("PYTEST", "MLFLOW", "CI", "GITHUB", "DO_NOT_TRACK")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(telling)}
    arguments = [embedded, str(tmp_path / "artifacts")]
    subprocess.run([sys.executable, "-c", LISTENING_IN, *arguments], check=True, cwd=ROOT, env=environment)


def test_tracking_leaves_the_working_directory_and_the_log_handlers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MLflow's own defaults make `mlruns` where one stands, and migrations configure logging."""
    monkeypatch.chdir(tmp_path)
    handlers = list(logging.getLogger().handlers)
    home = tmp_path / "home"
    MlflowTracker(f"sqlite:///{home}/mlflow.db", home / "artifacts").track(RUN)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert logging.getLogger().handlers == handlers
