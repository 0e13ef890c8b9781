"""The contract of prep engines, on no engine and on real Dask, Spark and Ray processes."""

from __future__ import annotations

import math
import operator
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Self
from zipfile import ZipFile

import psutil
import pytest

from domain.registry.canonical import Digest, as_digest, digest_of
from domain.registry.errors import DomainException, InvalidInput, NotFound, Unavailable
from domain.risk.block_store import FILES, RECORDS, BlockStore
from domain.risk.dataset import INDEX, Dataset
from domain.risk.feature_set import feature_table
from domain.risk.history import all_rows
from domain.risk.ports import Item, PrepEnginePort, Result
from domain.risk.preparation import prepare, private_store
from domain.risk.row_blocks import write_blocks
from tests.adapters.prep_tasks import die, die_once
from tests.risk.feature_panels import full_definition, sample_rows
from tests.servers.prep_clusters import (
    Cluster,
    dask_cluster,
    dask_worker,
    free_port,
    ray_cluster,
    spark_connect,
    spark_standalone,
)
from tests.servers.seaweedfs import S3Server
from veritasvault.adapters.dask_prep import DaskPrepEngine
from veritasvault.adapters.inline_prep import InlinePrepEngine
from veritasvault.adapters.on_demand_prep import OnDemandPrepEngine
from veritasvault.adapters.ray_prep import RayPrepEngine
from veritasvault.adapters.ray_tune import RayTuneEngine
from veritasvault.adapters.s3_objects import S3Objects
from veritasvault.adapters.shipped_code import code_archive
from veritasvault.adapters.spark_prep import SparkPrepEngine


@dataclass(frozen=True)
class Case:
    """An entered engine, the processes under which its work has to be done, and at most how many do it."""

    engine: PrepEnginePort
    parents: tuple[int, ...]
    most_workers: int


def _inline(_: Path, stack: ExitStack) -> Case:
    return Case(stack.enter_context(InlinePrepEngine()), (os.getpid(),), 1)


def _dask(workers: int, _: Path, stack: ExitStack) -> Case:
    return Case(stack.enter_context(DaskPrepEngine(workers=workers)), (os.getpid(),), workers)


def _running_dask(scratch: Path, stack: ExitStack) -> Case:
    cluster = stack.enter_context(dask_cluster(scratch))
    return Case(stack.enter_context(DaskPrepEngine(cluster.address)), cluster.workers, 2)


def _ray(_: Path, stack: ExitStack) -> Case:
    return Case(stack.enter_context(RayPrepEngine(workers=2)), (os.getpid(),), 2)


def _ray_tune(_: Path, stack: ExitStack) -> Case:
    return Case(stack.enter_context(RayTuneEngine(workers=2)), (os.getpid(),), 2)


def _running_ray(scratch: Path, stack: ExitStack) -> Case:
    cluster = stack.enter_context(ray_cluster(scratch))
    return Case(stack.enter_context(RayPrepEngine(cluster.address, timeout=180)), cluster.workers, 2)


def _spark(_: Path, stack: ExitStack) -> Case:
    return Case(stack.enter_context(SparkPrepEngine("local[2]")), (os.getpid(),), 2)


def _running_spark(start: Callable[[Path], Iterator[Cluster]], scratch: Path, stack: ExitStack) -> Case:
    cluster = stack.enter_context(start(scratch))  # type: ignore[arg-type]
    stack.enter_context(pytest.MonkeyPatch.context()).setenv("PYSPARK_PYTHON", cluster.python)
    return Case(stack.enter_context(SparkPrepEngine(cluster.address)), cluster.workers, 2)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(_inline, id="no engine"),
        pytest.param(partial(_dask, 1), id="dask, 1 process"),
        pytest.param(partial(_dask, 2), id="dask, 2 processes"),
        pytest.param(partial(_dask, 4), id="dask, 4 processes"),
        pytest.param(_running_dask, id="dask, running scheduler"),
        pytest.param(_ray, id="ray, local", marks=pytest.mark.ray),
        pytest.param(_ray_tune, id="ray tune", marks=pytest.mark.ray),
        pytest.param(_running_ray, id="ray, running cluster", marks=pytest.mark.ray),
        pytest.param(_spark, id="spark, local", marks=pytest.mark.spark),
        pytest.param(
            partial(_running_spark, spark_standalone), id="spark, standalone", marks=pytest.mark.spark
        ),
        pytest.param(partial(_running_spark, spark_connect), id="spark, connect", marks=pytest.mark.spark),
    ],
)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with ExitStack() as stack:
        yield request.param(tmp_path_factory.mktemp("cluster"), stack)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return sample_rows(tmp_path_factory.mktemp("sample") / "rows")


@pytest.fixture(scope="module")
def expected(sample: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Digest:
    out = tmp_path_factory.mktemp("expected")
    return prepare(sample, full_definition(), InlinePrepEngine(), out).dataset.digest


@pytest.fixture(scope="module")
def shared(sample: Dataset, tmp_path_factory: pytest.TempPathFactory, expected: Digest) -> BlockStore:
    """A store that no engine but ours in this process has filled yet."""
    home = tmp_path_factory.mktemp("shared")
    store = private_store(home / "store")
    made = prepare(sample, full_definition(), InlinePrepEngine(), home / "features", store=store)
    assert made.dataset.digest == expected
    return store


class TestContract:
    def test_results_come_in_the_order_of_the_items(self, case: Case) -> None:
        items = list(range(37, 0, -1))
        assert case.engine.map(partial(operator.mul, 3), items) == [3 * item for item in items]

    def test_no_items_give_no_results(self, case: Case) -> None:
        assert case.engine.map(math.sqrt, []) == []

    def test_a_domain_error_comes_back_as_the_task_raised_it(self, case: Case) -> None:
        with pytest.raises(InvalidInput) as raised:
            case.engine.map(partial(as_digest, "part.sha256"), ["0" * 64, "broken"])
        assert (type(raised.value), raised.value.field, raised.value.value) == (
            InvalidInput,
            "part.sha256",
            "broken",
        )
        assert str(raised.value) == (
            "part.sha256 is 'broken': give a SHA-256 digest, 64 lower-case hexadecimal characters"
        )

    def test_a_foreign_error_becomes_unavailable_and_keeps_its_cause(self, case: Case) -> None:
        with pytest.raises(Unavailable, match=r"failed: ZeroDivisionError: division by zero") as raised:
            case.engine.map(partial(operator.truediv, 1), [2, 0])
        assert "Traceback" in raised.value.__notes__[0]
        assert case.engine.map(partial(operator.truediv, 1), [2]) == [0.5]

    @pytest.mark.parametrize("tasks", [None, 2])
    def test_the_real_panel_gives_the_same_feature_set_computed_by_the_workers(
        self, case: Case, sample: Dataset, expected: Digest, tmp_path: Path, tasks: int | None
    ) -> None:
        prepared = prepare(sample, full_definition(), case.engine, tmp_path, tasks=tasks)
        assert prepared.dataset.digest == expected
        assert 1 <= len(prepared.workers) <= case.most_workers
        for worker in prepared.workers:
            ancestors = {worker, *(parent.pid for parent in psutil.Process(worker).parents())}
            assert ancestors & set(case.parents)
            assert (worker == os.getpid()) == (case.engine.name == "inline")

    def test_blocks_of_other_engines_are_taken_as_they_are(
        self, case: Case, sample: Dataset, expected: Digest, shared: BlockStore, tmp_path: Path
    ) -> None:
        """All engines meet in one store: the first computes what is missing, the others nothing."""
        for forgotten in sorted(Path(shared.records.uri).iterdir())[::3]:
            forgotten.unlink()
        for path in sorted(Path(shared.files.uri).iterdir())[::5]:
            path.unlink()
        first = prepare(sample, full_definition(), case.engine, tmp_path / "a", store=shared, tasks=4)
        again = prepare(sample, full_definition(), case.engine, tmp_path / "b", store=shared)
        assert (first.dataset.digest, again.dataset.digest) == (expected, expected)
        assert 0 < first.computed < len(sample.parts)
        assert (again.computed, again.workers) == (0, frozenset())
        assert (os.getpid() in first.workers) == (case.engine.name == "inline")


class _Started(InlinePrepEngine):
    """Counts how often it was started and stopped."""

    name = "counted"

    def __init__(self) -> None:
        self.started = self.stopped = 0
        self.shared: list[int] = []

    def __enter__(self) -> Self:
        self.started += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self.stopped += 1

    def map(self, task: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        self.shared.append(len(items))
        return super().map(task, items)


def test_an_engine_starts_for_the_first_work_that_can_be_shared_and_only_once() -> None:
    engine = _Started()
    with OnDemandPrepEngine(engine) as on_demand:
        assert on_demand.name == "counted"
        assert on_demand.map(math.sqrt, []) == []
        assert on_demand.map(math.sqrt, [4]) == [2.0]
        assert (engine.started, engine.shared) == (0, [])
        assert on_demand.map(math.sqrt, [4, 9]) == on_demand.map(math.sqrt, [4, 9]) == [2.0, 3.0]
        assert (engine.started, engine.stopped, engine.shared) == (1, 0, [2, 2])
    assert engine.stopped == 1


def test_a_single_task_fails_as_it_would_on_an_engine() -> None:
    with OnDemandPrepEngine(_Started()) as engine, pytest.raises(Unavailable, match="ZeroDivisionError"):
        engine.map(partial(operator.truediv, 1), [0])


@pytest.mark.parametrize(
    ("start", "connect"),
    [
        pytest.param(dask_cluster, lambda place: DaskPrepEngine(place), id="dask"),
        pytest.param(
            spark_standalone,
            lambda place: SparkPrepEngine(place),
            id="spark, standalone",
            marks=pytest.mark.spark,
        ),
        pytest.param(
            spark_connect, lambda place: SparkPrepEngine(place), id="spark, connect", marks=pytest.mark.spark
        ),
    ],
)
def test_a_cluster_gets_the_code_and_runs_a_killed_workers_tasks_again_with_the_same_digest(
    start: Callable[[Path], AbstractContextManager[Cluster]],
    connect: Callable[[str], PrepEnginePort],
    bucket: BlockStore,
    sample: Dataset,
    expected: Digest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers that do not have the project import what was sent, also those that replace a killed one; rows
    and features are then in S3 alone, and have the same digest."""
    with start(tmp_path) as cluster:
        monkeypatch.setenv("PYSPARK_PYTHON", cluster.python)
        with connect(cluster.address) as engine:
            for found in engine.map(find_spec, ["domain", "veritasvault"]):
                assert found is not None
                assert re.search(r"veritas-[0-9a-f]{16}\.zip", str(found.origin))
            (tmp_path / "marks").mkdir()
            assert len(engine.map(partial(die_once, tmp_path / "marks"), range(20))) == 20
            assert (tmp_path / "marks" / "died").exists()
            _require_the_same_by_s3(bucket, sample, expected, engine, tmp_path)


@pytest.fixture
def bucket(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> BlockStore:
    """An empty block store in S3, whose keys are in the environment from which clusters are started."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    name = s3_server.make_bucket()
    files, records = (S3Objects(name, kind, s3_server.endpoint) for kind in (FILES, RECORDS))
    return BlockStore(files, records, digest_of({"test": "engines"}))


def _require_the_same_by_s3(
    bucket: BlockStore, sample: Dataset, expected: Digest, engine: PrepEnginePort, scratch: Path
) -> None:
    """Rows and features go to the bucket, and a second preparation finds all of them there."""
    rows = write_blocks(all_rows(sample), scratch / "rows", bucket)
    assert (rows.digest, rows.store) == (sample.digest, bucket.files)
    first = prepare(rows, full_definition(), engine, scratch / "features", store=bucket, tasks=4)
    assert (first.dataset.digest, first.computed) == (expected, len(sample.parts))
    assert os.getpid() not in first.workers
    assert {path.name for path in (scratch / "features").iterdir()} == {INDEX}
    opened = Dataset.open(scratch / "features", bucket.files)
    assert feature_table(opened).num_rows > 0
    with pytest.raises(NotFound, match="set VERITAS_BLOCKS"):
        Dataset.open(scratch / "features")
    again = prepare(rows, full_definition(), engine, scratch / "again", store=bucket)
    assert (again.dataset.digest, again.computed) == (expected, 0)


def test_the_code_that_is_sent_has_the_name_of_its_bytes() -> None:
    """The same code twice is the same file, so that a worker imports it once."""
    with code_archive() as first, code_archive() as second:
        assert (first.name, first.read_bytes()) == (second.name, second.read_bytes())
        with ZipFile(first) as archive:
            assert {name.partition("/")[0] for name in archive.namelist()} == {"domain", "veritasvault"}
    assert not first.exists()


@contextmanager
def _of_tomorrow() -> Iterator[Path]:
    """The project's code with a module more."""
    with code_archive() as today:
        tomorrow = today.with_name(f"veritas-{'0' * 16}.zip")
        tomorrow.write_bytes(today.read_bytes())
        with ZipFile(tomorrow, "a") as content:
            content.writestr("veritasvault/of_tomorrow.py", "NEW = True")
        yield tomorrow


def test_a_dask_worker_computes_by_one_version_of_the_code_until_it_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses another one's tasks in a sentence and goes on with its own; a new one takes what comes."""
    new = "veritasvault.of_tomorrow"
    with dask_cluster(tmp_path, workers=1) as cluster:
        with DaskPrepEngine(cluster.address) as engine:
            assert engine.map(find_spec, [new]) == [None]
        with monkeypatch.context() as tomorrow:
            tomorrow.setattr("veritasvault.adapters.dask_code.code_archive", _of_tomorrow)
            with (
                DaskPrepEngine(cluster.address) as engine,
                pytest.raises(InvalidInput, match="restart them, they have imported another version"),
            ):
                engine.map(find_spec, [new])
        with DaskPrepEngine(cluster.address) as engine:
            assert engine.map(find_spec, [new]) == [None]
        with monkeypatch.context() as tomorrow:
            tomorrow.setattr("veritasvault.adapters.dask_code.code_archive", _of_tomorrow)
            with DaskPrepEngine(cluster.address) as engine:
                os.kill(cluster.workers[0], signal.SIGKILL)
                with dask_worker(cluster.address, cluster.python, tmp_path):
                    (found,) = engine.map(find_spec, [new])
                    assert found is not None


def test_a_dask_cluster_keeps_the_code_once_however_often_somebody_connects(tmp_path: Path) -> None:
    """A worker writes nothing that it has, for its tasks may be importing from it."""
    with dask_cluster(tmp_path, workers=1) as cluster:
        seen = []
        for _ in range(3):
            with DaskPrepEngine(cluster.address) as engine:
                engine.map(find_spec, ["domain"])
                files = [path for path in tmp_path.rglob("veritas-*") if path.is_file()]
                seen.append([(path, path.stat().st_ino, path.stat().st_mtime_ns) for path in files])
        assert len(seen[0]) == 1
        assert seen[0] == seen[1] == seen[2]


def test_dask_spreads_the_work_over_all_its_processes(sample: Dataset, tmp_path: Path) -> None:
    with DaskPrepEngine(workers=2) as engine:
        assert len(set(engine.map(partial(die_once, tmp_path), range(1, 200)))) == 2


def test_dask_runs_the_tasks_of_a_killed_worker_on_another(tmp_path: Path) -> None:
    with DaskPrepEngine(workers=2) as engine:
        done = engine.map(partial(die_once, tmp_path), range(20))
        assert (tmp_path / "died").exists()
        assert len(done) == 20


def test_dask_gives_up_when_no_worker_is_left() -> None:
    with DaskPrepEngine(workers=1) as engine:
        engine._timeout = 1.0
        with pytest.raises(Unavailable, match=r"start workers, then retry|could not finish"):
            engine.map(die, [1])


def test_dask_listens_on_loopback_only() -> None:
    with DaskPrepEngine(workers=1) as engine:
        [worker] = engine.map(partial(die_once, Path()), [1])
        listening = [
            connection.laddr.ip
            for process in (psutil.Process(), psutil.Process(worker))
            for connection in process.net_connections()
            if connection.status == psutil.CONN_LISTEN
        ]
    assert set(listening) == {"127.0.0.1"}


def test_dask_workers_end_with_the_process_that_started_them() -> None:
    """Also when it is killed, as a scheduler of tasks does."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from functools import partial\n"
        "from veritasvault.adapters.dask_prep import DaskPrepEngine\n"
        "from tests.adapters.prep_tasks import die_once\n"
        "with DaskPrepEngine(workers=1) as engine:\n"
        "    print(*engine.map(partial(die_once, Path()), [1]), flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        worker = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while psutil.pid_exists(worker) and psutil.Process(worker).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "engine",
    [
        lambda port: DaskPrepEngine(f"tcp://127.0.0.1:{port}", timeout=1),
        lambda port: SparkPrepEngine(f"spark://127.0.0.1:{port}", timeout=1),
        lambda port: SparkPrepEngine(f"sc://127.0.0.1:{port}", timeout=1),
        lambda port: RayPrepEngine(f"ray://127.0.0.1:{port}", timeout=1),
    ],
)
def test_a_cluster_that_does_not_answer_is_unavailable(engine: Callable[[int], PrepEnginePort]) -> None:
    with (
        pytest.raises(Unavailable, match=r"does not answer.*: start it, or correct the address"),
        engine(free_port()),
    ):
        pass


@pytest.mark.spark
def test_a_process_may_have_a_session_of_its_own_beside_one_on_a_connect_server(tmp_path: Path) -> None:
    """What Spark keeps of the one in the environment does not stand in the other's way."""
    with spark_connect(tmp_path) as cluster, SparkPrepEngine(cluster.address) as remote:
        with SparkPrepEngine("local[1]") as own:
            assert own.map(math.sqrt, [16, 25]) == [4.0, 5.0]
        assert remote.map(math.sqrt, [4, 9]) == [2.0, 3.0]


def test_a_scheduler_without_workers_is_unavailable(tmp_path: Path) -> None:
    with dask_cluster(tmp_path, workers=0) as cluster:
        waiting = DaskPrepEngine(cluster.address, timeout=5)
        with pytest.raises(Unavailable, match="start workers, then retry"), waiting:
            pass


@pytest.mark.spark
def test_a_master_without_workers_is_unavailable(tmp_path: Path) -> None:
    """Spark would wait for ever, and the process can open other sessions afterwards."""
    with spark_standalone(tmp_path, workers=0) as cluster:
        waiting = SparkPrepEngine(cluster.address, timeout=2)
        with pytest.raises(Unavailable, match="had no executor for 2 s: start workers"), waiting:
            pass
    with SparkPrepEngine("local[1]") as engine:
        assert engine.map(math.sqrt, [4, 9]) == [2.0, 3.0]


def test_spark_without_java_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(InvalidInput, match="engine is 'spark': install Java 17"), SparkPrepEngine("local[1]"):
        pass


@pytest.mark.parametrize(
    ("engine", "package"),
    [(DaskPrepEngine(), "distributed"), (SparkPrepEngine(), "pyspark"), (RayPrepEngine(), "ray")],
)
def test_an_engine_that_is_not_installed_says_what_to_install(
    engine: PrepEnginePort, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InvalidInput, match=f"engine is '{engine.name}': install .*{package}"), engine:
        pass


@pytest.mark.parametrize(
    "master", ["yarn", "spark://", "localhost:7077", "sc://host", "spark://one:7077,two:7077"]
)
def test_a_master_of_another_form_is_refused(master: str) -> None:
    with pytest.raises(InvalidInput, match="spark master is"):
        SparkPrepEngine(master)


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:6379", "ray://host", "ray://user@host:10001"])
def test_an_address_of_another_form_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match="ray address is"):
        RayPrepEngine(address)


@pytest.mark.ray
def test_ray_ships_the_code_runs_a_killed_workers_tasks_again_and_gives_up_when_tasks_kill(
    bucket: BlockStore, sample: Dataset, expected: Digest, tmp_path: Path
) -> None:
    """On one cluster, whose start costs most: each worker imports what was shipped, not what is installed;
    rows and features are then in S3 alone. The connection ends with the engine."""
    from ray.util.client import num_connected_contexts

    before = num_connected_contexts()
    with ray_cluster(tmp_path) as cluster, RayPrepEngine(cluster.address, timeout=180) as engine:
        assert num_connected_contexts() == before + 1
        for found in engine.map(find_spec, ["domain", "veritasvault"]):
            assert found is not None
            assert "runtime_resources" in str(found.origin)
        (tmp_path / "marks").mkdir()
        assert len(engine.map(partial(die_once, tmp_path / "marks"), range(20))) == 20
        assert (tmp_path / "marks" / "died").exists()
        _require_the_same_by_s3(bucket, sample, expected, engine, tmp_path)
        with pytest.raises(Unavailable, match="ray could not finish the preparation"):
            engine.map(die, [1])
    assert num_connected_contexts() == before


@pytest.mark.ray
def test_ray_ends_no_process_whose_tasks_fail() -> None:
    """Told to cancel a task that is just being done, it does: about once in a hundred times."""
    code = (
        "from veritasvault.adapters.ray_prep import RayPrepEngine\n"
        "from domain.registry.canonical import as_digest\n"
        "from domain.registry.errors import InvalidInput\n"
        "from functools import partial\n"
        "with RayPrepEngine(workers=2) as engine:\n"
        "    for _ in range(400):\n"
        "        try:\n"
        "            engine.map(partial(as_digest, 'digest'), 4 * ['0' * 64, 'broken'])\n"
        "        except InvalidInput:\n"
        "            continue\n"
        "        raise SystemExit('an error was lost')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_domain_errors_survive_pickling_with_their_fields() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(InvalidInput("field", 3, "mend it")))
    assert isinstance(error, DomainException)
    assert (error.field, error.value, error.remedy, str(error)) == (
        "field",
        3,
        "mend it",
        "field is 3: mend it",
    )
