"""Settings: read from the environment once, by the composition root alone, with defaults that just work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from domain.registry.errors import InvalidInput
from veritasvault.oidc_issuer import AUDIENCE, CLAIMS, OidcIssuer
from veritasvault.setting_values import (
    AWS,
    LOCAL,
    MLFLOW,
    TransitAddress,
    as_connection,
    as_days,
    as_deadline_days,
    as_open,
    as_path,
    as_place,
    as_policy,
    as_ray,
    as_registry,
    as_seconds,
    as_signer,
)

PREFIX = "VERITAS_"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where everything is kept, and which servers to use instead of the embedded parts.

    Attributes:
        home: directory of all embedded state.
        registry: `file:///directory`, `s3://bucket[/prefix]`, `mlflow+http(s)://host[:port]/experiment` or
            `mlflow+sqlite:////path/mlflow.db`.
        ledger: a SQLAlchemy URL, SQLite or PostgreSQL.
        signer: `local`, or where Vault keeps the signing keys, see `TransitAddress`.
        snapshots_remote: DVC remote (directory or s3:// URL); None keeps snapshots in `home` only.
        tracking: MLflow tracking URI.
        blocks: `file:///directory` or `s3://bucket[/prefix]` for the blocks of rows and features, which
            workers of engines reach; None keeps them in the workspace.
        dask: address of a running Dask scheduler; None starts local workers.
        spark: Spark master or Connect URL.
        ray: `ray://host:port` of a running Ray cluster's client server; None starts local workers.
        aws_connection: Airflow connection for S3; None takes the usual AWS chain.
        s3_endpoint: endpoint of an S3 server other than AWS.
        policy: directory of `*.rego` files, or `http(s)://` URL of an OPA server.
        witnesses: `file:///directory` or `s3://bucket[/prefix]`, where checkpoints are witnessed.
        roles: TOML file that says who is risk officer and model validator, see `roles.py`.
        alerts: TOML file that says which notifiers tell people of a failure, see `notifiers.py`.
        audit_days: in how many days audits read every stored model once.
        deadline_days: how many days old a champion may be, in tiers 1, 2 and 3.
        oidc_issuer, oidc_audience, oidc_claim, oidc_jwks, oidc_ca: whose tokens say who commands, see
            `OidcIssuer`; without an issuer no token is believed.
        token_file: where the token of whoever commands is; None takes the operating system's user.
        retry_seconds: how long a task waits before it tries again.
        code_version: what the provenance says of the code; None asks git.
        code_author: who wrote that code, `Name <email>`; None asks git, where there is no code_version.
        repository: git repository of this project, for the code that trained a version; None for none.
    """

    home: Path
    registry: str
    # The one address that may have a password in it, and the master may have a token.
    ledger: str = field(repr=False)
    signer: str
    snapshots_remote: str | None
    tracking: str
    blocks: str | None
    dask: str | None
    spark: str = field(repr=False)
    ray: str | None
    aws_connection: str | None
    s3_endpoint: str | None
    policy: str
    witnesses: tuple[str, ...]
    roles: Path
    alerts: Path
    audit_days: int
    deadline_days: tuple[int, ...]
    oidc_issuer: str | None
    oidc_audience: str
    oidc_claim: str
    oidc_jwks: str | None
    oidc_ca: Path | None
    token_file: Path | None
    retry_seconds: float
    code_version: str | None
    code_author: str | None
    repository: Path | None

    @property
    def workspace(self) -> Path:
        """Rows, feature sets and candidates of runs; may be emptied when no run is under way."""
        return self.home / "workspace"

    @property
    def block_store(self) -> Path | None:
        """The directory of the blocks; None if they are in a bucket."""
        if self.blocks is None:
            return self.workspace / "blocks"
        parts = urlsplit(self.blocks)
        return Path(unquote(parts.path)) if parts.scheme == "file" else None

    @property
    def reports(self) -> Path:
        """Data validation reports."""
        return self.home / "reports"

    @property
    def reproductions(self) -> Path:
        """Reports on reproductions."""
        return self.reports / "reproductions"

    @property
    def monitorings(self) -> Path:
        """Reports on monitorings."""
        return self.reports / "monitoring"

    @property
    def transit(self) -> TransitAddress | None:
        """Where the signing keys are in Vault; None if they are in `keys`."""
        return None if self.signer == LOCAL else TransitAddress.parse(self.signer)

    @property
    def issuer(self) -> OidcIssuer | None:
        """Whose tokens are believed. Raises InvalidInput, naming the setting that cannot be used."""
        if self.oidc_issuer is None:
            return None
        return OidcIssuer(self.oidc_issuer, self.oidc_audience, self.oidc_claim, self.oidc_jwks, self.oidc_ca)

    @property
    def keys(self) -> Path:
        """Public halves of all signing keys, and the private ones unless Vault has them."""
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
                # What an unknown variable holds may be anything, a key among them.
                raise InvalidInput(f"{PREFIX}{name.upper()}", "not shown", f"no such setting, use {known}")
        home = as_path(values.get("home") or str(default_home()))
        settings = cls(
            home=home,
            registry=as_registry(values.get("registry") or home.joinpath("registry").as_uri()),
            ledger=values.get("ledger") or f"sqlite:///{home}/ledger.db",
            signer=as_signer(values.get("signer") or LOCAL),
            snapshots_remote=as_open("VERITAS_SNAPSHOTS_REMOTE", values.get("snapshots_remote"), AWS),
            tracking=as_open("VERITAS_TRACKING", values.get("tracking"), MLFLOW)
            or f"sqlite:///{home}/mlflow.db",
            blocks=as_place("VERITAS_BLOCKS", values["blocks"]) if values.get("blocks") else None,
            dask=as_open("VERITAS_DASK", values.get("dask"), "the scheduler takes none"),
            spark=values.get("spark") or "local[2]",
            ray=as_ray(values.get("ray")),
            aws_connection=as_connection(values.get("aws_connection")),
            s3_endpoint=as_open("VERITAS_S3_ENDPOINT", values.get("s3_endpoint"), AWS),
            policy=as_policy(values.get("policy") or str(packaged_policy())),
            witnesses=tuple(
                as_place("VERITAS_WITNESSES", uri.strip())
                for uri in values.get("witnesses", "").split(",")
                if uri.strip()
            ),
            roles=as_path(values.get("roles") or str(home / "roles.toml")),
            alerts=as_path(values.get("alerts") or str(home / "alerts.toml")),
            audit_days=as_days("VERITAS_AUDIT_DAYS", values.get("audit_days") or "30"),
            deadline_days=as_deadline_days(values.get("deadline_days")),
            oidc_issuer=values.get("oidc_issuer") or None,
            oidc_audience=values.get("oidc_audience") or AUDIENCE,
            oidc_claim=values.get("oidc_claim") or CLAIMS[0],
            oidc_jwks=values.get("oidc_jwks") or None,
            oidc_ca=as_path(values["oidc_ca"]) if values.get("oidc_ca") else None,
            token_file=as_path(values["token_file"]) if values.get("token_file") else None,
            retry_seconds=as_seconds(values.get("retry_seconds") or "300"),
            code_version=values.get("code_version") or None,
            code_author=values.get("code_author") or None,
            repository=as_path(values["repository"]) if values.get("repository") else project_root(),
        )
        # Not when it is first used: what is wrong shall be said at once, and not shown till then.
        _ = settings.issuer
        return settings


def project_root() -> Path | None:
    """The checkout this package runs from; None when it is installed from a wheel."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else None


def default_home() -> Path:
    """`.veritas` in the checkout, or in the user's home directory."""
    return (project_root() or Path.home()) / ".veritas"


def packaged_policy() -> Path:
    """The policy that comes with this package; in a checkout that is `deploy/policy`, by a link."""
    return (Path(__file__).parent / "policy").resolve()
