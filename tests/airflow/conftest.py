"""Places for an Airflow with its PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.places import open_to_others


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In place of pytest's: one that PostgreSQL's user can enter."""
    with open_to_others() as directory:
        yield directory
