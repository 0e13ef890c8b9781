"""Registering: a 100 kB model against MLflow's log_model, and 1 GiB against the disk and SHA-256.

Everything that is compared runs in this process, in turns, and each ratio is the median of its pairs.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import Line, seconds, show

MIB = 2**20
SMALL_LIMIT = 0.5
LARGE_LIMIT = 1.3
MEMORY_LIMIT_MIB = 200
ROUNDS = 7


def measure() -> list[Line]:
    """The ratios of small and large registrations."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as directory:
        return [*_small(Path(directory) / "small"), *_large(Path(directory) / "large")]


def _small(directory: Path) -> list[Line]:
    """A linear model of 12,000 coefficients: trained once, then serialised and registered again and again."""
    import numpy as np
    from sklearn.linear_model import Ridge

    from veritasvault.adapters.onnx_log_linear import LogLinear

    rng = np.random.default_rng(0)
    columns = 12_000
    fitted = Ridge().fit(rng.normal(size=(50, columns)), rng.normal(size=50))

    def candidate(number: int) -> LogLinear:
        """Another model every time, so that nothing is recognised."""
        return LogLinear(
            in_logs=np.zeros(columns, dtype=bool),
            floors=np.ones(columns),
            weights=fitted.coef_,
            intercept=float(number),
        )

    register = _our_registration(directory / "ours", candidate)
    pinned = _mlflow_registration(directory / "mlflow-pinned", fitted, pinned=True)
    inferred = _mlflow_registration(directory / "mlflow-defaults", fitted, pinned=False)
    for warm in (register, pinned):
        warm(-1)
    ratios, ours = [], []
    for number in range(ROUNDS):
        ours.append(seconds(lambda number=number: register(number)))
        ratios.append(ours[-1] / seconds(lambda number=number: pinned(number)))
    defaults = seconds(lambda: inferred(0))
    mine = statistics.median(ours)
    return [
        Line.of("register 100 kB / MLflow log_model, pinned requirements", ratios, SMALL_LIMIT),
        Line(f"register 100 kB / MLflow log_model, its defaults ({defaults:.1f} s)", mine / defaults, None),
    ]


def _our_registration(directory: Path, candidate: Callable[[int], object]) -> Callable[[int], None]:
    from domain.registry.metadata import ModelMetadata, RiskTier
    from veritasvault.adapters.onnx_log_linear import LogLinear
    from veritasvault.bootstrap import bootstrap

    application = bootstrap({"VERITAS_HOME": str(directory)})
    made = directory / "made"
    made.mkdir(parents=True)
    about = ModelMetadata("small", "Measure.", "benchmarks", RiskTier.LOW, "scikit-learn", "None.", "None.")

    def register(number: int) -> None:
        model = candidate(number)
        assert isinstance(model, LogLinear)
        (made / "model.onnx").write_bytes(model.to_onnx())
        answer = application.registration.register_model(about, made / "model.onnx")
        assert answer.outcome == "registered"

    return register


def _mlflow_registration(directory: Path, fitted: object, *, pinned: bool) -> Callable[[int], None]:
    import mlflow
    import sklearn

    directory.mkdir(parents=True)
    requirements = {"pip_requirements": [f"scikit-learn=={sklearn.__version__}"]} if pinned else {}

    def register(number: int) -> None:
        mlflow.set_tracking_uri(f"sqlite:///{directory}/mlflow.db")
        if mlflow.get_experiment_by_name("small") is None:
            mlflow.create_experiment("small", artifact_location=(directory / "artifacts").as_uri())
        mlflow.set_experiment("small")
        with mlflow.start_run():
            mlflow.sklearn.log_model(
                fitted,
                name="model",
                registered_model_name="small",
                serialization_format="cloudpickle",
                **requirements,
            )

    return register


def _large(directory: Path) -> list[Line]:
    """1 GiB of safetensors, in a process of its own so that its peak memory can be told."""
    directory.mkdir()
    source = directory / "model.safetensors"
    subprocess.run([sys.executable, "-m", "benchmarks.registration", "make", str(source)], check=True)
    ratios, peaks, firsts = [], [], []
    for number in range(5):
        copied = seconds(lambda: _copy_and_sync(source, directory / "copy"))
        hashed = seconds(lambda: _sha256(source))
        (directory / "copy").unlink()
        home = directory / f"home-{number}"
        told = subprocess.run(
            [sys.executable, "-m", "benchmarks.registration", "register", str(source), str(home)],
            check=True,
            capture_output=True,
            text=True,
        )
        first, took, peak = map(float, told.stdout.split())
        shutil.rmtree(home)
        ratios.append(took / max(copied, hashed))
        peaks.append(peak)
        firsts.append(first)
    return [
        Line("the first registration of a process and of a ledger, s", statistics.median(firsts), None),
        Line.of("register 1 GiB / slower of copy+fsync and sha256", ratios, LARGE_LIMIT),
        Line("register 1 GiB, peak memory in MiB", max(peaks), MEMORY_LIMIT_MIB),
    ]


def _copy_and_sync(source: Path, destination: Path) -> None:
    with source.open("rb") as reading, destination.open("wb") as writing:
        shutil.copyfileobj(reading, writing, MIB)
        writing.flush()
        os.fsync(writing.fileno())


def _sha256(path: Path) -> None:
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def _make(path: Path) -> None:
    import json
    import struct

    size = 1024 * MIB
    header = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    header = header.ljust(-len(header) % 8 + len(header))
    block = os.urandom(MIB)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for _ in range(size // MIB):
            file.write(block)
        os.fsync(file.fileno())


def _register(source: Path, home: Path) -> None:
    from domain.registry.metadata import ModelMetadata, RiskTier
    from veritasvault.bootstrap import bootstrap

    application = bootstrap({"VERITAS_HOME": str(home)})

    def register(name: str, artifact: Path) -> None:
        about = ModelMetadata(name, "Measure.", "benchmarks", RiskTier.LOW, "none", "None.", "None.")
        application.registration.register_model(about, artifact)

    small = home / "first.json"
    home.mkdir()
    small.write_text("{}")
    # Imports and the making of ledger and key are paid once, by the first registration of a process.
    first = seconds(lambda: register("first", small))
    print(first, seconds(lambda: register("large", source)), _peak_memory())


def _peak_memory() -> float:
    """MiB. From /proc, because getrusage counts what the parent had when it started this process, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        _make(Path(sys.argv[2]))
    elif sys.argv[1:2] == ["register"]:
        _register(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        sys.exit(show("Registration", measure()))
