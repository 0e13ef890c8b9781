"""Asks Airflow for a connection, and says in one sentence why it cannot be had."""

from __future__ import annotations

from typing import Any

from domain.registry.errors import DomainException, InvalidInput, Unavailable

FIELD = "AIRFLOW__SECRETS__BACKEND_KWARGS"
_AIRFLOWS_OWN = ("airflow.sdk.", "airflow.secrets.")


def require_connection(connection: str) -> None:
    """Require that a connection exists: in a secrets backend, the environment, or Airflow's own database.

    Airflow passes over a secrets backend that fails and then says that there is no such connection, which
    hides what a retry can mend. So a backend is asked again when nobody had the connection.

    Raises:
        InvalidInput: there is no such connection, or the backend refuses token or login.
        Unavailable: the backend cannot be reached.
    """
    try:
        from airflow.sdk.bases.hook import BaseHook
        from airflow.sdk.execution_time.supervisor import ensure_secrets_backend_loaded

        backends = ensure_secrets_backend_loaded()
    except ImportError as error:
        raise InvalidInput("aws_connection", connection, "install apache-airflow to use it") from error
    except Exception as error:  # already importing Airflow makes the backend, which may raise anything
        raise _failure("the secrets backend", error) from error
    try:
        BaseHook.get_connection(connection)
    except Exception as error:
        for backend in backends:
            if not type(backend).__module__.startswith(_AIRFLOWS_OWN):
                _ask_again(backend, connection)
        raise unusable_connection(connection, error) from None


def unusable_connection(connection: str, error: Exception) -> InvalidInput:
    """The error of our own for one that Airflow or a hook raised; it must not be the cause, see below."""
    from airflow.exceptions import AirflowNotFoundException

    # What a parser says of a connection may quote a piece of it, so only what Airflow itself says is shown.
    reason = str(error) if isinstance(error, AirflowNotFoundException) else type(error).__name__
    return InvalidInput("aws_connection", connection, f"add or correct the Airflow connection ({reason})")


def _ask_again(backend: Any, connection: str) -> None:
    try:
        backend.get_connection(connection)
    except Exception as error:  # backends are of many kinds
        raise _failure(type(backend).__name__, error) from error


def _failure(backend: str, error: Exception) -> DomainException:
    kind = type(error).__name__
    if _is_refusal(error):
        return InvalidInput(
            FIELD,
            "not shown",
            f"{backend} refuses the login ({kind}), renew its token or secret id or let it read connections",
        )
    if isinstance(error, FileNotFoundError | PermissionError):
        return InvalidInput(
            FIELD, "not shown", f"{backend} cannot read its token's file ({error.strerror}), mend that"
        )
    return Unavailable(
        f"{backend} cannot give Airflow's connections now ({kind}): start or unseal it, or mend {FIELD}"
    )


def _is_refusal(error: Exception) -> bool:
    """Whether Vault refused; the provider raises the bare class when login and second login both failed."""
    try:
        from hvac.exceptions import Forbidden, InvalidRequest, Unauthorized, VaultError
    except ImportError:
        return False
    return isinstance(error, Forbidden | InvalidRequest | Unauthorized) or type(error) is VaultError
