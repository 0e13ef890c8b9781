"""The table of pipelines, engines and trainers: each cell runs, registers, verifies and is trained again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from domain.registry.canonical import decode
from domain.registry.evidence import EVIDENCE
from domain.risk.spec import ModelSpec
from tests.airflow.platform import Platform, running_airflow
from tests.places import open_to_others
from tests.servers.prep_clusters import Cluster, free_port, ray_cluster
from veritasvault.adapters.trainers import TRAINERS

pytestmark = [pytest.mark.scheduler, pytest.mark.timeout(2400)]

ROOT = Path(__file__).parents[2]
DAGS = ROOT / "dags"
REPRODUCE = "reproduce_model"
ENGINES = ("dask", "spark", "ray")
SESSIONS = {
    "volatility_forecast": ("2022-12-20", "2022-12-19", "2022-12-16"),
    "covariance_shrinkage": ("1999-06-01", "1999-06-02", "1999-06-03"),
    "vault_anomaly": ("2022-12-30", "2022-12-29", "2022-12-28"),
    "market_anomaly": ("2022-12-28", "2022-12-27", "2022-12-23"),
    "little history": ("1998-06-03", "1998-06-04", "1998-06-05"),
    "search": ("2005-06-01", "2005-06-02", "2005-06-03"),
}
"""What runs ask for on each engine; trainers that are not judged by figures forecast from little history, but
from so much that there are blocks for several workers. A search has three years of its own."""
TUNING = "{ trials = 4, batch = 2, space = { num_leaves = { least = 4, most = 32 } } }"
ASSETS = (["AAPL", "KO", "XOM"], ["GE", "MSFT", "PG"], ["JNJ", "PEP", "WMT"])
"""Others on each engine, for blocks of the same rows would be found."""


@dataclass(frozen=True)
class Cell:
    """A pipeline with a trainer on an engine; with its own trainer it has all of its gates.

    Attributes:
        searches: whether the specification asks for a search, see `TUNING`.
    """

    pipeline: str
    trainer: str
    engine: str
    searches: bool = False

    @property
    def own(self) -> bool:
        return ModelSpec.load(DAGS / f"{self.pipeline}.toml").training.trainer == self.trainer

    @property
    def name(self) -> str:
        plain = self.pipeline if self.own else f"{self.pipeline}_{self.trainer}"
        return f"{plain}_searched" if self.searches else plain

    @property
    def form(self) -> dict[str, Any]:
        """What is filled in: little history, but enough for the gates of a pipeline's own trainer."""
        forecast = self.pipeline == "volatility_forecast"
        little = "search" if self.searches else "little history"
        sessions = SESSIONS[little if forecast and not self.own else self.pipeline]
        assets = {"assets": ASSETS[ENGINES.index(self.engine)]} if forecast else {}
        # On Ray two workers of Ray Train learn what one process reproduces.
        shards = {"shards": 2} if (self.trainer, self.engine) == ("torch_sequence", "ray") else {}
        # A version is trained once: on another engine the same date would be recognised.
        return {**assets, **shards, "as_of": sessions[ENGINES.index(self.engine)], "engine": self.engine}

    def write(self, dags: Path) -> None:
        """The DAG and its specification, which for another trainer asks for no figures."""
        for path in DAGS.glob(f"{self.pipeline}.*"):
            text = path.read_text().replace(self.pipeline, self.name)
            if path.suffix == ".toml" and not self.own:
                tuning = f", tuning = {TUNING}" if self.searches else ""
                text = re.sub('trainer = "[^"]+"', f'trainer = "{self.trainer}"{tuning}', text)
                text = re.sub(r'\{ kind = "(better_than_baseline|threshold)"[^}]*\},?', "", text)
            (dags / path.name.replace(self.pipeline, self.name)).write_text(text)


MANY = 32
"""So many new blocks are shared among workers."""

TRAINERS_OF = {
    "volatility_forecast": (
        "ridge",
        "lightgbm",
        "hist_gradient_boosting",
        "torch_sequence",
        "tensorflow_sequence",
    ),
    "covariance_shrinkage": ("learned_shrinkage", "ledoit_wolf", "oas", "sample_covariance"),
    "vault_anomaly": ("student_t",),
    "market_anomaly": ("student_t",),
}
EVERY = tuple(
    Cell(pipeline, trainer, engine)
    for pipeline, trainers in TRAINERS_OF.items()
    for trainer in trainers
    for engine in ENGINES
)
CELLS = (
    Cell("volatility_forecast", "ridge", "dask"),
    Cell("volatility_forecast", "torch_sequence", "ray"),
    Cell("covariance_shrinkage", "learned_shrinkage", "spark"),
    Cell("vault_anomaly", "student_t", "dask"),
)
"""Those of `make test`: each engine, each pipeline but the one that reads most. `--every-cell` runs all."""
SEARCHING = Cell("volatility_forecast", "lightgbm", "ray", searches=True)


def chosen(config: pytest.Config) -> tuple[Cell, ...]:
    return EVERY if config.getoption("--every-cell") else CELLS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "cell" in metafunc.fixturenames:
        cells = chosen(metafunc.config)
        metafunc.parametrize("cell", cells, ids=[f"{c.pipeline}, {c.trainer}, {c.engine}" for c in cells])


@pytest.fixture(scope="module")
def platform(postgres_url: Callable[[], str], request: pytest.FixtureRequest) -> Iterator[Platform]:
    """Airflow with the DAG of each cell."""
    with open_to_others() as directory:
        dags = directory / "dags"
        dags.mkdir()
        (dags / f"{REPRODUCE}.py").write_bytes((DAGS / f"{REPRODUCE}.py").read_bytes())
        for cell in (*chosen(request.config), SEARCHING):
            cell.write(dags)
        # Whoever waits for Ray has a minute and a half.
        settings = {
            "VERITAS_LEDGER": postgres_url(),
            "VERITAS_RAY": f"ray://127.0.0.1:{free_port()}",
            "VERITAS_RETRY_SECONDS": "30",
        }
        with running_airflow(directory, dags, settings) as (airflow, environment):
            yield Platform(airflow, environment)


def test_a_cell_registers_verifies_and_is_reproduced(
    cell: Cell, platform: Platform, start_ray: Callable[[str, str], None]
) -> None:
    """By the same tasks for all; trained again from the record alone, on no engine."""
    run_id = run(cell, platform, start_ray)
    reference = platform.returned(cell.name, run_id)["reference"]
    version = platform.registry.catalog.show(reference)
    assert {gate.outcome for gate in version.event.gates} == {"passed"}
    assert version.event.provenance["engine"] == cell.engine
    assert version.manifest.lineage is not None
    parameters = version.manifest.lineage.parameters
    assert parameters["trainer"] == cell.trainer
    assert parameters.get("shards", 1) == cell.form.get("shards", 1)
    assert platform.registry.audit.version(reference).verified
    require_reproduced(platform, reference)


def test_a_run_on_ray_searches_by_ray_tune_and_its_best_is_reproduced_without(
    platform: Platform, start_ray: Callable[[str, str], None]
) -> None:
    """What four trials found on the cluster is in the record, and is trained again on no engine."""
    run_id = run(SEARCHING, platform, start_ray)
    log = platform.log_of(SEARCHING.name, run_id, "train")
    assert "2 of 4 trials done on ray tune" in log
    assert "4 of 4 trials done on ray tune" in log
    assert "model 8 of 8 for the test is trained" in log
    reference = platform.returned(SEARCHING.name, run_id)["reference"]
    version = platform.registry.catalog.show(reference)
    kept = next(one for one in version.event.attachments if one.name == EVIDENCE)
    evidence = decode(platform.registry.catalog.attachment(version.event, kept), EVIDENCE)
    tuning = evidence["details"]["tuning"]
    best = tuning["trials"][tuning["chosen"]]
    assert len(tuning["trials"]) == 4
    assert version.manifest.lineage is not None
    assert version.manifest.lineage.parameters["num_leaves"] == best["parameters"]["num_leaves"]
    require_reproduced(platform, reference)


def run(cell: Cell, platform: Platform, start_ray: Callable[[str, str], None]) -> str:
    """Trigger a cell's run and wait for its end; its blocks were computed on its engine."""
    run_id = platform.airflow.client.trigger(cell.name, cell.form)
    if cell.engine == "ray":
        start_ray(cell.name, run_id)
    assert platform.ended(cell.name, run_id) == "success"
    computed, where = prepared(platform.log_of(cell.name, run_id, "prepare"))
    assert computed < MANY or where.endswith(f"process(es) on {cell.engine}")
    return run_id


def require_reproduced(platform: Platform, reference: str) -> None:
    """The version is trained again by its DAG to the same bytes, on no engine."""
    asked = platform.airflow.client.trigger(REPRODUCE, {"reference": reference, "engine": "inline"})
    assert platform.ended(REPRODUCE, asked) == "success"
    assert platform.airflow.client.xcom(REPRODUCE, asked, "reproduce")["reproduced"] is True


@pytest.fixture(scope="module")
def start_ray(
    platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str, str], None]]:
    """Starts Ray once a task of a run has said that it is missing and waits to be tried again.

    A run that finds all blocks in the store needs none.
    """
    place = urlsplit(platform.environment["VERITAS_RAY"])
    with ExitStack() as stack:
        started = list[Cluster]()

        def start(dag_id: str, run_id: str) -> None:
            if not started and (task := platform.waits_for_retry(dag_id, run_id)) is not None:
                said = platform.airflow.client.log(dag_id, run_id, task)
                assert f"ray cluster {place.geturl()} does not answer" in said
                assert "start it, or correct the address" in said
                cluster = ray_cluster(tmp_path_factory.mktemp("ray"), client=place.port)
                started.append(stack.enter_context(cluster))

        yield start


def prepared(log: str) -> tuple[int, str]:
    """How many blocks a task computed, and where, by what it logged."""
    (found,) = re.findall(r"(\d+) of \d+ blocks computed, ([^;:\n]+)", log)
    return int(found[0]), found[1]


def test_the_documentation_shows_each_trainer_and_which_cells_run_each_time() -> None:
    """The table in docs/trainers.md: cells of `make test`, those that ran when it was written, and others."""
    assert {trainer for trainers in TRAINERS_OF.values() for trainer in trainers} == set(TRAINERS)
    assert {cell.pipeline for cell in CELLS} == set(TRAINERS_OF) - {"market_anomaly"}
    assert {cell.engine for cell in CELLS} == set(ENGINES)
    lines = (ROOT / "docs" / "trainers.md").read_text().splitlines()
    for pipeline, trainers in TRAINERS_OF.items():
        for trainer in trainers:
            (line,) = [each for each in lines if each.startswith(f"| `{pipeline}` | `{trainer}` |")]
            for engine, shown in zip(ENGINES, line.split("|")[3:6], strict=True):
                each_time = Cell(pipeline, trainer, engine) in CELLS
                assert (shown.strip() == "each time") == each_time, line
