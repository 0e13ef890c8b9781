"""A trained candidate, made once and copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reproduction.bench import Bench, Trained


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, Trained]:
    """A home with prices and a ridge regression trained on them, registered nowhere yet."""
    bench = Bench.at(tmp_path_factory.mktemp("reproduction") / "home")
    bench.write_panel()
    return bench, bench.train()


@pytest.fixture
def trained(prepared: tuple[Bench, Trained]) -> Trained:
    return prepared[1]


@pytest.fixture
def bench(prepared: tuple[Bench, Trained], tmp_path: Path) -> Bench:
    """A private copy of the prepared home."""
    return prepared[0].copy(tmp_path / "home")
