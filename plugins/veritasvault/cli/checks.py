"""Checks of what the registry stands on: Python, settings, storage, ledger, policy, snapshots, tracking."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from domain.registry.redaction import redacted, shown_address

if TYPE_CHECKING:
    from veritasvault.bootstrap import Application

Status = Literal["ok", "warn", "fail"]
_LITTLE_SPACE = 1 << 30
_PATIENCE = 3.0
"""Seconds that a server may take to accept a connection."""
_OLDEST, _NEWEST = (3, 11), (3, 13)


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found: 'ok', 'warn' or 'fail', a sentence without secrets, and how to mend it."""

    name: str
    status: Status
    detail: str
    remedy: str | None = None

    def __post_init__(self) -> None:
        # Others' messages are in it, and answers of the doctor are copied into tickets.
        object.__setattr__(self, "detail", redacted(self.detail))


def python() -> Check:
    version = f"{sys.version.split()[0]} at {sys.prefix}"
    if not _OLDEST <= sys.version_info[:2] <= _NEWEST:
        return Check("python", "fail", version, "use Python 3.11, 3.12 or 3.13")
    return Check("python", "ok", version)


def settings(application: Application, environment: Mapping[str, str]) -> Check:
    """The settings that somebody made, and the home that follows from them."""
    from veritasvault.settings import PREFIX

    given = sorted(name for name in environment if name.startswith(PREFIX))
    made = f"set: {', '.join(given)}" if given else "all defaults"
    return Check("settings", "ok", f"{made}; home {application.settings.home}")


def home(application: Application) -> Check:
    """Whether state can be written, and whether there is room for it."""
    place = application.settings.home
    problem = unwritable(place)
    if problem:
        return Check("home", "fail", f"{place}: {problem}", "make it writable or set VERITAS_HOME")
    free = shutil.disk_usage(_nearest(place)).free
    room = f"{free / (1 << 30):.1f} GiB free"
    if free < _LITTLE_SPACE:
        return Check("home", "warn", f"{place}: only {room}", "free space or set VERITAS_HOME")
    made = "writable" if place.is_dir() else "not there yet, it is made when something is stored"
    return Check("home", "ok", f"{place}: {made}, {room}")


def registry(application: Application) -> Check:
    """Whether models can be stored, or at least read, where the settings say."""
    place = application.settings.registry
    parts = urlsplit(place)
    if parts.scheme == "s3":
        if find_spec("boto3") is None:
            return Check("registry", "fail", f"{place}: boto3 is missing", "pip install 'veritasvault[s3]'")
        endpoint = application.settings.s3_endpoint
        if endpoint and not listening(endpoint, 443):
            return Check(
                "registry", "fail", f"{endpoint} does not answer", "start it or mend VERITAS_S3_ENDPOINT"
            )
        next(iter(application.registry.list()), None)
        return Check("registry", "ok", f"{place}: reachable, it can be listed")
    if parts.scheme.startswith("mlflow+"):
        return _mlflow_registry(application)
    if parts.scheme == "oci" or parts.scheme.startswith("git+"):
        return _remote_registry(application)
    problem = unwritable(Path(unquote(parts.path)))
    if problem:
        return Check("registry", "fail", f"{place}: {problem}", "make it writable or mend VERITAS_REGISTRY")
    return Check("registry", "ok", f"{place}: writable")


def _remote_registry(application: Application) -> Check:
    """Whether an OCI registry or a git repository can be listed; what it is reached with has to be there."""
    place = application.settings.registry
    if place.startswith("oci:") and find_spec("requests") is None:
        return Check("registry", "fail", f"{place}: requests is missing", "pip install 'veritasvault[oci]'")
    lacking = [name for name in ("git", "git-lfs") if place.startswith("git+") and not shutil.which(name)]
    if lacking:
        return Check(
            "registry", "fail", f"{place}: {' and '.join(lacking)} cannot be found", f"install {lacking[-1]}"
        )
    next(iter(application.registry.list()), None)
    return Check("registry", "ok", f"{place}: reachable, it can be listed")


def _mlflow_registry(application: Application) -> Check:
    """Whether models in MLflow can be listed, and how far MLflow's own registry follows the ledger."""
    server = application.mlflow_registry.server
    if find_spec("mlflow") is None:
        return Check(
            "registry", "fail", f"{server.uri}: mlflow is missing", "pip install 'veritasvault[tracking]'"
        )
    if server.embedded is not None and (problem := unwritable(server.embedded.parent)):
        return Check(
            "registry", "fail", f"{server.uri}: {problem}", "make it writable or mend VERITAS_REGISTRY"
        )
    stored = sum(1 for _ in application.registry.list())
    experiment = application.mlflow_registry.experiment
    return Check("registry", "ok", f"{server.uri}, experiment {experiment}: reachable, {stored} models")


def ledger(application: Application) -> Check:
    """Whether the ledger opens, how long it is, and how much of it is signed."""
    url = application.settings.ledger
    file = sqlite_file(url)
    if file is not None and not file.exists():
        problem = unwritable(file.parent)
        if problem:
            return Check(
                "ledger", "fail", f"{file.parent}: {problem}", "make it writable or set VERITAS_LEDGER"
            )
        return Check("ledger", "ok", f"{file}: not there yet, the first registration makes it")
    from veritasvault.adapters.sql_ledger_tables import SCHEMA_VERSION

    port = application.ledger.port
    size, pending = port.size(), application.ledger.pending()
    detail = f"{port.origin()}, schema {SCHEMA_VERSION}: size {size}, {pending} not signed"
    if file is not None and not os.access(file, os.W_OK):
        return Check(
            "ledger", "fail", f"{file}: it may not be written", "make the file and its directory writable"
        )
    if pending:
        return Check("ledger", "warn", detail, "veritas ledger checkpoint")
    return Check("ledger", "ok", detail)


def policy(application: Application) -> Check:
    """Whether promotions can be decided, and are decided as expected."""
    from veritasvault.cli.policy_report import report_on

    if find_spec("regopy") is None:
        return Check("policy", "warn", "regopy is missing", "pip install 'veritasvault[policy]'")
    report = report_on(application)
    detail = f"{report.place}: {report.digest[:16]}…, {report.cases} cases"
    if not report.good:
        wrong = [*report.problems, *(f"case failed: {failure.name}" for failure in report.failures)]
        return Check("policy", "fail", f"{detail}; {wrong[0]}", "veritas policy check")
    return Check("policy", "ok", f"{detail} decided as expected")


def snapshots(application: Application) -> Check:
    """Whether raw data can be kept, and its remote be reached."""
    remote = application.settings.snapshots_remote
    if find_spec("dvc") is None:
        return Check("snapshots", "warn", "dvc is missing", "pip install 'veritasvault[snapshots]'")
    if remote is None:
        return Check("snapshots", "ok", f"{application.settings.snapshots}, no remote")
    parts = urlsplit(remote)
    if parts.scheme in ("", "file"):
        problem = unwritable(Path(unquote(parts.path)))
        if problem:
            return Check("snapshots", "fail", f"{remote}: {problem}", "mend it or VERITAS_SNAPSHOTS_REMOTE")
        return Check("snapshots", "ok", f"remote {remote}: writable")
    endpoint = application.settings.s3_endpoint
    if endpoint and not listening(endpoint, 443):
        return Check(
            "snapshots", "fail", f"{endpoint} does not answer", "start it or mend VERITAS_S3_ENDPOINT"
        )
    if find_spec("dvc_s3") is None:
        return Check("snapshots", "fail", "dvc-s3 is missing", "pip install 'veritasvault[snapshots]'")
    return Check("snapshots", "ok", f"remote {remote}, its bucket is opened by the first snapshot")


def blocks(application: Application) -> Check:
    """Whether rows and features can be kept where engines read and write them."""
    from domain.registry.canonical import digest
    from domain.registry.errors import DomainException

    directory, remedy = application.settings.block_store, "mend it or VERITAS_BLOCKS"
    if directory is not None:
        problem = unwritable(directory)
        if problem:
            return Check("blocks", "fail", f"{directory}: {problem}", remedy)
        return Check("blocks", "ok", f"{directory}: writable")
    if find_spec("boto3") is None:
        return Check("blocks", "fail", "boto3 is missing", "pip install 'veritasvault[s3]'")
    endpoint = application.settings.s3_endpoint
    if endpoint and not listening(endpoint, 443):
        return Check("blocks", "fail", f"{endpoint} does not answer", "start it or mend VERITAS_S3_ENDPOINT")
    files = application.workspace.blocks(digest(b"")).files
    try:
        files.use("doctor")
    except DomainException as error:
        return Check("blocks", "fail", str(error), remedy)
    return Check("blocks", "ok", f"{files.uri}: the bucket answers, workers have to reach it too")


def tracking(application: Application) -> Check:
    """Whether experiment runs can be written."""
    place = application.settings.tracking
    if find_spec("mlflow") is None:
        return Check("tracking", "warn", "mlflow is missing", "pip install 'veritasvault[tracking]'")
    remedy = "mend it or VERITAS_TRACKING"
    file = sqlite_file(place)
    if file is not None:
        problem = unwritable(file.parent)
        if problem:
            return Check("tracking", "fail", f"{file}: {problem}", remedy)
        return Check("tracking", "ok", f"{file}: {'there' if file.exists() else 'made by the first run'}")
    if urlsplit(place).hostname and not listening(place, 443 if place.startswith("https") else 80):
        return Check("tracking", "fail", f"{shown_address(place)} does not answer", f"start it, or {remedy}")
    return Check("tracking", "ok", shown_address(place))


def unwritable(directory: Path) -> str | None:
    """Why nothing could be written there; a directory that does not exist yet is judged by its parent."""
    place = _nearest(directory)
    if not place.is_dir():
        return f"{place} is not a directory"
    try:
        # Asking for permissions is not enough: root has them all, also on a read-only mount.
        with tempfile.TemporaryFile(dir=place):
            return None
    except OSError as error:
        return f"{place} cannot be written ({error.strerror})"


def listening(url: str, default_port: int) -> bool:
    """Whether somebody accepts connections at a URL's host and port."""
    parts = urlsplit(url)
    try:
        port = parts.port or default_port
        with socket.create_connection((parts.hostname or "", port), timeout=_PATIENCE):
            return True
    except (OSError, ValueError):
        return False


def sqlite_file(url: str) -> Path | None:
    """The file of an SQLite URL; None for another database."""
    scheme, separator, path = url.partition(":///")
    return Path(path) if separator and scheme.split("+")[0] == "sqlite" else None


def _nearest(place: Path) -> Path:
    """The place itself, or the closest of its parents that exists."""
    return next(path for path in (place, *place.parents) if path.exists())
