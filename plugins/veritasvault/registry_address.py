"""Addresses of registries on other machines, as VERITAS_REGISTRY names them; they hold no password."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from domain.registry.errors import InvalidInput
from domain.registry.redaction import has_login

SETTING = "VERITAS_REGISTRY"
_OCI_FORM = "oci://host[:port]/repository[?insecure=1], the repository in lower case"
_GIT_FORM = "git+https://host/path, git+ssh://user@host/path or git+file:///path"
_MLFLOW_FORM = "mlflow+http(s)://host[:port]/experiment or mlflow+sqlite:////path/mlflow.db"
# A repository's name, OCI distribution specification 1.1, "Pulling manifests".
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")


@dataclass(frozen=True, slots=True)
class OciAddress:
    """A repository of an OCI registry.

    Attributes:
        host: with the port, if the address has one.
        insecure: HTTP without TLS.
    """

    host: str
    repository: str
    insecure: bool

    @classmethod
    def parse(cls, value: str) -> OciAddress:
        """Read `oci://host[:port]/repository[?insecure=1]`.

        Raises:
            InvalidInput: naming the setting and the form.
        """
        parts = _split(value, _OCI_FORM)
        if has_login(value):
            raise _with_login(value, "log in with docker login instead")
        options = parse_qsl(parts.query, keep_blank_values=True)
        repository = parts.path.strip("/")
        usable = parts.hostname and _REPOSITORY.fullmatch(repository) and not parts.fragment
        if not usable or options not in ([], [("insecure", "1")], [("insecure", "0")]):
            raise InvalidInput(SETTING, value, f"give {_OCI_FORM}")
        return cls(parts.netloc, repository, options == [("insecure", "1")])


@dataclass(frozen=True, slots=True)
class GitAddress:
    """A git repository.

    Attributes:
        url: as git takes it.
    """

    url: str

    @classmethod
    def parse(cls, value: str) -> GitAddress:
        """Read `git+` before a URL of the schemes https, ssh, or file.

        Raises:
            InvalidInput: naming the setting and the form.
        """
        parts = _split(value, _GIT_FORM)
        scheme = parts.scheme.removeprefix("git+")
        # A server's user may be a token; the one of ssh is not secret.
        if parts.password is not None or (scheme != "ssh" and has_login(value)):
            raise _with_login(value, "let a credential helper of git hold them instead")
        host = bool(parts.hostname) if scheme in ("https", "ssh") else not parts.netloc
        usable = scheme in ("https", "ssh", "file") and host and len(parts.path) > 1
        if not usable or parts.query or parts.fragment:
            raise InvalidInput(SETTING, value, f"give {_GIT_FORM}")
        return cls(value.removeprefix("git+"))


@dataclass(frozen=True, slots=True)
class MlflowAddress:
    """An experiment of MLflow.

    Attributes:
        tracking_uri: of the server, or of the embedded store's SQLite file.
        experiment: whose runs the models are; None takes the usual one.
    """

    tracking_uri: str
    experiment: str | None

    @classmethod
    def parse(cls, value: str) -> MlflowAddress:
        """Read `mlflow+http(s)://host[:port][/prefix]/experiment` or `mlflow+sqlite:////path`.

        Raises:
            InvalidInput: naming the setting and the form.
        """
        uri = value.removeprefix("mlflow+")
        parts = _split(uri, _MLFLOW_FORM)
        if parts.scheme == "sqlite" and parts.path.startswith("//"):
            return cls(uri, None)
        server, _, experiment = uri.rpartition("/")
        usable = parts.scheme in ("http", "https") and parts.hostname and experiment and parts.path.strip("/")
        if not usable or parts.query or parts.fragment:
            raise InvalidInput(SETTING, value, f"give {_MLFLOW_FORM}")
        if has_login(uri):
            raise _with_login(uri, "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead")
        return cls(server, unquote(experiment))


def _split(value: str, form: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        if parts.port == 0:
            raise ValueError("port 0")
    except ValueError:
        # Its message may quote a piece of an unescaped password, so it is no cause.
        raise InvalidInput(SETTING, value, f"give {form}") from None
    return parts


def _with_login(address: str, remedy: str) -> InvalidInput:
    return InvalidInput(SETTING, address, f"take user and password out, {remedy}")
