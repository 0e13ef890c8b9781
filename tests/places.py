"""Directories that users other than the one who runs the tests can enter."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_to_others() -> Iterator[Path]:
    """A directory that is removed in the end.

    Not below pytest's own: run by root, PostgreSQL works as another user, and each new pytest session shuts
    the directories of all others, which ends a server that runs in one.
    """
    directory = Path(tempfile.mkdtemp(prefix="veritas-tests-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
