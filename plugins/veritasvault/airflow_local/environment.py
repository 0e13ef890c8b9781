"""The environment variables that make Airflow run on this machine: its places, on loopback, quiet, quick."""

from __future__ import annotations

import base64
import json
import os
import secrets
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from veritasvault.preload import NO_TELEMETRY
from veritasvault.settings import project_root

USER = "admin"

_SECRETS = "secrets.json"
_PASSWORDS = "passwords.json"
_LOOPBACK = "127.0.0.1,localhost"

# Tasks are forked, and fork and thread pools do not mix; one thread a task is also what makes
# training reproducible and keeps parallel tasks from fighting over the cores.
_FORK_SAFE = {
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES",
    "MPLBACKEND": "Agg",
    "GIT_PYTHON_REFRESH": "quiet",
    "PYTHONUNBUFFERED": "1",
}


def plugins_folder() -> Path:
    """Airflow's plugins folder: the one that holds this package."""
    return Path(__file__).resolve().parents[2]


def dags_folder() -> Path:
    """The project's DAG files; beside the plugins folder."""
    return (project_root() or plugins_folder().parent) / "dags"


def base_environment(
    home: Path, dags: Path, plugins: Path, database_url: str, given: Mapping[str, str]
) -> dict[str, str]:
    """What every Airflow process needs, servers or not.

    Args:
        home: AIRFLOW_HOME; made, with the secrets that its processes share, if it is new.
        dags: folder of the DAG files.
        plugins: folder of the plugin file.
        database_url: SQLAlchemy URL of the metadata, unless `given` has one.
        given: the caller's environment; what it says wins over the defaults here.
    """
    home.mkdir(parents=True, exist_ok=True)
    shared = _shared_secrets(home)
    defaults = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        # The default asks a name server, which takes seconds where there is none.
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__CORE__FERNET_KEY": shared["fernet_key"],
        "AIRFLOW__API__SECRET_KEY": shared["secret_key"],
        "AIRFLOW__API_AUTH__JWT_SECRET": shared["jwt_secret"],
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database_url,
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
    }
    if find_spec("asyncpg") is None:
        # Airflow then leaves out its asynchronous engine, which only the REST route
        # `dagRuns/{id}/wait` uses.
        defaults["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC"] = ""
    return {
        **NO_TELEMETRY,
        **_FORK_SAFE,
        **defaults,
        **given,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), given.get("PATH", os.defpath)]),
        **_without_proxy(given),
    }


def server_environment(base: Mapping[str, str], port: int, parallelism: int) -> dict[str, str]:
    """`base` with what a scheduler and an API server on `port` of loopback add.

    Args:
        base: of `base_environment`; what it says wins, except for the address.
        port: free TCP port of 127.0.0.1.
        parallelism: how many tasks run at once.
    """
    url = f"http://127.0.0.1:{port}"
    defaults = {
        "AIRFLOW__CORE__PARALLELISM": str(parallelism),
        "AIRFLOW__CORE__AUTH_MANAGER": (
            "airflow.api_fastapi.auth.managers.simple.simple_auth_manager.SimpleAuthManager"
        ),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(Path(base["AIRFLOW_HOME"]) / _PASSWORDS),
        "AIRFLOW__API__WORKERS": "1",
        # Our plugin's own section: some seconds once, for a third of the processor time of every run.
        "AIRFLOW__VERITASVAULT__PRELOAD": "True",
        # An idle second between two tasks of a run is most of what a short run takes.
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.25",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        # A DAG file that somebody just wrote shows up within seconds, not within five minutes.
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    }
    return {
        **defaults,
        **base,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
    }


def passwords(environment: Mapping[str, str]) -> dict[str, str]:
    """A password for each configured user, made once and kept beside the metadata, readable by the owner."""
    path = Path(environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    users = [user.partition(":")[0] for user in _users(environment)]
    known = json.loads(path.read_text()) if path.is_file() else {}
    complete = {**known, **{user: secrets.token_urlsafe(12) for user in users if user not in known}}
    if complete != known:
        _write_private(path, json.dumps(complete))
    return {user: complete[user] for user in users}


def _users(environment: Mapping[str, str]) -> list[str]:
    return [user.strip() for user in environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"].split(",")]


def _shared_secrets(home: Path) -> dict[str, str]:
    path = home / _SECRETS
    if not path.is_file():
        made = {
            "fernet_key": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
            "jwt_secret": secrets.token_urlsafe(48),
            "secret_key": secrets.token_urlsafe(48),
        }
        _write_private(path, json.dumps(made))
    kept: dict[str, str] = json.loads(path.read_text())
    return kept


def _write_private(path: Path, text: str) -> None:
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:  # noqa: PTH123
        file.write(text)
    temporary.replace(path)


def _without_proxy(given: Mapping[str, str]) -> dict[str, str]:
    """Tasks talk to the API server on loopback, which no proxy can reach."""
    return {name: ",".join(filter(None, [given.get(name), _LOOPBACK])) for name in ("NO_PROXY", "no_proxy")}
