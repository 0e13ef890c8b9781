"""Real Dask, Spark and Ray clusters on loopback, from installed packages; stopped with all they started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import psutil

LOOPBACK = "127.0.0.1"
_DEADLINE_SECONDS = 180.0
_STOP_SECONDS = 5.0
_RAY_ON_LOOPBACK = """
# Ray replaces 127.0.0.1 by an address that others reach, where it may have several nodes; so may this
# command, but the processes that it starts shall not.
import os
from ray._private import services
services.resolve_ip_for_localhost = lambda host: host
from ray.scripts.scripts import main
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
main()
"""
_RAY = {
    # Without a token, for nobody but the tests reaches it; a busy machine starts agents slowly.
    "RAY_AUTH_MODE": "disabled",
    # An engine of the same process sets it otherwise.
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
    "RAY_agent_register_timeout_ms": "300000",
    # Tests' own tasks are not shipped; the project's code is, and comes first.
    "PYTHONPATH": str(Path(__file__).parents[2]),
}


@dataclass(frozen=True)
class Cluster:
    """Where a cluster answers, and the processes under which its work is done.

    Attributes:
        python: the interpreter of workers that do not have the project.
    """

    address: str
    workers: tuple[int, ...]
    python: str = sys.executable


def running(name: str, parents: Iterable[int]) -> list[psutil.Process]:
    """Descendants that run something of a name; Ray gives each of its processes the name of what it runs."""
    found = []
    for parent in parents:
        for each in psutil.Process(parent).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if name in " ".join(each.cmdline()):
                    found.append(each)
    return found


@contextmanager
def dask_cluster(scratch: Path, workers: int = 2) -> Iterator[Cluster]:
    """A Dask scheduler and worker processes, none of which has the project."""
    with ExitStack() as stack:
        port = free_port()
        command = [
            "distributed.cli.dask_scheduler",
            "--host",
            LOOPBACK,
            "--port",
            str(port),
            "--no-dashboard",
        ]
        python = _python_without_project(scratch)
        scheduler = _start(
            [python, "-m", *command, "--dashboard-address", f"{LOOPBACK}:0"],
            scratch / "scheduler.log",
            stack,
        )
        _wait_for_port(port, scheduler)
        address = f"tcp://{LOOPBACK}:{port}"
        started = [stack.enter_context(dask_worker(address, python, scratch)) for _ in range(workers)]
        yield Cluster(address, tuple(started), python)


@contextmanager
def dask_worker(address: str, python: str, scratch: Path) -> Iterator[int]:
    """One more worker process of a scheduler; its number."""
    command = [python, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1"]
    command += ["--no-dashboard", "--dashboard-address", f"{LOOPBACK}:0", "--host", LOOPBACK]
    command += ["--local-directory", str(scratch)]
    with ExitStack() as stack:
        yield _start(command, scratch / f"worker-{free_port()}.log", stack).pid


@contextmanager
def spark_standalone(scratch: Path, workers: int = 1) -> Iterator[Cluster]:
    """A standalone master and workers with two cores each."""
    with ExitStack() as stack:
        port = free_port()
        master = [*_spark_class(), "org.apache.spark.deploy.master.Master", "--host", LOOPBACK]
        master += ["--port", str(port), "--webui-port", str(free_port())]
        _wait_for_port(port, _start(master, scratch / "master.log", stack))
        address, started = f"spark://{LOOPBACK}:{port}", []
        for number in range(workers):
            worker_port = free_port()
            worker = [*_spark_class(), "org.apache.spark.deploy.worker.Worker", address, "--host", LOOPBACK]
            worker += ["--port", str(worker_port), "--webui-port", str(free_port()), "--cores", "2"]
            worker += ["--memory", "2g", "--work-dir", str(scratch / f"work-{number}")]
            started.append(_start(worker, scratch / f"worker-{number}.log", stack))
            _wait_for_port(worker_port, started[-1])
        yield Cluster(address, tuple(each.pid for each in started), _python_without_project(scratch))


@contextmanager
def spark_connect(scratch: Path) -> Iterator[Cluster]:
    """A Spark Connect server that computes in its own process's children."""
    with ExitStack() as stack:
        port = free_port()
        settings = {
            "spark.connect.grpc.binding.address": LOOPBACK,
            "spark.connect.grpc.binding.port": str(port),
            "spark.driver.host": LOOPBACK,
            "spark.driver.bindAddress": LOOPBACK,
            "spark.ui.enabled": "false",
            "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        }
        command = [*_spark_class(), "org.apache.spark.deploy.SparkSubmit", "--master", "local[2,4]"]
        command += ["--class", "org.apache.spark.sql.connect.service.SparkConnectServer"]
        for name, value in settings.items():
            command += ["--conf", f"{name}={value}"]
        workers = {"PYSPARK_PYTHON": _python_without_project(scratch)}
        server = _start([*command, "spark-internal"], scratch / "connect.log", stack, workers)
        _wait_for_port(port, server)
        yield Cluster(f"sc://{LOOPBACK}:{port}", (server.pid,))


@contextmanager
def ray_cluster(scratch: Path, workers: int = 2, client: int | None = None) -> Iterator[Cluster]:
    """A Ray head that computes nothing and serves the port `client`, and nodes of one process each."""
    with ExitStack() as stack:
        port, client = free_port(), client or free_port()
        # Ray makes Unix sockets below, whose paths may not be long.
        session = stack.enter_context(TemporaryDirectory(prefix="ray-", dir="/tmp"))
        start = [sys.executable, "-c", _RAY_ON_LOOPBACK, "start", "--block", "--disable-usage-stats"]
        start += ["--node-ip-address", LOOPBACK, "--object-store-memory", str(100 << 20)]
        head = ["--head", "--port", str(port), "--ray-client-server-port", str(client), "--num-cpus", "0"]
        head += ["--temp-dir", session, "--include-dashboard", "false"]
        _wait_for_port(client, _start([*start, *head], scratch / "head.log", stack, _RAY))
        node = [*start, "--address", f"{LOOPBACK}:{port}", "--num-cpus", "1"]
        logs = [scratch / f"node-{number}.log" for number in range(workers)]
        begun = [_start(node, log, stack, _RAY) for log in logs]
        joined = [_joined(process, log, stack) for process, log in zip(begun, logs, strict=True)]
        yield Cluster(f"ray://{LOOPBACK}:{client}", tuple(each.pid for each in joined))


def _joined(node: subprocess.Popen[bytes], log: Path, stack: ExitStack) -> subprocess.Popen[bytes]:
    """A node of Ray, once it has; one that a busy machine did not start within Ray's limit is tried again."""
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while "Ray runtime started" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        if node.poll() is not None:
            node = _start(list(node.args), log, stack, _RAY)
        time.sleep(0.05)
    return node


def _python_without_project(scratch: Path) -> str:
    """An interpreter with what is installed here, but for what .pth files install, as this project.

    The tests' own tasks, which nobody sends along, are found from the root of the checkout; there the
    project's domain lies beside them, its adapters do not.
    """
    interpreter = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    packages = os.pathsep.join((sysconfig.get_path("purelib"), str(Path(__file__).parents[2])))
    script = scratch / "python-without-project"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{packages}:$PYTHONPATH" exec "{interpreter}" "$@"\n')
    script.chmod(0o755)
    return str(script)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _spark_class() -> list[str]:
    return [str(_spark_home() / "bin" / "spark-class")]


def _spark_home() -> Path:
    """Where the pip package keeps Spark."""
    found = util.find_spec("pyspark")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def _start(
    command: list[str], log: Path, stack: ExitStack, settings: Mapping[str, str] = MappingProxyType({})
) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "SPARK_HOME": str(_spark_home()),
        "SPARK_LOCAL_IP": LOOPBACK,
        "PYSPARK_PYTHON": sys.executable,
        **settings,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, cwd=log.parent
        )
    stack.callback(_stop, process)
    return process


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Stop a process and its descendants: executors and Python workers outlive a killed parent."""
    try:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _DEADLINE_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"{process.args!r} ended with {process.returncode}")
        try:
            socket.create_connection((LOOPBACK, port), 1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")
