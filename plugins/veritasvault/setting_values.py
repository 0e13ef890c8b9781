"""Values of settings: each function returns one that can be used, or says what to give instead."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, parse_qs, urlsplit

from domain.registry.errors import InvalidInput
from domain.registry.inventory.deadlines import DAYS
from domain.registry.metadata import RiskTier
from domain.registry.redaction import has_login
from veritasvault.registry_address import GitAddress, MlflowAddress, OciAddress

LOCAL = "local"
"""The signer whose private keys are files in `Settings.keys`."""
_TRANSPORTS = {"vault": "https", "vault+http": "http"}
_MOST_DAYS = 3660
# Where secrets belong instead of in an address.
AWS = "name them by VERITAS_AWS_CONNECTION or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
MLFLOW = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"


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


def as_path(value: str) -> Path:
    """Return an absolute path; `~` is the user's home directory."""
    return Path(value).expanduser().absolute()


def is_url(policy: str) -> bool:
    """Whether the setting of the policy names a server, and not a directory."""
    return policy.startswith(("http://", "https://"))


def as_place(name: str, value: str) -> str:
    """Return the address of a place for objects. Raises InvalidInput, with `name` as the field."""
    parts = _split(name, value)
    whole = not parts.query and not parts.fragment and not has_login(value)
    if whole and (
        (parts.scheme == "s3" and parts.netloc)
        or (parts.scheme == "file" and parts.path and not parts.netloc)
    ):
        return value
    raise InvalidInput(name, value, "give file:///directory or s3://bucket/prefix")


def as_connection(value: str | None) -> str | None:
    """Return the id of an Airflow connection. Raises InvalidInput for a connection's address."""
    if value and "://" in value:
        raise InvalidInput(
            "VERITAS_AWS_CONNECTION", value, "give the connection's id, and its address to Airflow"
        )
    return value or None


def as_open(name: str, value: str | None, instead: str) -> str | None:
    """Return an address that holds no secret, for it is shown and recorded; None for none.

    Args:
        instead: where the secret belongs.

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


def as_registry(value: str) -> str:
    """Return the address of a registry. Raises InvalidInput."""
    parts = _split("VERITAS_REGISTRY", value)
    if parts.scheme in ("s3", "file") and (parts.netloc if parts.scheme == "s3" else parts.path):
        return as_open("VERITAS_REGISTRY", value, AWS) or value
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


def as_signer(value: str) -> str:
    """Return `local` or a `TransitAddress` as text. Raises InvalidInput."""
    if value != LOCAL:
        TransitAddress.parse(value)
    return value


def as_policy(value: str) -> str:
    """Return the directory, absolute, or the server's URL. Raises InvalidInput."""
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


def as_ray(value: str | None) -> str | None:
    """Return the address of a Ray cluster; None for none. Raises InvalidInput."""
    if value:
        parts = _split("VERITAS_RAY", value)
        try:
            usable = parts.scheme == "ray" and bool(parts.hostname and parts.port)
        except ValueError:
            usable = False
        if not usable or has_login(value) or parts.path or parts.query or parts.fragment:
            raise InvalidInput("VERITAS_RAY", value, "give ray://host:port, and a token by RAY_AUTH_TOKEN")
    return value or None


def as_seconds(value: str) -> float:
    """Return seconds, above 0 and at most a day. Raises InvalidInput."""
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 86400:
        raise InvalidInput("VERITAS_RETRY_SECONDS", value, "give seconds from 1 to 86400")
    return seconds


def as_days(name: str, value: str) -> int:
    """Return a number of days, from 1 to 3660. Raises InvalidInput, with `name` as the field."""
    text = value.strip()
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= _MOST_DAYS):
        raise InvalidInput(name, value, f"give a whole number of days from 1 to {_MOST_DAYS}")
    return int(text)


def as_deadline_days(value: str | None) -> tuple[int, ...]:
    """Return the days for tiers 1, 2 and 3, `DAYS` for none given. Raises InvalidInput."""
    if not value:
        return tuple(DAYS[tier] for tier in RiskTier)
    parts = value.split(",")
    if len(parts) != len(RiskTier):
        remedy = "give days for tiers 1, 2 and 3, such as 31,92,366"
        raise InvalidInput("VERITAS_DEADLINE_DAYS", value, remedy)
    return tuple(as_days("VERITAS_DEADLINE_DAYS", part) for part in parts)
