"""Settings: read from the environment once, by the composition root alone, with defaults that just work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from domain.registry.errors import InvalidInput

PREFIX = "VERITAS_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is kept, and which servers to use instead of the embedded parts.

    Attributes:
        home: directory of all embedded state.
        registry: `file:///directory` or `s3://bucket[/prefix]`.
        ledger: a SQLAlchemy URL, SQLite or PostgreSQL.
        snapshots_remote: DVC remote (directory or s3:// URL); None keeps snapshots in `home` only.
        tracking: MLflow tracking URI.
        dask: address of a running Dask scheduler; None starts local workers.
        spark: Spark master or Connect URL.
        aws_connection: Airflow connection for S3; None takes the usual AWS chain.
        s3_endpoint: endpoint of an S3 server other than AWS.
        retry_seconds: how long a task waits before it tries again.
        code_version: what the provenance says of the code; None asks git.
    """

    home: Path
    registry: str
    ledger: str
    snapshots_remote: str | None
    tracking: str
    dask: str | None
    spark: str
    aws_connection: str | None
    s3_endpoint: str | None
    retry_seconds: float
    code_version: str | None

    @property
    def workspace(self) -> Path:
        """Rows, feature sets and candidates of runs; may be emptied when no run is under way."""
        return self.home / "workspace"

    @property
    def reports(self) -> Path:
        """Data validation reports."""
        return self.home / "reports"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def snapshots(self) -> Path:
        return self.home / "snapshots"

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read `VERITAS_*` variables.

        Raises:
            InvalidInput: naming the variable that is unknown or unusable.
        """
        values = {
            name.removeprefix(PREFIX).lower(): value
            for name, value in (os.environ if environment is None else environment).items()
            if name.startswith(PREFIX)
        }
        for name in values:
            if name not in cls.__slots__:
                known = ", ".join(f"{PREFIX}{field.upper()}" for field in cls.__slots__)
                raise InvalidInput(f"{PREFIX}{name.upper()}", values[name], f"no such setting, use {known}")
        home = Path(values.get("home") or default_home()).expanduser().absolute()
        return cls(
            home=home,
            registry=_registry(values.get("registry") or home.joinpath("registry").as_uri()),
            ledger=values.get("ledger") or f"sqlite:///{home}/ledger.db",
            snapshots_remote=values.get("snapshots_remote") or None,
            tracking=values.get("tracking") or f"sqlite:///{home}/mlflow.db",
            dask=values.get("dask") or None,
            spark=values.get("spark") or "local[2]",
            aws_connection=values.get("aws_connection") or None,
            s3_endpoint=values.get("s3_endpoint") or None,
            retry_seconds=_seconds(values.get("retry_seconds") or "300"),
            code_version=values.get("code_version") or None,
        )


def project_root() -> Path | None:
    """The checkout this package runs from; None when it is installed from a wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else None


def default_home() -> Path:
    """`.veritas` in the checkout, or in the user's home directory."""
    return (project_root() or Path.home()) / ".veritas"


def _registry(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme == "s3" and parts.netloc:
        return value
    if parts.scheme == "file" and parts.path:
        return value
    raise InvalidInput("VERITAS_REGISTRY", value, "give file:///directory or s3://bucket/prefix")


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 86400:
        raise InvalidInput("VERITAS_RETRY_SECONDS", value, "give seconds from 1 to 86400")
    return seconds
