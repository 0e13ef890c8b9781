"""`veritas mlflow sync` and the doctor, on a real MLflow server and on the embedded store."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from tests.cli.console import Console, vendor_model
from tests.servers.mlflow_server import MlflowTestServer
from veritasvault.adapters.mlflow_projector import VERSION_TAG
from veritasvault.adapters.mlflow_registry import MODEL_ID_TAG


@pytest.fixture
def on_server(empty: Console, mlflow_server: MlflowTestServer) -> Console:
    """A command whose registry is an experiment of its own on a server, with one model under a new name."""
    experiment = f"vendor-{secrets.token_hex(6)}"
    console = replace(empty, settings={"VERITAS_REGISTRY": f"mlflow+{mlflow_server.url}/{experiment}"})
    metadata, artifact = vendor_model(empty.directory)
    metadata.write_text(metadata.read_text().replace("vendor_vol", experiment))
    console.run("register", "--metadata", metadata, "--artifact", artifact, "--reason", "release 7")
    return console


def _name(console: Console) -> str:
    return console.settings["VERITAS_REGISTRY"].rpartition("/")[2]


def test_a_model_registered_on_a_server_is_verified_retrieved_and_mirrored(
    on_server: Console, mlflow_server: MlflowTestServer
) -> None:
    name = _name(on_server)
    on_server.run("verify", "--all")
    on_server.run("models", "retrieve", f"{name}@1", "copy")
    assert (on_server.directory / "copy" / "config.json").read_text() == '{"alpha": 1}\n'
    done = on_server.run("mlflow", "sync", "--json").document
    assert done == {"cursor": done["cursor"], "created": [f"{name}@1"], "mended": [], "problems": []}
    (version,) = MlflowClient(mlflow_server.url).search_model_versions(f"name = '{name}'")
    assert version.tags[VERSION_TAG] == "1"
    assert (
        version.tags[MODEL_ID_TAG]
        == on_server.run("models", "show", f"{name}@1", "--json").document["model_id"]
    )
    again = on_server.run("mlflow", "sync", "--new", "--json")
    assert again.document == {**done, "created": []}
    assert again.err == ""


def test_what_cannot_be_written_is_told_and_ends_with_1(
    on_server: Console, mlflow_server: MlflowTestServer
) -> None:
    client = MlflowClient(mlflow_server.url)
    experiment = client.get_experiment_by_name(_name(on_server))
    assert experiment is not None
    # Besides the models' runs there is the one that says whose the registry is.
    runs = client.search_runs([experiment.experiment_id])
    (run,) = [run for run in runs if MODEL_ID_TAG in run.data.tags]
    client.delete_run(run.info.run_id)
    answer = on_server.run("mlflow", "sync", code=1)
    assert (
        f"problem {_name(on_server)}@1: models/{run.data.tags[MODEL_ID_TAG]} is not in experiment"
        in answer.out
    )
    assert len(on_server.run("mlflow", "sync", "--json", code=1).document["problems"]) == 1


def test_the_doctor_looks_at_the_registry_on_a_server(on_server: Console) -> None:
    found = _registry(on_server, code=None)
    assert found["status"] == "ok"
    assert found["detail"].endswith(f"experiment {_name(on_server)}: reachable, 1 models")


def test_the_doctor_names_a_server_that_is_away_and_makes_no_embedded_store(empty: Console) -> None:
    away = replace(empty, settings={"VERITAS_REGISTRY": "mlflow+http://127.0.0.1:1/models"})
    found = _registry(away, code=1)
    assert found["status"] == "fail"
    assert "cannot be reached" in found["detail"]
    place = empty.directory / "store" / "mlflow.db"
    embedded = replace(empty, settings={"VERITAS_REGISTRY": f"mlflow+sqlite:///{place}"})
    assert _registry(embedded, code=None)["status"] == "ok"
    assert not place.parent.exists()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (
            "mlflow+http://quant:s3cret@host/models",
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD",
        ),
        ("mlflow+http://host:5000", r"give mlflow+http(s)://host[:port]/experiment"),
        ("mlflow+http://host:5000/", r"give mlflow+http(s)://host[:port]/experiment"),
        ("mlflow+http://host:5000/models?x=1", r"give mlflow+http(s)://host[:port]/experiment"),
        ("mlflow+ftp://host/models", r"give mlflow+http(s)://host[:port]/experiment"),
        ("mlflow+sqlite:///relative.db", r"give mlflow+http(s)://host[:port]/experiment"),
    ],
)
def test_an_address_that_will_not_do_is_one_sentence_without_its_password(
    empty: Console, address: str, expected: str
) -> None:
    answer = replace(empty, settings={"VERITAS_REGISTRY": address}).run("mlflow", "sync", code=2)
    assert expected in answer.sentence
    assert "s3cret" not in answer.sentence


def _registry(console: Console, code: int | None) -> dict[str, str]:
    document = console.run("doctor", "--json", code=code).document
    return next(check for check in document["checks"] if check["name"] == "registry")
