"""Makes S3 clients that survive a fork, and says in one sentence what S3 refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from domain.registry.errors import DomainException, IntegrityError, InvalidInput, Unavailable

ClientFactory = Callable[[], Any]
"""Makes a boto3 S3 client; called once in each process by each bucket."""

MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
TAKEN = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})
_REFUSED = frozenset(
    {
        "401", "403", "AccessDenied", "AccountProblem", "AllAccessDisabled", "AuthorizationHeaderMalformed",
        "ExpiredToken", "Forbidden", "InvalidAccessKeyId", "InvalidSecurity", "InvalidToken",
        "SignatureDoesNotMatch", "TokenRefreshRequired", "UnauthorizedAccess",
    }
)  # fmt: skip


@dataclass
class S3Bucket:
    """A bucket and the way to reach it.

    Attributes:
        factory: makes the client; a client is never used in another process than the one that made it.
    """

    name: str
    factory: ClientFactory
    _client: Any = field(default=None, init=False, repr=False)
    _process: int = field(default=-1, init=False, repr=False)
    _known: bool = field(default=False, init=False, repr=False)

    @property
    def client(self) -> Any:
        # A forked child would otherwise share its parent's sockets.
        if self._process != os.getpid():
            with self.translated("connecting"):
                self._client = self.factory()
            self._process, self._known = os.getpid(), False
        return self._client

    def require(self) -> None:
        """Raise InvalidInput unless the bucket exists; asked once in each process.

        A missing object's 404 does not tell, and some servers make a missing bucket on the first write.
        """
        client = self.client
        if self._known:
            return
        with self.translated("opening the bucket"):
            try:
                client.head_bucket(Bucket=self.name)
            except client.exceptions.ClientError as error:
                if code_of(error) in MISSING:
                    raise self._no_bucket() from error
                raise
        self._known = True

    @contextmanager
    def translated(self, doing: str) -> Iterator[None]:
        """Let nothing of botocore or urllib3 out; `doing` says what failed.

        Raises:
            InvalidInput: the bucket does not exist, or S3 refused the credentials.
            IntegrityError: the server's checksum differs from the bytes it sent.
            Unavailable: everything else, such as a server that cannot be reached.
        """
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
        from botocore.exceptions import ConnectionError as NoConnectionError
        from urllib3.exceptions import HTTPError

        try:
            yield
        except DomainException:
            raise
        except ClientError as error:
            raise self._answered(error, doing) from error
        except (NoConnectionError, HTTPClientError, HTTPError, ConnectionError) as error:
            raise Unavailable(
                f"{doing} in {self} failed, the S3 server cannot be reached: check the endpoint ({error})"
            ) from error
        except (BotoCoreError, Boto3Error) as error:
            raise self._local(error, doing) from error
        except OSError as error:
            raise Unavailable(f"{doing} in {self} failed: {error}") from error

    def _answered(self, error: Any, doing: str) -> DomainException:
        code = code_of(error)
        if code == "NoSuchBucket":
            return self._no_bucket()
        if code in _REFUSED:
            return InvalidInput(
                "S3 credentials",
                code,
                f"{self} refused {doing}, correct the keys or grant them access to the bucket",
            )
        message = error.response.get("Error", {}).get("Message") or "no message"
        return Unavailable(f"{doing} in {self} failed, S3 answered {code} ({message}): run it again later")

    def _local(self, error: Exception, doing: str) -> DomainException:
        kind = type(error).__name__
        if kind == "FlexibleChecksumError":
            return IntegrityError(
                f"{doing} in {self} failed, what was sent differs from its checksum: {error}"
            )
        if kind in {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}:
            return InvalidInput(
                "S3 credentials", None, f"give {self} credentials, an Airflow connection or AWS_* variables"
            )
        if kind in {"ParamValidationError", "ProfileNotFound", "NoRegionError", "InvalidRegionError"}:
            return InvalidInput("S3 settings", self.name, f"correct bucket, profile or region ({error})")
        return Unavailable(f"{doing} in {self} failed: {error}")

    def _no_bucket(self) -> InvalidInput:
        return InvalidInput("bucket", self.name, "there is no such bucket, create it or correct the name")

    def __str__(self) -> str:
        return f"s3://{self.name}"


def code_of(error: Any) -> str:
    """The error code of a botocore ClientError."""
    return str(error.response.get("Error", {}).get("Code", ""))


def own_client(
    endpoint_url: str | None,
    region_name: str | None,
    credentials: dict[str, str],
    *,
    deleting: bool = False,
) -> ClientFactory:
    """A client from explicit keys, or from the usual AWS chain if `credentials` is empty.

    Args:
        deleting: for a client that gives up early, and repeats nothing.
    """

    def make() -> Any:
        import boto3
        from botocore.session import Session

        core = Session()
        core.register_component("data_loader", _service_models(core.get_config_variable("data_path")))
        session: Any = boto3.session.Session(botocore_session=core)
        return session.client(
            "s3",
            endpoint_url=endpoint_url,
            region_name=region_name or session.region_name or "us-east-1",
            config=_config(endpoint_url, deleting),
            **credentials,
        )

    return make


@cache
def _service_models(search_path: str | None) -> Any:
    """What reads the descriptions of services: parsed once in each process, they are most of a new client."""
    from botocore.loaders import create_loader

    return create_loader(search_path)


def airflow_client(connection: str, endpoint_url: str | None, *, deleting: bool = False) -> ClientFactory:
    """A client from an Airflow connection, through the amazon provider's hook; `deleting` as `own_client`."""

    def make() -> Any:
        from veritasvault.adapters.airflow_connection import require_connection, unusable_connection

        # The hook itself would fall back to the AWS chain when there is no such connection.
        require_connection(connection)
        try:
            from airflow.exceptions import AirflowException
            from airflow.providers.amazon.aws.hooks.s3 import S3Hook
        except ImportError as error:
            raise InvalidInput(
                "aws_connection", connection, "install apache-airflow-providers-amazon to use it"
            ) from error
        try:
            found = S3Hook(aws_conn_id=connection).conn_config
            endpoint = endpoint_url or found.get_service_endpoint_url("s3")
            hook = S3Hook(aws_conn_id=connection, config=_config(endpoint, deleting))
            if endpoint_url is None:
                return hook.get_conn()
            return hook.get_session().client("s3", endpoint_url=endpoint, config=_config(endpoint, deleting))
        except (AirflowException, ValueError) as error:
            raise unusable_connection(connection, error) from None

    return make


def _config(endpoint_url: str | None, deleting: bool) -> Any:
    from botocore.config import Config

    return Config(
        connect_timeout=5,
        # What deletes has to be over within half of `LEASE`, and a late second try would delete what was
        # stored again (ADR 13).
        read_timeout=20 if deleting else 60,
        retries={"max_attempts": 0 if deleting else 3, "mode": "standard"},
        # Servers of one's own seldom have a host name for each bucket.
        s3={"addressing_style": "path" if endpoint_url else "auto"},
    )
