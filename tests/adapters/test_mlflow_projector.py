"""MLflow's model registry says what the ledger says, whoever changes it and however many projectors run."""

from __future__ import annotations

import datetime as dt
import json
import multiprocessing
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST

from domain.registry.canonical import digest
from domain.registry.errors import IntegrityError, InvalidInput, Unavailable
from domain.registry.events import DomainEvent
from domain.registry.events.lifecycle import (
    EVERY_MODEL,
    ModelPromotedEvent,
    ModelRetiredEvent,
    ModelRolledBackEvent,
    PromotionsHaltedEvent,
)
from domain.registry.gates import DataValidated
from domain.registry.lifecycle.state import Lifecycle
from domain.registry.policy import Decision
from tests.adapters.artifacts import onnx_model
from tests.exactly_once.candidates import EVIDENCE, lineage, metadata
from tests.processes import ChildKilled, in_child
from tests.servers.mlflow_server import MlflowTestServer, behind_a_password, kill_at_request
from veritasvault.adapters.mlflow_projector import CURSOR_TAG, LEDGER_TAG, VERSION_TAG
from veritasvault.bootstrap import Application, bootstrap

AT = dt.datetime(2022, 12, 29, tzinfo=dt.UTC)
ALLOWED = Decision(True, (), digest(b"policy"), digest(b"input"))


@dataclass(frozen=True)
class Mirror:
    """A home with a model name of its own, and the MLflow server that mirrors it."""

    settings: dict[str, str]
    directory: Path
    name: str
    url: str
    files: dict[str, bytes]

    @property
    def application(self) -> Application:
        """Wired anew, as in another process."""
        return bootstrap(self.settings)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.url, registry_uri=self.url)

    def register(self, count: int) -> None:
        """Register so many versions, of the same files from other lineages."""
        application = self.application
        there = len(list(application.catalog.versions(self.name)))
        folder = self.directory / "model"
        folder.mkdir(exist_ok=True)
        for path, content in self.files.items():
            (folder / path).write_bytes(content)
        for number in range(there, there + count):
            application.registration.register_model(
                metadata(self.name),
                folder,
                lineage=lineage(number),
                evidence=EVIDENCE,
                gates=(DataValidated(),),
            )

    def happen(self, event: type[Any], **fields: Any) -> None:
        """Append an event of the lifecycle."""
        ledger = self.application.ledger
        sequence = Lifecycle.of(ledger.view(), self.name).sequence
        made: DomainEvent = event(
            name=self.name,
            sequence=sequence,
            policy=ALLOWED,
            reason="Tests.",
            actor="tester",
            at=AT,
            **fields,
        )
        ledger.commit(lambda _: (made,))

    def promote(self, version: int, incumbent: int | None = None) -> None:
        self.happen(
            ModelPromotedEvent,
            version=version,
            incumbent=incumbent,
            as_of=dt.date(2022, 12, 28),
            evidence=EVIDENCE.digest,
            approvals=(),
        )

    def state(self) -> tuple[dict[int, list[dict[str, str]]], dict[str, int]]:
        """Tags and source of MLflow's versions by the ledger's, and the ledger's version of each alias."""
        versions: dict[int, list[dict[str, str]]] = {}
        by_number: dict[str, int] = {}
        for each in self.client.search_model_versions(f"name = '{self.name}'"):
            version = int(each.tags.get(VERSION_TAG, "0"))
            versions.setdefault(version, []).append({**each.tags, "source": each.source})
            by_number[str(each.version)] = version
        aliases = self.client.get_registered_model(self.name).aliases
        return versions, {alias: by_number[str(number)] for alias, number in aliases.items()}

    def number(self, version: int) -> str:
        """MLflow's number of a version of the ledger."""
        wanted = f"name = '{self.name}' and tags.`{VERSION_TAG}` = '{version}'"
        (found,) = self.client.search_model_versions(wanted)
        return str(found.version)


@pytest.fixture(scope="session")
def linear_onnx(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A model of one ONNX file, and a file beside it whose name MLflow has a use for."""
    return {
        **onnx_model(tmp_path_factory.mktemp("onnx")),
        "requirements.txt": b"scipy==1.16.0\n",
    }


@pytest.fixture
def mirror(mlflow_server: MlflowTestServer, linear_onnx: dict[str, bytes], tmp_path: Path) -> Mirror:
    """The models are on the server themselves."""
    return made(tmp_path, mlflow_server.url, linear_onnx)


def made(directory: Path, url: str, files: dict[str, bytes]) -> Mirror:
    name = f"vol_{secrets.token_hex(6)}"
    settings = {
        "VERITAS_HOME": str(directory / "home"),
        "VERITAS_REGISTRY": f"mlflow+{url}/{name}",
        "VERITAS_CODE_VERSION": "test",
    }
    return Mirror(settings, directory, name, url, files)


def test_each_version_of_the_ledger_is_one_version_with_what_it_says(mirror: Mirror) -> None:
    """Doing it again, all or only what is new, changes nothing."""
    mirror.register(2)
    first = mirror.application.mlflow_projector.sync()
    assert first.created == [f"{mirror.name}@1", f"{mirror.name}@2"]
    assert first.problems == []
    assert first.cursor == mirror.application.ledger.port.size()
    state = mirror.state()
    row = mirror.application.ledger.port.version(mirror.name, 2)
    assert row is not None
    assert state[0][2] == [
        {
            "veritas.version": "2",
            "veritas.model_id": row.model_id,
            "veritas.recipe": row.recipe,
            "veritas.as_of": "2022-12-28",
            "veritas.artifact_digest": row.artifact_digest,
            "veritas.gates": "data validated: passed",
            "veritas.ledger_index": str(row.index),
            "source": next(iter(mirror.application.mlflow_registry.sources(row.model_id).values())),
        }
    ]
    assert sorted(state[0]) == [1, 2]
    for everything in (True, False):
        again = mirror.application.mlflow_projector.sync(everything=everything)
        assert (again.created, again.mended, again.problems) == ([], [], [])
        assert again.cursor == first.cursor
    assert mirror.state() == state


def test_nothing_is_in_the_model_registry_before_it_is_in_the_ledger(mirror: Mirror) -> None:
    """A stored model is a run; an empty ledger makes nothing in MLflow, and no ledger either."""
    assert mirror.application.mlflow_projector.sync().created == []
    assert not (mirror.directory / "home").exists()
    assert mirror.client.get_experiment_by_name(mirror.name) is None
    mirror.register(1)
    assert mirror.client.search_registered_models(f"name = '{mirror.name}'") == []


@pytest.mark.parametrize("registry", ["mlflow", "mlflow-embedded", "file"])
def test_the_champion_loads_and_predicts_what_onnx_runtime_does(
    mlflow_server: MlflowTestServer,
    linear_onnx: dict[str, bytes],
    tmp_path: Path,
    registry: str,
    load: Any,
) -> None:
    """From MLflow, by name and alias; the stored files stay those of the manifest, byte for byte."""
    import onnxruntime

    mirror = made(tmp_path, mlflow_server.url, linear_onnx)
    if registry == "mlflow-embedded":
        mirror.settings["VERITAS_REGISTRY"] = f"mlflow+sqlite:///{tmp_path}/store/mlflow.db"
        mirror = Mirror(
            mirror.settings, tmp_path, mirror.name, f"sqlite:///{tmp_path}/store/mlflow.db", linear_onnx
        )
    if registry == "file":
        del mirror.settings["VERITAS_REGISTRY"]
        mirror = Mirror(
            mirror.settings, tmp_path, mirror.name, f"sqlite:///{tmp_path}/home/mlflow.db", linear_onnx
        )
    mirror.register(1)
    mirror.promote(1)
    assert mirror.application.mlflow_projector.sync().problems == []
    rows = np.linspace(-1, 1, 2 * 2048, dtype=np.float32).reshape(2, 2048)
    expected = onnxruntime.InferenceSession(linear_onnx["model.onnx"]).run(None, {"x": rows})[0]
    model = load(mirror, "champion")
    assert np.array_equal(model.predict(rows)["y"], expected)
    assert model.metadata.metadata == {"veritas.model_id": mirror.state()[0][1][0]["veritas.model_id"]}
    mirror.application.catalog.retrieve(f"{mirror.name}@1", tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == linear_onnx
    assert mirror.application.audit.everything().verified


@pytest.fixture
def load() -> Iterator[Any]:
    """Loads a model as a service would, by `models:/NAME@ALIAS`; the default server is restored."""
    import mlflow

    def loaded(mirror: Mirror, alias: str) -> Any:
        mlflow.set_tracking_uri(mirror.url)
        mlflow.set_registry_uri(mirror.url)
        return mlflow.pyfunc.load_model(f"models:/{mirror.name}@{alias}")

    yield loaded
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)


def test_what_lies_beside_a_model_names_exact_versions_and_no_pickle(mirror: Mirror) -> None:
    from importlib.metadata import version

    mirror.register(1)
    mirror.application.mlflow_projector.sync()
    (found,) = mirror.client.search_model_versions(f"name = '{mirror.name}'")
    beside = {
        Path(item.path).name: item.path for item in mirror.client.list_artifacts(found.run_id, "artifact")
    }
    assert beside.keys() == {
        "MLmodel",
        "model.onnx",
        "python_env.yaml",
        "requirements.txt",
        "=72equirements.txt",
    }
    requirements = _text(mirror, found.run_id, "artifact/requirements.txt").splitlines()
    for name in ("mlflow", "numpy", "onnx", "onnxruntime", "pandas"):
        assert f"{name}=={version(name)}" in requirements
    loaders = json.loads(_text(mirror, found.run_id, "artifact/MLmodel"))["flavors"]
    assert loaders.keys() == {"onnx", "python_function"}
    assert loaders["python_function"]["loader_module"] == "mlflow.onnx"


def _text(mirror: Mirror, run_id: str, path: str) -> str:
    return Path(mirror.client.download_artifacts(run_id, path, str(mirror.directory))).read_text()


def test_the_aliases_follow_the_lifecycle(mirror: Mirror) -> None:
    """Promoted, displaced, rolled back, retired; each time with only the new entries."""
    mirror.register(3)

    def aliases() -> dict[str, int]:
        mirror.application.mlflow_projector.sync(everything=False)
        return mirror.state()[1]

    assert aliases() == {"challenger": 3}
    mirror.promote(2)
    assert aliases() == {"champion": 2}
    mirror.promote(3, incumbent=2)
    assert aliases() == {"champion": 3}
    mirror.happen(ModelRolledBackEvent, version=2, displaced=3, evidence=EVIDENCE.digest, approvals=())
    assert aliases() == {"champion": 2}
    mirror.happen(ModelRetiredEvent, version=2)
    assert aliases() == {}


def test_what_was_changed_by_hand_is_set_right(mirror: Mirror) -> None:
    """Tags, aliases, versions removed, doubled or pointed elsewhere, and the loader that MLflow would run."""
    mirror.register(3)
    mirror.promote(1)
    mirror.application.mlflow_projector.sync()
    good, client, name = mirror.state(), mirror.client, mirror.name
    one, two = mirror.number(1), mirror.number(2)
    original = client.get_model_version(name, one)

    def retag() -> None:
        client.set_model_version_tag(name, one, "veritas.gates", "data_validated: failed")
        client.set_model_version_tag(name, one, "veritas.approved_by", "nobody")
        client.delete_model_version_tag(name, two, "veritas.as_of")

    def renumber() -> None:
        client.set_model_version_tag(name, two, VERSION_TAG, "1")

    def point_elsewhere() -> None:
        client.set_registered_model_alias(name, "champion", two)
        client.delete_registered_model_alias(name, "challenger")

    def double() -> None:
        client.create_model_version(name, original.source, original.run_id, dict(original.tags))

    def forge() -> None:
        other = client.create_run(client.get_experiment_by_name(name).experiment_id)
        made = client.create_model_version(
            name, f"{other.info.artifact_uri}/artifact", other.info.run_id, dict(original.tags)
        )
        client.set_registered_model_alias(name, "champion", made.version)
        client.delete_model_version(name, one)

    def remove() -> None:
        client.delete_model_version(name, one)

    def remove_all() -> None:
        client.delete_registered_model(name)

    for change in (retag, renumber, point_elsewhere, double, forge, remove, remove_all):
        one, two = mirror.number(1), mirror.number(2)
        change()
        assert change in (remove_all,) or mirror.state() != good, change.__name__
        done = mirror.application.mlflow_projector.sync()
        assert done.created or done.mended, change.__name__
        assert done.problems == []
        assert mirror.state() == good, change.__name__
        assert mirror.application.mlflow_projector.sync().mended == [], change.__name__


def test_a_loader_that_was_changed_is_set_right(mirror: Mirror) -> None:
    mirror.register(1)
    mirror.application.mlflow_projector.sync()
    (found,) = mirror.client.search_model_versions(f"name = '{mirror.name}'")
    good = _text(mirror, found.run_id, "artifact/MLmodel")
    for path, content in (
        ("MLmodel", good.replace("mlflow.onnx", "evil.loader")),
        ("requirements.txt", "evil==1.0\n"),
        ("python_env.yaml", "dependencies: [evil]\n"),
    ):
        mirror.client.log_text(found.run_id, content, f"artifact/{path}")
        assert mirror.application.mlflow_projector.sync().mended == [f"{mirror.name}@1 MLmodel"]
        assert _text(mirror, found.run_id, "artifact/MLmodel") == good


def test_versions_and_aliases_of_others_are_left_alone(mirror: Mirror) -> None:
    mirror.register(1)
    mirror.application.mlflow_projector.sync()
    (found,) = mirror.client.search_model_versions(f"name = '{mirror.name}'")
    theirs = mirror.client.create_model_version(mirror.name, found.source, found.run_id, {"mine": "yes"})
    mirror.client.set_registered_model_alias(mirror.name, "experiment", theirs.version)
    mirror.client.set_model_version_tag(mirror.name, found.version, "reviewed", "yes")
    done = mirror.application.mlflow_projector.sync()
    assert (done.created, done.mended) == ([], [])
    kept = mirror.client.get_model_version_by_alias(mirror.name, "experiment")
    assert (kept.version, kept.tags) == (theirs.version, {"mine": "yes"})
    assert mirror.client.get_model_version(mirror.name, found.version).tags["reviewed"] == "yes"


def test_a_projector_killed_at_any_request_is_continued(mirror: Mirror) -> None:
    """Each version exactly once, and the aliases right, whatever was done when it died."""
    mirror.register(2)
    mirror.promote(1)
    assert mirror.application.mlflow_projector.sync().problems == []
    good = mirror.state()
    kills = 0
    mirror.client.delete_registered_model(mirror.name)
    while _killed(mirror, kills + 1):
        kills += 1
        mirror.application.mlflow_projector.sync()
        assert mirror.state() == good, kills
        mirror.client.delete_registered_model(mirror.name)
    assert mirror.state() == good
    assert kills > 30


def _killed(mirror: Mirror, step: int) -> bool:
    """Sync in a process that dies at its n-th step, if it takes so many."""
    projector = mirror.application.mlflow_projector
    try:
        in_child(projector.sync, before=lambda: kill_at_request(step))
    except ChildKilled:
        return True
    return False


def _sync(mirror: Mirror, start: Any, answers: Any) -> None:
    projector = mirror.application.mlflow_projector
    start.wait()
    try:
        answers.put(projector.sync().problems)
    except BaseException as error:
        answers.put(repr(error))


@pytest.mark.parametrize("workers", [2, 6])
def test_projectors_at_once_write_each_version_once(mirror: Mirror, workers: int) -> None:
    mirror.register(3)
    mirror.promote(2)
    context = multiprocessing.get_context("fork")
    start, answers = context.Barrier(workers), context.Queue()
    processes = [context.Process(target=_sync, args=(mirror, start, answers)) for _ in range(workers)]
    for process in processes:
        process.start()
    assert [answers.get(timeout=240) for _ in processes] == [[]] * workers
    for process in processes:
        process.join(60)
    versions, aliases = mirror.state()
    assert {version: len(found) for version, found in versions.items()} == {1: 1, 2: 1, 3: 1}
    assert aliases == {"champion": 2}
    done = mirror.application.mlflow_projector.sync()
    assert (done.created, done.mended) == ([], [])


class Overtaken(MlflowClient):
    """A client that another one overtakes whenever it sets something new.

    MLflow looks and then inserts, so the one that comes second is answered with the database's error.
    """

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if not name.startswith("set_"):
            return found
        others = self.__dict__.setdefault("others", set())

        def overtaken(*args: Any) -> None:
            found(*args)
            if args not in others:
                others.add(args)
                raise MlflowException("UNIQUE constraint failed", error_code=BAD_REQUEST)

        return overtaken


def test_a_tag_or_alias_that_another_projector_set_meanwhile_is_set(mirror: Mirror) -> None:
    mirror.register(2)
    mirror.promote(1)
    projector = mirror.application.mlflow_projector
    projector._registry.server.client = lambda: Overtaken(mirror.url)  # type: ignore[method-assign]
    assert projector.sync().problems == []
    assert mirror.state()[1] == {"champion": 1}
    mirror.client.set_model_version_tag(mirror.name, mirror.number(2), "veritas.gates", "changed")
    assert projector.sync().mended == [f"{mirror.name}@2"]
    experiment = mirror.client.get_experiment_by_name(mirror.name)
    assert experiment is not None
    assert experiment.tags[CURSOR_TAG] == str(mirror.application.ledger.port.size())


def test_an_alias_that_is_overtaken_is_written_again(mirror: Mirror) -> None:
    """A promotion comes, and another projector writes it, after this one has asked for the champion."""
    mirror.register(2)
    mirror.promote(1)
    slow = mirror.application.mlflow_projector
    ask = slow._aliases_of
    asked: list[dict[str, int]] = []

    def overtaken(name: str) -> dict[str, int]:
        answer = dict(ask(name))
        if not asked:
            mirror.promote(2, incumbent=1)
            mirror.application.mlflow_projector.sync()
            assert mirror.state()[1]["champion"] == 2
        asked.append(answer)
        return answer

    slow._aliases_of = overtaken
    slow.sync()
    assert [answer["champion"] for answer in asked] == [1, 2]
    assert mirror.state()[1]["champion"] == 2


def test_a_version_whose_run_is_gone_is_a_problem_and_the_others_are_written(mirror: Mirror) -> None:
    mirror.register(2)
    first = mirror.application.ledger.port.version(mirror.name, 1)
    assert first is not None
    (run_id,) = mirror.application.mlflow_registry.sources(first.model_id)
    mirror.client.delete_run(run_id)
    done = mirror.application.mlflow_projector.sync()
    assert done.created == [f"{mirror.name}@2"]
    (problem,) = done.problems
    assert problem.startswith(f"{mirror.name}@1: models/{first.model_id} is not in experiment {mirror.name}")
    assert done.cursor == 0
    mirror.client.restore_run(run_id)
    assert mirror.application.mlflow_projector.sync(everything=False).created == [f"{mirror.name}@1"]


def test_an_experiment_mirrors_one_ledger(mirror: Mirror, tmp_path: Path) -> None:
    """Another ledger, and one that lost entries MLflow has seen, are refused before anything is written."""
    mirror.register(1)
    size = mirror.application.mlflow_projector.sync().cursor
    before = mirror.state()
    other = Mirror(
        {**mirror.settings, "VERITAS_HOME": str(tmp_path / "other")},
        tmp_path,
        mirror.name,
        mirror.url,
        mirror.files,
    )
    # It registers nothing there either: gc's mark says whose the registry is.
    with pytest.raises(InvalidInput, match="the registry belongs to the ledger"):
        other.register(2)
    halted = PromotionsHaltedEvent(EVERY_MODEL, 0, "change freeze", "vera", dt.datetime.now(dt.UTC))
    other.application.ledger.commit(lambda _: (halted,))
    with pytest.raises(InvalidInput, match=f"experiment is '{mirror.name}': it mirrors"):
        other.application.mlflow_projector.sync()
    experiment = mirror.client.get_experiment_by_name(mirror.name)
    assert experiment is not None
    assert experiment.tags[LEDGER_TAG] == mirror.application.ledger.port.origin()
    mirror.client.set_experiment_tag(experiment.experiment_id, CURSOR_TAG, str(size + 5))
    with pytest.raises(IntegrityError, match=f"MLflow has seen {size + 5} entries"):
        mirror.application.mlflow_projector.sync()
    assert mirror.state() == before


def test_a_cursor_that_was_set_back_costs_no_version(mirror: Mirror) -> None:
    mirror.register(2)
    mirror.application.mlflow_projector.sync()
    good = mirror.state()
    experiment = mirror.client.get_experiment_by_name(mirror.name)
    assert experiment is not None
    for cursor in ("0", "nonsense"):
        mirror.client.set_experiment_tag(experiment.experiment_id, CURSOR_TAG, cursor)
        assert mirror.application.mlflow_projector.sync(everything=False).created == []
        assert mirror.state() == good


def test_wrong_credentials_stop_the_projector(
    mlflow_server: MlflowTestServer, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.register(1)
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "quant")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
    with behind_a_password(mlflow_server, "quant", "right") as url:
        settings = {**mirror.settings, "VERITAS_REGISTRY": f"mlflow+{url}/{mirror.name}"}
        with pytest.raises(InvalidInput, match="MLflow credentials"):
            bootstrap(settings).mlflow_projector.sync()
    with pytest.raises(Unavailable, match="cannot be reached"):
        bootstrap(settings).mlflow_projector.sync()
