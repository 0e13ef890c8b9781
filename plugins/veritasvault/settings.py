"""Settings: read from the environment once, by the composition root alone, with defaults that just work."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from domain.registry.errors import InvalidInput
from domain.registry.redaction import has_login
from veritasvault.oidc_issuer import AUDIENCE, CLAIMS, OidcIssuer
from veritasvault.registry_address import GitAddress, MlflowAddress, OciAddress

PREFIX = "VERITAS_"
LOCAL = "local"
"""The signer whose private keys are files in `Settings.keys`."""
_TRANSPORTS = {"vault": "https", "vault+http": "http"}
_AWS = "name them by VERITAS_AWS_CONNECTION or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
_MLFLOW = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"


@dataclass(frozen=True, slots=True)
class TransitAddress:
    """Where Vault's Transit engine keeps the signing keys.

    Attributes:
        url: of the server, without a path.
        mount: where the engine is mounted.
        checkpoint, artifact: names of the two keys.
    """

    url: str
    mount: str
    checkpoint: str
    artifact: str

    @classmethod
    def parse(cls, value: str) -> TransitAddress:
        """Read `vault://HOST:PORT/MOUNT?checkpoint=NAME&artifact=NAME`; `vault+http` is without TLS.

        Raises:
            InvalidInput: for anything else.
        """
        parts = _split("VERITAS_SIGNER", value)
        names = parse_qs(parts.query)
        mount = parts.path.strip("/")
        right = (
            parts.scheme in _TRANSPORTS
            and parts.hostname
            and mount
            and not parts.fragment
            and set(names) == {"checkpoint", "artifact"}
            and all(len(given) == 1 for given in names.values())
        )
        if not right or has_login(value):
            raise InvalidInput(
                "VERITAS_SIGNER",
                value,
                "give local or vault://host:port/mount?checkpoint=NAME&artifact=NAME, and VAULT_TOKEN apart",
            )
        url = f"{_TRANSPORTS[parts.scheme]}://{parts.netloc}"
        return cls(url, mount, names["checkpoint"][0], names["artifact"][0])


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
        dask: address of a running Dask scheduler; None starts local workers.
        spark: Spark master or Connect URL.
        aws_connection: Airflow connection for S3; None takes the usual AWS chain.
        s3_endpoint: endpoint of an S3 server other than AWS.
        policy: directory of `*.rego` files, or `http(s)://` URL of an OPA server.
        witnesses: `file:///directory` or `s3://bucket[/prefix]`, where checkpoints are witnessed.
        roles: TOML file that says who is risk officer and model validator, see `roles.py`.
        oidc_issuer, oidc_audience, oidc_claim, oidc_jwks, oidc_ca: whose tokens say who commands, see
            `OidcIssuer`; without an issuer no token is believed.
        token_file: where the token of whoever commands is; None takes the operating system's user.
        retry_seconds: how long a task waits before it tries again.
        code_version: what the provenance says of the code; None asks git.
        repository: git repository of this project, for the code that trained a version; None for none.
    """

    home: Path
    registry: str
    # The one address that may have a password in it, and the master may have a token.
    ledger: str = field(repr=False)
    signer: str
    snapshots_remote: str | None
    tracking: str
    dask: str | None
    spark: str = field(repr=False)
    aws_connection: str | None
    s3_endpoint: str | None
    policy: str
    witnesses: tuple[str, ...]
    roles: Path
    oidc_issuer: str | None
    oidc_audience: str
    oidc_claim: str
    oidc_jwks: str | None
    oidc_ca: Path | None
    token_file: Path | None
    retry_seconds: float
    code_version: str | None
    repository: Path | None

    @property
    def workspace(self) -> Path:
        """Rows, feature sets and candidates of runs; may be emptied when no run is under way."""
        return self.home / "workspace"

    @property
    def reports(self) -> Path:
        """Data validation reports."""
        return self.home / "reports"

    @property
    def reproductions(self) -> Path:
        """Reports on reproductions."""
        return self.reports / "reproductions"

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
        home = _path(values.get("home") or str(default_home()))
        settings = cls(
            home=home,
            registry=_registry(values.get("registry") or home.joinpath("registry").as_uri()),
            ledger=values.get("ledger") or f"sqlite:///{home}/ledger.db",
            signer=_signer(values.get("signer") or LOCAL),
            snapshots_remote=_open("VERITAS_SNAPSHOTS_REMOTE", values.get("snapshots_remote"), _AWS),
            tracking=_open("VERITAS_TRACKING", values.get("tracking"), _MLFLOW)
            or f"sqlite:///{home}/mlflow.db",
            dask=_open("VERITAS_DASK", values.get("dask"), "the scheduler takes none"),
            spark=values.get("spark") or "local[2]",
            aws_connection=_connection(values.get("aws_connection")),
            s3_endpoint=_open("VERITAS_S3_ENDPOINT", values.get("s3_endpoint"), _AWS),
            policy=_policy(values.get("policy") or str(packaged_policy())),
            witnesses=tuple(
                as_witness("VERITAS_WITNESSES", uri.strip())
                for uri in values.get("witnesses", "").split(",")
                if uri.strip()
            ),
            roles=_path(values.get("roles") or str(home / "roles.toml")),
            oidc_issuer=values.get("oidc_issuer") or None,
            oidc_audience=values.get("oidc_audience") or AUDIENCE,
            oidc_claim=values.get("oidc_claim") or CLAIMS[0],
            oidc_jwks=values.get("oidc_jwks") or None,
            oidc_ca=_path(values["oidc_ca"]) if values.get("oidc_ca") else None,
            token_file=_path(values["token_file"]) if values.get("token_file") else None,
            retry_seconds=_seconds(values.get("retry_seconds") or "300"),
            code_version=values.get("code_version") or None,
            repository=_path(values["repository"]) if values.get("repository") else project_root(),
        )
        # Not when it is first used: what is wrong shall be said at once, and not shown till then.
        _ = settings.issuer
        return settings


def _path(value: str) -> Path:
    return Path(value).expanduser().absolute()


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


def is_url(policy: str) -> bool:
    """Whether the setting of the policy names a server, and not a directory."""
    return policy.startswith(("http://", "https://"))


def as_witness(name: str, value: str) -> str:
    """Return the address of a witness. Raises InvalidInput, with `name` as the field."""
    parts = _split(name, value)
    whole = not parts.query and not parts.fragment and not has_login(value)
    if whole and (
        (parts.scheme == "s3" and parts.netloc)
        or (parts.scheme == "file" and parts.path and not parts.netloc)
    ):
        return value
    raise InvalidInput(name, value, "give file:///directory or s3://bucket/prefix")


def _connection(value: str | None) -> str | None:
    if value and "://" in value:
        raise InvalidInput(
            "VERITAS_AWS_CONNECTION", value, "give the connection's id, and its address to Airflow"
        )
    return value or None


def _open(name: str, value: str | None, instead: str) -> str | None:
    """An address that holds no secret, for it is shown and recorded; None for none.

    Raises:
        InvalidInput: it has a login, or options such as a signature.
    """
    if value and "://" in value:
        if has_login(value):
            raise InvalidInput(name, value, f"take user and password out, {instead}")
        parts = _split(name, value)
        if parts.query or parts.fragment:
            raise InvalidInput(name, value, "take out what follows ? or #, it means nothing here")
    return value or None


def _split(name: str, value: str) -> SplitResult:
    try:
        return urlsplit(value)
    except ValueError:
        # Its message may quote the login, so it is no cause.
        raise InvalidInput(name, value, "it is not an address") from None


def _registry(value: str) -> str:
    parts = _split("VERITAS_REGISTRY", value)
    if parts.scheme in ("s3", "file") and (parts.netloc if parts.scheme == "s3" else parts.path):
        return _open("VERITAS_REGISTRY", value, _AWS) or value
    if parts.scheme.startswith("mlflow+"):
        MlflowAddress.parse(value)
        return value
    if parts.scheme == "oci":
        OciAddress.parse(value)
        return value
    if parts.scheme.startswith("git+"):
        GitAddress.parse(value)
        return value
    raise InvalidInput(
        "VERITAS_REGISTRY",
        value,
        "give file:///directory, s3://bucket/prefix, mlflow+URL, oci://host/repository or git+URL",
    )


def _signer(value: str) -> str:
    if value != LOCAL:
        TransitAddress.parse(value)
    return value


def _policy(value: str) -> str:
    if not is_url(value):
        if "://" in value:
            raise InvalidInput(
                "VERITAS_POLICY", value, "give a directory, or http(s)://host:port of an OPA server"
            )
        return str(Path(value).expanduser().absolute())
    parts = _split("VERITAS_POLICY", value)
    try:
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    # A URL is shown and logged, so it holds no password.
    if not usable or has_login(value) or parts.query or parts.fragment:
        raise InvalidInput(
            "VERITAS_POLICY", value, "give http(s)://host:port[/path] of an OPA server, no more"
        )
    return value


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 86400:
        raise InvalidInput("VERITAS_RETRY_SECONDS", value, "give seconds from 1 to 86400")
    return seconds
