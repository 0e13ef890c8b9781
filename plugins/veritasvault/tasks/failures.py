"""How tasks fail: what a retry may mend is tried again, anything else ends with its sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from domain.registry.errors import DomainException


@contextmanager
def final_failures() -> Iterator[None]:
    """Fail the task for good, with the sentence, on what no retry can mend."""
    from airflow.sdk.exceptions import AirflowFailException

    try:
        yield
    except DomainException as error:
        if error.retriable:
            raise
        raise AirflowFailException(str(error)) from None
