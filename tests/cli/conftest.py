"""A home with two registered models and a refused one, made once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.cli.console import Console, register_forecast, vendor_model


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`home` with keys (entries 0, 1), forecast@1 (2), a refusal (3), vendor_vol@1 (4); inputs in `work`."""
    root = tmp_path_factory.mktemp("prepared")
    work = root / "work"
    work.mkdir()
    console = Console(root / "home", work)
    register_forecast(console.application(), work)
    metadata, artifact = vendor_model(work)
    console.run("register", "--metadata", metadata, "--artifact", artifact, "--reason", "release 7")
    return root


@pytest.fixture
def console(prepared: Path, tmp_path: Path) -> Console:
    """A command on a private copy of the prepared home."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True)
    return Console(tmp_path / "home", tmp_path / "work")


@pytest.fixture
def empty(tmp_path: Path) -> Console:
    """A command on a home that does not exist yet."""
    return Console(tmp_path / "home", tmp_path)
